"""The view Generate: people who do not exist, with the sliders of a head."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

from facemorph.apps.generation.choices import TextureFiles
from facemorph.apps.generation.face_files import PARAMETERS, SHEET, save_people
from facemorph.apps.generation.generated_faces import GeneratedFaces, changed
from facemorph.apps.generation.texture_editing import (
    PAINTED,
    neural_texture,
    shown,
    square,
    with_skin,
)
from facemorph.apps.studio.exports import Exports
from facemorph.apps.studio.library import Library, jpeg
from facemorph.apps.studio.messages import Answer, Handler, Request
from facemorph.apps.studio.views.generated_people import (
    CHECKPOINTS,
    LAMPS,
    OWN,
    VARIATIONS,
    GeneratedPeople,
    Person,
)
from facemorph.apps.studio.views.moving_head import presets_of, sliders_of
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.storage.files import write_whole

COMPARISON = "comparison.png"
STILLS, MOVING, MESHES = (".png", ".jpg"), (".mp4", ".gif"), (".glb", ".obj", ".ply")
KINDS = (*STILLS, *MOVING, *MESHES, "sheet", "texture", ".npz")
TURN = 40.0  # degrees to either side, of videos
POSES = "-45:45:15"  # of sheets
MOST_SEEDS = 2**31 - 1
TEXELS = 512
QUALITY = 95


class GeneratePanel:
    """Answers what the view asks.

    Args:
        library: The photographs.
        exports: Makes files.
    """

    def __init__(self, library: Library, exports: Exports) -> None:
        self.library, self.exports = library, exports
        self._opened: dict[str, GeneratedPeople] = {}

    def handlers(self) -> dict[str, Handler]:
        """What is done for each kind of request."""
        return {
            "generate.open": self._open,
            "generate.draw": self._draw,
            "generate.variation": self._variation,
            "generate.take": self._take,
            "generate.like": self._like,
            "generate.find": self._find,
            "generate.texture": self._texture,
            "generate.paint": self._paint,
            "generate.regions": self._regions,
            "generate.export": self._export,
            "generate.command": self._command,
        }

    def people(self, name: str) -> GeneratedPeople:
        """The people of a generator, which is loaded when it is first asked for."""
        if name not in self._opened:
            self._opened[name] = GeneratedPeople(name, self.library.project)
        return self._opened[name]

    # ------------------------------------------------------------
    # people
    def _people_of(self, request: Request) -> GeneratedPeople:
        return self.people(request.choice("model", tuple(CHECKPOINTS), "gif"))

    def _person(self, request: Request) -> Person:
        folder = request.text("folder", "")
        if folder:
            return Person(folder, 0, 1.0)
        seed = request.whole("seed", 0, MOST_SEEDS, 0)
        return Person("", seed, request.number("spread", 0, 3, 1.0))

    def _face(self, request: Request) -> GeneratedFaces:
        """The person of a request, as its sliders have it."""
        people = self._people_of(request)
        lamp = request.choice("lamp", LAMPS, OWN)
        return people.shown(people.face(self._person(request)), request.values("edits"), lamp)

    def _open(self, request: Request) -> Answer:
        people = self._people_of(request)
        model, face = people.generator.model, people.face(self._person(request))
        groups = sliders_of(model, face.parameters)
        return {
            "groups": {name: [asdict(one) for one in group] for name, group in groups.items()},
            "presets": presets_of(model),
            "side": people.generator.size,
            "textures": people.has_textures,
            "regions": list(PAINTED) if people.has_textures else [],
            "variations": VARIATIONS,
        }

    def _draw(self, request: Request) -> Answer:
        people = self._people_of(request)
        picture = people.picture(self._face(request), self._person(request))
        return {"side": picture.shape[-1]}, jpeg(picture, QUALITY)

    def _varied(self, request: Request) -> GeneratedFaces:
        return self._people_of(request).variation(
            self._person(request),
            request.whole("draw", 0, MOST_SEEDS, 0),
            request.whole("number", 0, VARIATIONS - 1),
            request.number("strength", 0, 1, 0.4),
        )

    def _variation(self, request: Request) -> Answer:
        """One of the people around the one that is shown, in the same pose."""
        people, lamp = self._people_of(request), request.choice("lamp", LAMPS, OWN)
        face = people.shown(self._varied(request), request.values("edits"), lamp)
        return {"number": request.whole("number", 0, VARIATIONS)}, jpeg(people.picture(face))

    def _take(self, request: Request) -> Answer:
        return {"folder": self._people_of(request).keep(self._varied(request))}

    def _like(self, request: Request) -> Answer:
        """Values of the sliders for the expression or the pose of a photograph."""
        name = request.text("photograph")
        self.library.located(name)
        found = FaceParameters.load(self.library.project.head_of(name))
        part = request.choice("part", ("expression", "pose"))
        return {"edits": self._people_of(request).sliders_like(found, part)}

    def _find(self, request: Request) -> Answer:
        """Begin to look for the person of a photograph."""
        name, people = request.text("photograph"), self._people_of(request)
        self.library.located(name)
        path = self.library.photograph(name).path
        output = self.exports.project.export(f"{name}_found", "")
        words = ["invert", str(path), "-o", str(output), "--checkpoint", people.checkpoint]
        if self.library.has_own_points(name):
            words += ["--points", str(self.library.project.points_of(name))]
        work = self.exports.run(words, output / COMPARISON, f"Find {name}")
        folder = output.relative_to(self.exports.project.folder).as_posix()
        return {"work": work.id, "folder": folder, "command": self.exports.command(words)}

    # ------------------------------------------------------------
    # skin
    def _textured(self, request: Request) -> GeneratedPeople:
        people = self._people_of(request)
        if not people.has_textures:
            raise DataError(
                "people of this model have no texture",
                where="model",
                found=request.text("model", "gif"),
                expected="varitex",
                remedy="Choose VariTex.",
            )
        return people

    def _texture(self, request: Request) -> Answer:
        people = self._textured(request)
        face = people.face(self._person(request))
        return {"side": TEXELS}, jpeg(shown(neural_texture(people.generator, face), TEXELS))

    def _paint(self, request: Request) -> Answer:
        """Put a painted texture on the person."""
        people, project = self._textured(request), self.library.project
        path = project.part(f"painted-{hashlib.sha256(request.data).hexdigest()[:16]}.png")
        write_whole(path, request.data)
        try:
            square(path)
        except FacemorphError:
            path.unlink(missing_ok=True)
            raise
        return self._with_skin(request, people, path, None, ["texture", "apply"])

    def _regions(self, request: Request) -> Answer:
        """Give the person some regions of another one's skin."""
        people = self._textured(request)
        region = request.choice("region", tuple(PAINTED))
        other = people.face(Person("", request.whole("other", 0, MOST_SEEDS), 1.0))
        return self._with_skin(request, people, other, [region], ["texture", "apply"])

    def _with_skin(
        self,
        request: Request,
        people: GeneratedPeople,
        edited: Path | GeneratedFaces,
        regions: list[str] | None,
        words: list[str],
    ) -> Answer:
        face, strength = people.face(self._person(request)), request.number("strength", 0, 2, 1.0)
        painted = with_skin(people.generator, face, edited, regions, None, strength)
        given = edited if isinstance(edited, Path) else people.path(people.keep(edited))
        words = [*words, str(people.path(people.keep(face))), str(given), "-o", "edited"]
        for region in regions or ():
            words += ["--regions", region]
        words += ["--strength", f"{strength:g}", "--checkpoint", people.checkpoint]
        return {"folder": people.keep(painted), "command": self.exports.command(words)}

    # ------------------------------------------------------------
    # exports
    def _export(self, request: Request) -> Answer:
        kind = request.choice("format", KINDS)
        if kind == "texture":
            self._textured(request)
        people, face = self._people_of(request), self._face(request)
        suffix = kind if kind in (*MOVING, *MESHES) else ""
        output = self.exports.project.export(f"person_{request.text('model', 'gif')}", suffix)
        if kind == ".npz":
            output.mkdir(parents=True)
            save_people(face, output)
            return {"files": [f"{output.name}/{one.name}" for one in sorted(output.iterdir())]}
        words, made = self._words(people, face, kind, output)
        work = self.exports.run(words, made)
        return {"work": work.id, "command": self.exports.command(words)}

    def _command(self, request: Request) -> Answer:
        """The line that makes what is shown; the person that it reads is written."""
        people, face = self._people_of(request), self._face(request)
        words, _ = self._words(people, face, ".png", Path("person"))
        return {"command": self.exports.command(words)}

    def _words(
        self, people: GeneratedPeople, face: GeneratedFaces, kind: str, output: Path
    ) -> tuple[list[str], Path]:
        """The command that writes an output, and the file that is looked at first."""
        folder = str(people.path(people.keep(face)))
        checkpoint = ["--checkpoint", people.checkpoint]
        if kind in MESHES:
            return self._mesh_words(people, face, folder, output), output
        if kind in MOVING:
            ends = [
                str(people.path(people.keep(changed(people.generator, face, {}, turn, 0, None))))
                for turn in (-TURN, TURN)
            ]
            return ["interpolate", *ends, "-o", str(output), *checkpoint], output
        if kind == "texture":
            words = ["texture", "export", folder, "-o", str(output), *checkpoint]
            return words, output / TextureFiles.TEXTURE
        words = ["sample", "--from", folder, "-o", str(output), *checkpoint]
        if kind == "sheet":
            return [*words, "--poses", POSES], output / SHEET
        return [*words, "--format", kind[1:]], output / f"face_001{kind}"

    def _mesh_words(
        self, people: GeneratedPeople, face: GeneratedFaces, folder: str, output: Path
    ) -> list[str]:
        words = ["render", str(Path(folder) / PARAMETERS), "-o", str(output)]
        words += ["--model", people.generator.model.name]
        if not people.has_textures:
            return words
        texture = Path(folder) / TextureFiles.TEXTURE
        picture = shown(neural_texture(people.generator, face), TEXELS)
        save_image(picture, texture, synthetic=True)
        return [*words, "--texture", str(texture)]
