"""People of figures: chosen, combined, and in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph.apps.generation.face_files import read_faces
from facemorph.apps.generation.generated_faces import (
    FaceGenerator,
    GeneratedFaces,
    drawn_faces,
    framed,
)
from facemorph.apps.heads.rendered_head import studio_light
from facemorph.errors import DataError
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.rotations import rotation_from_vector, vector_from_rotation

BLOCK = 64  # faces that are framed at a time


def chosen_people(
    generator: FaceGenerator,
    count: int,
    seed: int,
    spread: float,
    start: Path | None,
    least: int = 1,
) -> GeneratedFaces:
    """Random people in random poses, expressions and light, or the first of a folder.

    Args:
        generator: The generator.
        count: How many, at most.
        seed: Of the random numbers.
        spread: Factor of the people's standard deviation.
        start: Folder of an earlier sample or inversion.
        least: How many are needed.

    Raises:
        DataError: The folder holds fewer than are needed, or is none of this generator.
    """
    if start is None:
        faces = drawn_faces(generator, count, seed, spread, "all")
    else:
        faces = read_faces(start, generator)
    if len(faces) < least:
        raise DataError(
            "too few faces for this figure",
            where=start,
            expected=f"{least} or more",
            found=len(faces),
            remedy="Give the folder of a sample with more, or leave --from out.",
        )
    return placed(generator, faces[:count])


def first_face(folder: Path, generator: FaceGenerator) -> GeneratedFaces:
    """The first face of an earlier sample or inversion.

    Raises:
        DataError: The folder holds none, or those of another generator or model.
    """
    return read_faces(folder, generator)[:1]


def placed(generator: FaceGenerator, faces: GeneratedFaces) -> GeneratedFaces:
    """The same faces, framed as the crops of FFHQ frame them."""
    parts = [
        framed(generator.model, faces.parameters[begin : begin + BLOCK], generator.size)
        for begin in range(0, len(faces), BLOCK)
    ]
    return replace(faces, parameters=FaceParameters.joined(parts))


def with_values(faces: GeneratedFaces, **values: Tensor) -> GeneratedFaces:
    """The same faces with some tensors of their parameters replaced, broadcast to all."""
    tensors = faces.parameters.tensors()
    kept: dict[str, Any] = {
        name: value.expand_as(tensors[name]).clone() for name, value in values.items()
    }
    return replace(faces, parameters=replace(faces.parameters, **kept))


def exchanged(
    faces: GeneratedFaces, others: GeneratedFaces, names: Sequence[str]
) -> GeneratedFaces:
    """The same faces with some of others' parts.

    Args:
        faces: The faces.
        others: As many others.
        names: Of tensors of the parameters; ``codes`` is the style: code, what is added to it, and
            what is around the face.
    """
    tensors = others.parameters.tensors()
    taken: dict[str, Any] = {name: tensors[name] for name in names if name != "codes"}
    mixed = replace(faces, parameters=replace(faces.parameters, **taken))
    if "codes" not in names:
        return mixed
    return replace(mixed, codes=others.codes, added=others.added, surroundings=others.surroundings)


def at_rest(faces: GeneratedFaces) -> GeneratedFaces:
    """The same people without expression, from the front, under a lamp beside the camera."""
    zeros = {
        name: torch.zeros_like(faces.parameters.tensors()[name])
        for name in ("expression", "joints", "rotation")
    }
    return with_values(faces, **zeros, light=studio_light("front"))


def between(one: GeneratedFaces, other: GeneratedFaces, share: Tensor) -> GeneratedFaces:
    """Faces on the way from some to others: numbers on straight lines, rotations on the shortest
    turn.

    Args:
        one: N faces.
        other: N others.
        share: ``(N,)`` how far.
    """
    first, second = one.parameters.tensors(), other.parameters.tensors()
    mixed: dict[str, Any] = {
        name: torch.lerp(value, second[name], share.reshape(-1, *[1] * (value.ndim - 1)))
        for name, value in first.items()
    }
    begin, end = (rotation_from_vector(part["rotation"]) for part in (first, second))
    turn = vector_from_rotation(begin.transpose(1, 2) @ end)
    mixed["rotation"] = vector_from_rotation(begin @ rotation_from_vector(turn * share[:, None]))
    codes = torch.lerp(one.codes, other.codes, share[:, None])
    both = GeneratedFaces.joined([one, other])
    added, around = both.added, both.surroundings
    if added is not None:
        share_of = share.view(-1, *[1] * (added.ndim - 1))
        added = torch.lerp(added[: len(one)], added[len(one) :], share_of)
    if around is not None:
        shares = torch.lerp(around.shares[: len(one)], around.shares[len(one) :], share[:, None])
        around = replace(around, shares=shares)
    return GeneratedFaces(codes, replace(one.parameters, **mixed), added, around)
