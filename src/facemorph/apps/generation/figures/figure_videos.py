"""Figures that move: from person to person, and people who speak."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.generation.figures.choices import FigureOptions
from facemorph.apps.generation.figures.figure_faces import (
    at_rest,
    between,
    chosen_people,
    placed,
    with_values,
)
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.heads.driven_portrait import transfer
from facemorph.fields.warps.time_curves import curve_value
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import vertices_of

EASING = "ease"


def tiled(pictures: list[Tensor], columns: int, size: int | None) -> Tensor:
    """Pictures ``(3, S, S)`` of equal size in rows; white where the last row is short.

    Args:
        pictures: The pictures.
        columns: In a row, at most.
        size: Side of each in pixels; None leaves it.
    """
    shown = torch.stack(pictures)
    if size is not None and size != shown.shape[-1]:
        shown = functional.interpolate(
            shown, (size, size), mode="bilinear", antialias=True, align_corners=False
        ).clamp(0, 1)
    across = min(columns, len(shown))
    missing = -len(shown) % across
    shown = torch.cat([shown, torch.ones(missing, *shown.shape[1:])])
    return torch.cat([torch.cat(list(row), 2) for row in shown.split(across)], 1)


def interpolation(generator: FaceGenerator, options: FigureOptions) -> tuple[Iterator[Tensor], int]:
    """Frames of videos side by side, each from person to person and back to the first; how many.

    Args:
        generator: The generator.
        options: ``columns`` is the number of videos, whose people follow one after the other.
    """
    people, videos = options.count, 1 if options.start is not None else options.columns
    faces = chosen_people(
        generator, people * videos, options.seed, options.spread, options.start, 2
    )
    people = len(faces) // videos
    frames = _from_person_to_person(generator, faces, people, videos, options)
    return frames, people * options.frames


def _from_person_to_person(
    generator: FaceGenerator,
    faces: GeneratedFaces,
    people: int,
    videos: int,
    options: FigureOptions,
) -> Iterator[Tensor]:
    side_by_side = round(videos**0.5) if videos > 3 else videos
    for person in range(people):
        begin = torch.arange(videos) * people + person
        end = torch.arange(videos) * people + (person + 1) % people
        rows = torch.arange(options.frames).repeat_interleave(videos)
        share = torch.tensor(
            [curve_value(EASING, int(row) / options.frames, "easing") for row in rows]
        )
        one, other = (faces[which.repeat(options.frames)] for which in (begin, end))
        moving = placed(generator, between(one, other, share))
        yield from _frames(generator, moving, videos, side_by_side, options.size)


def _frames(
    generator: FaceGenerator, faces: GeneratedFaces, each: int, columns: int, size: int | None
) -> Iterator[Tensor]:
    """Frames of faces, ``each`` of which belong to one frame."""
    tiles: list[Tensor] = []
    for picture in generator.pictures(faces):
        tiles.append(picture)
        if len(tiles) == each:
            yield tiled(tiles, columns, size)
            tiles = []


def path_between(
    generator: FaceGenerator, first: GeneratedFaces, second: GeneratedFaces, shares: list[float]
) -> Iterator[Tensor]:
    """Pictures ``(3, S, S)`` on the way from one face to another one.

    Args:
        generator: The generator.
        first: One face.
        second: The other.
        shares: How far, for each picture.
    """
    rows = torch.zeros(len(shares), dtype=torch.long)
    moving = between(first[rows], second[rows], torch.tensor(shares))
    return generator.pictures(placed(generator, moving))


def speech(
    generator: FaceGenerator, options: FigureOptions, driving: Path
) -> tuple[Iterator[Tensor], int]:
    """Frames of people side by side who move as a recording does; how many.

    Expression, joints and rotation are those of the recording against its own face at rest. Heads
    are framed as they are without the recording's expression, so that speech does not shake them.

    Args:
        generator: The generator.
        options: People's own expression gives way to the recording's. Random people look ahead at
            rest; those of a folder as they do there.
        driving: The recording's face parameters.

    Raises:
        DataError: It cannot be read, or belongs to another model.
    """
    recording = FaceParameters.load(driving)
    vertices_of(generator.model, recording[0])  # the model's, or an error
    people = chosen_people(generator, options.count, options.seed, options.spread, options.start)
    calm = at_rest(people)
    if options.start is not None:
        calm = with_values(calm, rotation=people.parameters.rotation)
    people = placed(generator, with_values(calm, light=people.parameters.light))
    moved = [driven(generator, people[row : row + 1], recording) for row in range(len(people))]
    count, frames = len(people), len(recording)
    order = (torch.arange(frames)[:, None] + torch.arange(count) * frames).flatten()
    faces = GeneratedFaces.joined(moved)[order]
    return _frames(generator, faces, count, options.columns, options.size), frames


def driven(
    generator: FaceGenerator, person: GeneratedFaces, recording: FaceParameters
) -> GeneratedFaces:
    """One person moved as a recording: a face for each of its frames.

    Args:
        generator: The generator.
        person: One face.
        recording: Frames of the same model.
    """
    moved = transfer(person.parameters, recording, generator.model, "rest")
    repeated = person[torch.zeros(len(recording), dtype=torch.long)]
    calm = with_values(repeated, rotation=moved.rotation)
    where = placed(generator, calm).parameters
    return replace(
        repeated, parameters=replace(moved, origin=where.origin, log_size=where.log_size)
    )
