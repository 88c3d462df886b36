"""Held-out faces of a set, and what is seen in pictures of faces."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.generation.generated_faces import FaceGenerator
from facemorph.data.condition_set import ConditionedFaces
from facemorph.engine.conditioned_generator import ConditionedGenerator
from facemorph.errors import DataError
from facemorph.faces.identity import IdentityEmbedding
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame

LEAST = 20  # held-out pictures
SIDE = 256  # side at which faces are described
BLOCK = 32


@dataclass(frozen=True)
class Held:
    """Pictures with their parameters and codes.

    Attributes:
        images: ``(N, 3, S, S)``.
        conditions: ``(N, 9, S, S)``.
        parameters: Of the N pictures.
        codes: ``(N, C)``, as the system tells them of held-out people.
        person: ``(N,)``.
    """

    images: Tensor
    conditions: Tensor
    parameters: FaceParameters
    codes: Tensor
    person: Tensor


def held_rows(
    generator: FaceGenerator, data: ConditionedFaces, split: str, count: int, seed: int
) -> Held:
    """At most ``count`` pictures of a split.

    Raises:
        DataError: It has too few.
    """
    part = data.conditioned.get(split)
    if part is None or len(part) < LEAST:
        raise DataError(
            "too few held-out pictures for a distance",
            where=f"{data.folder}, split {split}",
            expected=f"{LEAST} or more",
            found=0 if part is None else len(part),
            remedy="Choose the other --split, or prepare the set with a larger --validation.",
        )
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))[:count]
    faces = [part[int(row)] for row in order]
    rows = torch.stack([face["index"] for face in faces])
    person = torch.stack([face["person"] for face in faces])
    codes = torch.zeros(len(faces), 0)
    if isinstance(generator.system, ConditionedGenerator):
        codes = generator.system.held_out_codes(data, split, order)
    return Held(
        torch.stack([face["image"] for face in faces]),
        torch.stack([face["conditions"] for face in faces]),
        data.parameters[rows],
        codes,
        person,
    )


@torch.no_grad()
def descriptors(pictures: Tensor, landmarks: Tensor) -> Tensor:
    """Descriptors ``(N, 128)`` of pictures with landmarks ``(N, 68, 2)``."""
    embed, scale = IdentityEmbedding(), SIDE / pictures.shape[-1]
    return torch.cat(
        [
            embed(enlarged(some), marks * scale)
            for some, marks in zip(pictures.split(BLOCK), landmarks.split(BLOCK), strict=True)
        ]
    )


def enlarged(pictures: Tensor) -> Tensor:
    """Pictures ``(N, 3, 256, 256)`` of generated ones, for networks that look at faces."""
    return functional.interpolate(
        pictures, (SIDE, SIDE), mode="bicubic", align_corners=False
    ).clamp(0, 1)


def landmarks_of(generator: FaceGenerator, parameters: FaceParameters) -> Tensor:
    """Landmarks ``(N, 68, 2)`` in pixels of the pictures."""
    frame = Frame(generator.size, generator.size)
    points = generator.model.landmarks(vertices_of(generator.model, parameters))
    return camera_of(parameters, frame).project(points).pixels
