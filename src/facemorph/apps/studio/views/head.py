"""The view Head: a photograph beside its fitted head, moved by sliders, a webcam or a recording."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from facemorph.apps.reenactment.reenactor import load_reenactment
from facemorph.apps.studio.drivers import Drivers
from facemorph.apps.studio.exports import Exports
from facemorph.apps.studio.library import Library, jpeg
from facemorph.apps.studio.messages import Answer, Handler, Request
from facemorph.apps.studio.views.driving import Performer
from facemorph.apps.studio.views.moving_head import (
    MovingHead,
    PageMesh,
    edit_text,
    presets_of,
)
from facemorph.errors import DataError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.systems.gdpw.small_system import SmallGDPW

CHECKPOINT = "@open:gdpw"
AT_HAND = 3  # heads that are kept in memory
DETAILS = ("draft", "still", "sharp")
THERE_AND_BACK = 49  # frames
MESHES, STILLS, MOVING = (".glb", ".obj", ".ply"), (".png", ".jpg"), (".mp4", ".gif")
POINTS = (".tem", ".pts")
KINDS = (*STILLS, *MOVING, *MESHES, ".npz", ".json", *POINTS)


class HeadPanel:
    """Answers what the view asks.

    Args:
        library: The photographs.
        exports: Makes files.
        drivers: Videos and recordings that photographs follow.
    """

    def __init__(self, library: Library, exports: Exports, drivers: Drivers) -> None:
        self.library, self.exports, self.drivers = library, exports, drivers
        self._heads: OrderedDict[tuple[str, int], MovingHead] = OrderedDict()
        self._system: SmallGDPW | None = None
        self._mesh: PageMesh | None = None
        self._performers: dict[int, Performer] = {}

    def handlers(self) -> dict[str, Handler]:
        """What is done for each kind of request."""
        return {
            "head.open": self._open,
            "head.mesh": self._topology,
            "head.texture": self._texture,
            "head.draw": self._draw,
            "head.drive": self._drive,
            "head.record": self._record,
            "head.follow": self._follow,
            "head.export": self._export,
            "head.command": self._command,
        }

    def window_closed(self, window: int) -> None:
        """Forget what was kept for a window."""
        self._performers.pop(window, None)

    def head(self, name: str) -> MovingHead:
        """The head of a photograph; the last few are kept.

        Raises:
            FacemorphError: There is none, or it cannot be moved.
        """
        key = name, self.library.photograph(name).version
        if key not in self._heads:
            face = self.library.located(name)
            self._heads[key] = MovingHead(face, self.library.model, self.system)
            while len(self._heads) > AT_HAND:
                self._heads.popitem(last=False)
        self._heads.move_to_end(key)
        return self._heads[key]

    @property
    def system(self) -> SmallGDPW:
        """The trained network."""
        if self._system is None:
            self._system = load_reenactment(CHECKPOINT)
        return self._system

    @property
    def mesh(self) -> PageMesh:
        """The mesh of the head model."""
        if self._mesh is None:
            self._mesh = PageMesh.of(self.library.model)
        return self._mesh

    def _open(self, request: Request) -> Answer:
        head = self.head(request.text("photograph"))
        return {
            "groups": {
                name: [asdict(one) for one in sliders] for name, sliders in head.sliders().items()
            },
            "presets": presets_of(head.model),
            "side": head.frame.width,
            "error": float(head.fitted.error[0]),
        }

    def _topology(self, request: Request) -> Answer:
        mesh = self.mesh
        return {"faces": len(mesh.faces), "vertices": len(mesh.order)}, mesh.content()

    def _texture(self, request: Request) -> Answer:
        return {"format": "jpeg"}, jpeg(self.head(request.text("photograph")).texture, 90)

    def _draw(self, request: Request) -> Answer:
        head = self.head(request.text("photograph"))
        return self._drawn(
            head,
            head.edited(request.values("edits")),
            request.choice("detail", DETAILS, "still"),
            request.flag("mesh"),
        )

    def _drawn(
        self, head: MovingHead, parameters: FaceParameters, detail: str, with_mesh: bool
    ) -> tuple[dict[str, Any], bytes]:
        """A picture, and behind it the head's mesh."""
        draw = {"draft": head.draft, "still": head.warped, "sharp": head.sharp}[detail]
        data = jpeg(draw(parameters), 80 if detail == "draft" else 92)
        header: dict[str, Any] = {"picture": len(data), "detail": detail, "mesh": 0}
        if with_mesh:
            data += b" " * (-len(data) % 4)
            header["mesh"] = len(data)
            data += self.mesh.places(self.library.model, parameters)
        return header, data

    # ------------------------------------------------------------
    # webcam
    def _drive(self, request: Request) -> Answer:
        """Follow a frame of a webcam, or of a clip that the page plays."""
        head = self.head(request.text("photograph"))
        performer = self._performers.get(request.window)
        if performer is None or request.flag("first"):
            performer = self._performers[request.window] = Performer(self.library.model)
        moved = performer.follow(request.data, head.parameters)
        if moved is None:
            return {"picture": 0, "mesh": 0, "found": False, "recorded": performer.recorded}
        detail = request.choice("detail", DETAILS, "draft")
        header, data = self._drawn(head, moved, detail, request.flag("mesh"))
        return {**header, "found": True, "recorded": performer.recorded}, data

    def _record(self, request: Request) -> Answer:
        """Begin or end a recording; at its end the sharp video is made."""
        performer = self._performers.get(request.window)
        if performer is None:
            raise DataError("no webcam drives this photograph", where="record")
        name = request.text("photograph")
        self.library.located(name)
        if request.flag("begin"):
            performer.begin()
            return {"recorded": 0}
        recorded, rate = performer.end()
        output = self.exports.project.export(f"{name}_performed", ".mp4")
        parameters = output.with_suffix(".driving.npz")
        recorded.save(parameters)
        words = [
            *self._reenact(name, output),
            *("--driving", str(parameters), "--relative-to", "first", "--fps", f"{rate:.4g}"),
        ]
        work = self.exports.run(words, output)
        return {"work": work.id, "command": self.exports.command(words)}

    def _follow(self, request: Request) -> Answer:
        """Make the video of a photograph that follows an uploaded video or recording."""
        name, driver = request.text("photograph"), self.drivers.find(request.text("driver"))
        self.library.located(name)
        output = self.exports.project.export(f"{name}_{driver.stem}", ".mp4")
        words = [*self._reenact(name, output), "--driving", str(driver)]
        work = self.exports.run(words, output)
        return {"work": work.id, "command": self.exports.command(words)}

    # ------------------------------------------------------------
    # exports
    def _export(self, request: Request) -> Answer:
        name, kind = request.text("photograph"), request.choice("format", KINDS)
        self.library.located(name)  # says so where there is no face
        output = self.exports.project.export(f"{name}_head", kind)
        if kind in (".json", *POINTS):
            return {"files": self._write_points(name, output)}
        words = self._words(name, output, request.values("edits"))
        if kind == ".npz":
            return {"files": [output.name]}
        work = self.exports.run(words, output)
        return {"work": work.id, "command": self.exports.command(words)}

    def _command(self, request: Request) -> Answer:
        """The line that makes what is shown; nothing is written."""
        name = request.text("photograph")
        self.library.located(name)
        words = self._reenact(name, Path(f"{name}_head.png"))
        text = edit_text(request.values("edits"))
        return {"command": self.exports.command([*words, "--edit", text] if text else words)}

    def _words(self, name: str, output: Path, edits: dict[str, float]) -> list[str]:
        """The command that writes an output; what it reads is written first."""
        text = edit_text(edits)
        if output.suffix in STILLS:
            return [*self._reenact(name, output), "--edit", text or "cam scale 1"]
        head = self.head(name)
        parameters = head.edited(edits)
        beside = output.with_suffix(".npz")
        if output.suffix in MOVING:
            share = (1 - torch.cos(torch.linspace(0, 2 * torch.pi, THERE_AND_BACK))) / 2
            start, end = head.parameters.vector(), parameters.vector()
            parameters = head.parameters.from_vector(start + share[:, None] * (end - start))
            parameters.save(beside)
            return [
                *self._reenact(name, output),
                *("--driving", str(beside), "--relative-to", "first"),
            ]
        parameters.save(beside)
        texture = output.with_suffix(".texture.png")
        save_image(head.texture, texture, synthetic=True)
        return ["render", str(beside), "-o", str(output), "--texture", str(texture)]

    def _reenact(self, name: str, output: Path) -> list[str]:
        words = ["reenact", str(self.library.photograph(name).path), "-o", str(output)]
        if self.library.has_own_points(name):
            words += ["--points", str(self.library.project.points_of(name))]
        return words

    def _write_points(self, name: str, output: Path) -> list[str]:
        from facemorph.faces.files.landmark_files import read_points, write_points

        source = self.library.project.points_of(name)
        if output.suffix == ".json":
            shutil.copyfile(source, output)
        else:
            points, scheme = read_points(source)
            write_points(points, output, scheme)
        return [output.name]
