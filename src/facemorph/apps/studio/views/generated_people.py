"""People of a trained generator for the studio: drawn, found, varied, and shown as sliders say."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor

from facemorph.apps.generation.face_files import CODES, read_faces, save_people
from facemorph.apps.generation.figures.figure_faces import at_rest
from facemorph.apps.generation.generated_faces import (
    LIMIT,
    FaceGenerator,
    GeneratedFaces,
    drawn_faces,
)
from facemorph.apps.generation.texture_editing import neural_texture
from facemorph.apps.heads.rendered_head import LIGHTS, studio_light
from facemorph.apps.reenactment.editing.edit_targets import expression_limits
from facemorph.apps.reenactment.editing.edit_words import LARGEST_TURN
from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.apps.studio.project import PARTS, Project
from facemorph.apps.studio.views.moving_head import edit_text
from facemorph.engine.portrait_frames import framed
from facemorph.errors import ConfigError
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.rotations import euler_from_rotation, rotation_from_vector
from facemorph.systems.varitex.small.system import SmallVariTex

Value = TypeVar("Value")

CHECKPOINTS = {"gif": "@open:gif", "varitex": "@open:varitex"}
OWN = "own"  # light that the person was found in
LAMPS = (OWN, *LIGHTS)
VARIATIONS = 9  # people around one
AT_HAND = 12  # people that are kept in memory
SLIGHT = 0.005  # strength of an expression that is none
DECIMALS = 4


@dataclass(frozen=True)
class Person:
    """Who is shown: a folder of a person that was kept, or a seed.

    Attributes:
        folder: ``exports/NAME`` or ``parts/NAME``; empty for somebody drawn at random.
        seed: Of the random numbers.
        spread: Factor of the people's standard deviation.
    """

    folder: str
    seed: int
    spread: float


class GeneratedPeople:
    """A trained generator and the people that it was asked for lately.

    Args:
        name: A key of ``CHECKPOINTS``.
        project: Where people are kept.
    """

    def __init__(self, name: str, project: Project) -> None:
        self.checkpoint, self._project = CHECKPOINTS[name], project
        self.generator = FaceGenerator.load(self.checkpoint)
        self._people: OrderedDict[Person, GeneratedFaces] = OrderedDict()
        self._textures: OrderedDict[Person, Tensor] = OrderedDict()

    @property
    def has_textures(self) -> bool:
        """Whether people have skin that can be painted on."""
        return isinstance(self.generator.system, SmallVariTex)

    def face(self, person: Person) -> GeneratedFaces:
        """A person, as one face: of a seed at rest, of a folder as it was kept.

        Raises:
            DataError: The folder is gone, or holds people of another generator.
        """
        if person not in self._people:
            _keep(self._people, person, self._read(person))
        return self._people[person]

    def _read(self, person: Person) -> GeneratedFaces:
        if person.folder:
            folder = self._project.result(person.folder)
            return read_faces(folder, self.generator)[:1]
        return at_rest(drawn_faces(self.generator, 1, person.seed, person.spread, "person"))

    def shown(self, face: GeneratedFaces, edits: Mapping[str, float], lamp: str) -> GeneratedFaces:
        """A face as sliders and lamp have it, framed as ``facemorph sample`` frames.

        Raises:
            ConfigError: There is no such slider or lamp, or a value is out of range.
        """
        if camera := next((name for name in edits if name.startswith("cam")), None):
            raise ConfigError("generated faces are all framed alike", where=camera)
        model, size, parameters = self.generator.model, self.generator.size, face.parameters
        if edits:
            parameters = Edits(model, parameters, size).apply(edit_text(edits))
        if lamp != OWN:
            parameters = replace(parameters, light=studio_light(lamp))
        return replace(face, parameters=framed(model, parameters, size))

    def picture(self, face: GeneratedFaces, person: Person | None = None) -> Tensor:
        """A picture ``(3, S, S)``; with the person whose face it is, its texture is made once."""
        if person is None or not self.has_textures:
            return next(iter(self.generator.pictures(face)))
        if person not in self._textures:
            _keep(self._textures, person, neural_texture(self.generator, self.face(person)))
        given = self.generator.render(face.parameters)
        drawn = self.generator.varitex.generator.show(self._textures[person], face.codes, given)
        picture = cast(Tensor, drawn)[0].clamp(0, 1)
        if face.surroundings is None:
            return picture
        return face.surroundings.around(0, self.generator.model, face.parameters, picture)

    def variation(self, person: Person, seed: int, number: int, strength: float) -> GeneratedFaces:
        """Somebody between a person and a random one.

        Args:
            person: In the middle.
            seed: Of the random people.
            number: Which of ``VARIATIONS``.
            strength: How far, 0 to 1.
        """
        face = self.face(person)
        draw = torch.Generator().manual_seed(seed)
        codes, albedo, identity = (
            part[number : number + 1] for part in self.generator.people(VARIATIONS, draw)
        )
        own = face.parameters
        parameters = replace(
            own,
            identity=torch.lerp(own.identity, identity.clamp(-LIMIT, LIMIT), strength),
            albedo=torch.lerp(own.albedo, albedo, strength),
        )
        added = None if face.added is None else face.added * (1 - strength)
        around = face.surroundings
        if around is not None:
            around = replace(around, shares=around.shares * (1 - strength))
        return GeneratedFaces(torch.lerp(face.codes, codes, strength), parameters, added, around)

    def keep(self, face: GeneratedFaces) -> str:
        """Write a face where commands read it; the name of its folder."""
        digest = hashlib.sha256(self.checkpoint.encode())
        around = face.surroundings
        kept: tuple[Tensor, ...] = ()
        if around is not None:
            kept = around.photographs.images, around.photographs.likeness, around.shares
        for value in (face.codes, face.added, *kept, *face.parameters.tensors().values()):
            digest.update(b"" if value is None else value.contiguous().numpy().tobytes())
        folder = self._project.part(f"person-{digest.hexdigest()[:16]}")
        if not (folder / CODES).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            save_people(face, folder)
        return f"{PARTS}/{folder.name}"

    def path(self, folder: str) -> Path:
        """Where a folder of a person is."""
        return self._project.result(folder)

    def sliders_like(self, parameters: FaceParameters, part: str) -> dict[str, float]:
        """Values of the sliders for the expression or the pose of another head.

        Args:
            parameters: That head, one row of the same model.
            part: ``expression`` or ``pose``.

        Raises:
            ConfigError: It is of another model.
        """
        model = self.generator.model
        if parameters.model != model.name:
            raise ConfigError(
                "this head is of another model", expected=model.name, found=parameters.model
            )
        if part == "pose":
            angles = euler_from_rotation(rotation_from_vector(parameters.rotation[0])).rad2deg()
            return {
                f"global_pose {axis}": round(max(-most, min(most, angle)), DECIMALS)
                for (axis, most), angle in zip(LARGEST_TURN.items(), angles.tolist(), strict=True)
            }
        low, high = expression_limits(model)
        values = parameters.expression[0].clamp(low, high).tolist()
        return {
            f"exp {name}": round(value, DECIMALS)
            for name, value in zip(model.expression_names, values, strict=True)
            if abs(value) > SLIGHT
        }


def _keep(kept: OrderedDict[Person, Value], person: Person, value: Value) -> None:
    kept[person] = value
    while len(kept) > AT_HAND:
        kept.popitem(last=False)
