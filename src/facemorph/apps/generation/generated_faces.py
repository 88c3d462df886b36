"""People drawn from a trained generator, their pictures, and their files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from facemorph.apps.generation.surroundings import Surroundings
from facemorph.apps.heads.rendered_head import set_sliders, studio_light
from facemorph.data.condition_set import ConditionedFaces
from facemorph.engine.conditioned_generator import ConditionedGenerator
from facemorph.engine.portrait_frames import framed
from facemorph.errors import CheckpointError
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.rendering.lighting import LEVEL, ambient_light, random_light
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.geometry.synthetic.random_faces import random_expression
from facemorph.ops.rotations import (
    rotation_from_euler,
    vector_from_rotation,
)
from facemorph.storage.checkpoint import load_system
from facemorph.systems.gif.small_system import SmallGIF
from facemorph.systems.gif.system import GIF
from facemorph.systems.varitex.small.system import SmallVariTex

Kind = TypeVar("Kind", bound=nn.Module)

BLOCK = 16  # pictures made at a time
YAW, PITCH = 10.0, 5.0  # standard deviations of random poses, degrees
FURTHEST = 1.8  # of these deviations
LIMIT = 2.5  # standard deviations of an identity
CALM = 0.7  # strength of a random expression
LAMPS = 0.5  # share of a random light beside an even one: sets of portraits have soft light
# Which parts each word varies; the others are those of the first face.
GROUPS = {
    "style": ("codes",),
    "identity": ("identity",),
    "person": ("codes", "identity", "albedo"),
    "expression": ("expression", "joints"),
    "pose": ("rotation",),
    "light": ("light",),
}


@dataclass(frozen=True)
class GeneratedFaces:
    """People and how they are shown.

    Attributes:
        codes: ``(N, C)``.
        parameters: Of the N pictures.
        added: ``(N, ...)`` what an inversion or an edit adds to what codes become, see
            `ConditionedGenerator.with_addition`; None adds nothing.
        surroundings: What photographs show around the faces; None where all is generated.
    """

    codes: Tensor
    parameters: FaceParameters
    added: Tensor | None = None
    surroundings: Surroundings | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice | Tensor) -> Self:
        """Some of the faces."""
        return type(self)(
            self.codes[rows],
            self.parameters[rows],
            None if self.added is None else self.added[rows],
            None if self.surroundings is None else self.surroundings[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Faces of several parts, one after the other; 0 is added where a part adds nothing."""
        added = None
        shape = next((one.added.shape[1:] for one in parts if one.added is not None), None)
        if shape is not None:
            added = torch.cat(
                [torch.zeros(len(one), *shape) if one.added is None else one.added for one in parts]
            )
        around = Surroundings.joined([one.surroundings for one in parts], [*map(len, parts)])
        return cls(
            torch.cat([one.codes for one in parts]),
            FaceParameters.joined([one.parameters for one in parts]),
            added,
            around,
        )


class FaceGenerator:
    """A trained generator with the 3-D model and the renderer that it needs.

    Args:
        system: The trained system.
        model: The model of its training set.
    """

    def __init__(self, system: ConditionedGenerator | GIF, model: MorphableModel) -> None:
        self.system, self.model = system, model
        self.size: int = system.generator.resolution
        skin = skin_basis(model)
        self.plain_render = ConditionRenderer(model, ("render",), self.size, skin=skin)
        self.num_skin = len(skin[1])
        if isinstance(system, ConditionedGenerator):
            self.render = system.renderer(model, self.size)
        else:
            self.render = ConditionRenderer(model, size=self.size, skin=skin)

    @classmethod
    def load(cls, checkpoint: str | Path) -> Self:
        """A trained generator.

        Raises:
            CheckpointError: The checkpoint cannot be loaded, or is of another system.
        """
        system = load_system(checkpoint)
        if not isinstance(system, (ConditionedGenerator, GIF)):
            raise CheckpointError(
                "this checkpoint is of another system",
                where=checkpoint,
                expected="SmallGIF, SmallVariTex or GIF",
                found=type(system).__name__,
                remedy="Train one: facemorph train experiment=gif/small data.folder=SET.",
            )
        return cls(system, load_model(system.model_name))

    @property
    def small(self) -> ConditionedGenerator:
        """The system, where it tells codes of photographs.

        Raises:
            CheckpointError: It is the paper's, whose codes are random and mean nobody.
        """
        lacks, small = "tells no codes of photographs", "SmallGIF or SmallVariTex"
        return self._as(ConditionedGenerator, lacks, "@open:varitex", small)

    @property
    def gif(self) -> SmallGIF:
        """The system, where it has a style for each layer.

        Raises:
            CheckpointError: It is another one.
        """
        return self._as(SmallGIF, "has no styles for its layers", "@open:gif")

    @property
    def varitex(self) -> SmallVariTex:
        """The system, where it makes textures.

        Raises:
            CheckpointError: It is another one.
        """
        return self._as(SmallVariTex, "makes no textures", "@open:varitex")

    def _as(self, kind: type[Kind], lacks: str, other: str, expected: str | None = None) -> Kind:
        if not isinstance(self.system, kind):
            raise CheckpointError(
                f"this generator {lacks}",
                where="checkpoint",
                expected=expected or kind.__name__,
                found=type(self.system).__name__,
                remedy=f"Take --checkpoint {other}.",
            )
        return self.system

    def faces(self, folder: str | Path) -> ConditionedFaces:
        """A set of faces with this generator's conditions.

        Raises:
            DataError: The folder holds no such set.
        """
        kind = ConditionedFaces
        if isinstance(self.system, ConditionedGenerator):
            kind = self.system.data_class
        data = kind(folder, size=self.size, model=self.model.name)
        data.setup()
        return data

    @property
    def code_size(self) -> int:
        """Length of a code."""
        if isinstance(self.system, GIF):
            return self.system.generator.style_size
        size: int = self.system.generator.code
        return size

    def people(
        self, count: int, draw: torch.Generator, spread: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, skin coefficients and identities of people who do not exist.

        Of the paper's GIF they are drawn apart, each from its own prior.

        Args:
            count: How many.
            draw: The random numbers.
            spread: Factor of the standard deviation.
        """
        if isinstance(self.system, ConditionedGenerator):
            return self.system.people.sample(count, draw, spread)
        sizes = (self.code_size, self.num_skin, self.model.num_identity)
        drawn = [torch.randn(count, size, generator=draw) for size in sizes]
        return drawn[0], spread * drawn[1], spread * drawn[2]

    def renders(self, parameters: FaceParameters) -> Tensor:
        """Plain renders ``(N, 3, S, S)`` of faces with the model's own skin."""
        parts = range(0, len(parameters), BLOCK)
        return torch.cat([self.plain_render(parameters[at : at + BLOCK]) for at in parts])

    @torch.no_grad()
    def pictures(self, faces: GeneratedFaces) -> Iterator[Tensor]:
        """Pictures ``(3, S, S)`` in [0, 1], one after the other."""
        for begin in range(0, len(faces), BLOCK):
            some = faces[begin : begin + BLOCK]
            for row, picture in enumerate(self._made(some)):
                if some.surroundings is None:
                    yield picture
                else:
                    face = some.parameters[row]
                    yield some.surroundings.around(row, self.model, face, picture)

    def _made(self, faces: GeneratedFaces) -> Tensor:
        """Pictures ``(N, 3, S, S)``, without what photographs show around faces."""
        if faces.added is None:
            of_vector = isinstance(self.system, GIF) and self.system.kind == "vector"
            given = faces.parameters.vector() if of_vector else self.render(faces.parameters)
            made: Tensor = self.system(faces.codes, given)
            return made
        given = self.render(faces.parameters)
        return self.small.with_addition(faces.codes, faces.added, given).clamp(0, 1)


def drawn_faces(
    generator: FaceGenerator, count: int, seed: int, spread: float, vary: str
) -> GeneratedFaces:
    """People drawn at random, in random poses, expressions and light.

    All of a face follows from the seed and its number.

    Args:
        generator: The generator.
        count: How many.
        seed: Of the random numbers.
        spread: Factor of the people's standard deviation.
        vary: ``all``, or a key of ``GROUPS``.
    """
    model = generator.model
    people = generator.people(count, torch.Generator().manual_seed(seed), spread)
    codes, albedo, identity = people
    neutral = FaceParameters.neutral(model, count, albedo.shape[1])
    expressions, turns, lights = [], [], []
    for number in range(count):
        random = np.random.default_rng([seed, number])
        expressions.append(random_expression(model, random) * CALM)
        angles = random.normal(0, 1, 2).clip(-FURTHEST, FURTHEST) * np.radians((YAW, PITCH))
        yaw, pitch = torch.tensor(angles, dtype=torch.float32)
        turns.append(rotation_from_euler(yaw, pitch, torch.zeros(())))
        drawn = random_light(1, torch.Generator().manual_seed(int(random.integers(2**62))))[0]
        lights.append(LAMPS * drawn + (1 - LAMPS) * ambient_light(LEVEL))
    faces = GeneratedFaces(
        codes,
        replace(
            neutral,
            identity=identity.clamp(-LIMIT, LIMIT),
            albedo=albedo,
            expression=torch.stack(expressions),
            rotation=vector_from_rotation(torch.stack(turns)),
            light=torch.stack(lights),
        ),
    )
    return GeneratedFaces(*_fixed(faces, vary))


def _fixed(faces: GeneratedFaces, vary: str) -> tuple[Tensor, FaceParameters]:
    """Codes and parameters in which only a group varies."""
    if vary == "all":
        return faces.codes, faces.parameters
    first = torch.zeros(len(faces), dtype=torch.long)
    free = GROUPS[vary]
    kept: dict[str, Any] = {
        name: value if name in free else value[first]
        for name, value in faces.parameters.tensors().items()
    }
    codes = faces.codes if "codes" in free else faces.codes[first]
    return codes, replace(faces.parameters, **kept)


def changed(
    generator: FaceGenerator,
    faces: GeneratedFaces,
    strengths: Mapping[str, float],
    yaw: float | None,
    pitch: float | None,
    light: str | None,
) -> GeneratedFaces:
    """The same people with some of how they are shown set, and framed anew.

    Raises:
        ConfigError: There is no such expression, or its value is out of range.
    """
    model = generator.model
    parameters = set_sliders(faces.parameters, model, strengths, {}, {})
    if yaw is not None or pitch is not None:
        turn = [torch.tensor(math.radians(angle or 0.0)) for angle in (yaw, pitch)]
        rotation = rotation_from_euler(turn[0], turn[1], torch.zeros(()))
        vector = vector_from_rotation(rotation[None]).expand(len(faces), -1)
        parameters = replace(parameters, rotation=vector.clone())
    if light is not None:
        parameters = replace(parameters, light=studio_light(light).expand(len(faces), -1, -1))
    return replace(faces, parameters=framed(model, parameters, generator.size))
