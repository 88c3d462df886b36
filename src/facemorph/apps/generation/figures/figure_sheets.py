"""Figures that are one picture: a table of faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from facemorph.apps.generation.figures.choices import FigureOptions
from facemorph.apps.generation.figures.figure_faces import (
    at_rest,
    chosen_people,
    exchanged,
    placed,
)
from facemorph.apps.generation.figures.teaser_rows import skin_of, teaser_rows
from facemorph.apps.generation.generated_faces import BLOCK, FaceGenerator, GeneratedFaces
from facemorph.apps.morphing.morph_pictures import contact_sheet

CELL = 160
Table = Sequence[Sequence[tuple[str, GeneratedFaces]]]
# What each column of the figure of roles takes of the target besides.
ROLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("source", ()),
    ("shape of the target", ("identity",)),
    ("+ expression", ("expression", "joints")),
    ("+ pose", ("rotation",)),
    ("+ skin", ("albedo",)),
    ("+ style", ("codes",)),
    ("+ light = target", ("light",)),
)


def drawn_table(
    generator: FaceGenerator, table: Table, size: int | None, renders: bool = False
) -> Tensor:
    """A captioned sheet ``(3, H, W)`` of a table of faces, with their renders below if wanted.

    Args:
        generator: The generator.
        table: Caption and one face for each cell.
        size: Side of a cell in pixels.
        renders: Whether the renders are shown.
    """
    faces = placed(generator, GeneratedFaces.joined([face for row in table for _, face in row]))
    pictures = iter(list(generator.pictures(faces)))
    shown: Iterator[Tensor] = iter(renders_of(generator, faces) if renders else ())
    rows = []
    for row in table:
        rows.append([(caption, next(pictures)) for caption, _ in row])
        if renders:
            rows.append([("its render", next(shown)) for _ in row])
    return contact_sheet(rows, size or CELL)


@torch.no_grad()
def renders_of(generator: FaceGenerator, faces: GeneratedFaces) -> list[Tensor]:
    """Renders ``(3, S, S)`` that faces are made of, on white."""
    found: list[Tensor] = []
    for begin in range(0, len(faces), BLOCK):
        maps = generator.render(faces.parameters[begin : begin + BLOCK])
        found += (maps[:, :3] + 1 - maps[:, 6:7]).clamp(0, 1)
    return found


def roles(generator: FaceGenerator, options: FigureOptions) -> Tensor:
    """Pairs of people: the first becomes the second, group of parameters by group."""
    people = chosen_people(
        generator, 2 * options.count, options.seed, options.spread, options.start, 2
    )
    table = []
    for row in range(0, len(people) - 1, 2):
        face, target = (
            people[row : row + 1],
            people[row + 1 : row + 2],
        )
        cells = []
        for caption, names in ROLES:
            face = exchanged(face, target, names)
            cells.append((caption, face))
        table.append(cells)
    return drawn_table(generator, table, options.size, options.renders)


def teaser(generator: FaceGenerator, options: FigureOptions) -> Tensor:
    """Each parameter alone from one end to the other, a row for each; one block for each person."""
    people = at_rest(
        chosen_people(generator, options.count, options.seed, options.spread, options.start)
    )
    table = []
    for number in range(len(people)):
        person = people[number : number + 1]
        for row in teaser_rows(generator.model, person, skin_of(generator)):
            ends = torch.linspace(row.low, row.high, options.columns, dtype=torch.float64)
            values = [round(value, 3) for value in ends.tolist()]
            table.append([(f"{row.name} {value:.3g}", row.change(value)) for value in values])
    return drawn_table(generator, table, options.size, options.renders)


def grid(generator: FaceGenerator, options: FigureOptions) -> Tensor:
    """People in rows; each column has one pose, expression and light for all of them."""
    people = chosen_people(generator, options.count, options.seed, options.spread, options.start)
    ways = chosen_people(generator, options.columns, options.seed + 1, 1.0, None)
    table = []
    for row in range(len(people)):
        person = people[row : row + 1]
        cells = []
        for column in range(len(ways)):
            shown = ways[column : column + 1]
            names = ("expression", "joints", "rotation", "light")
            caption = f"person {row + 1}" if column == 0 else ""
            cells.append((caption, exchanged(person, shown, names)))
        table.append(cells)
    return drawn_table(generator, table, options.size, options.renders)


@torch.no_grad()
def mixing(generator: FaceGenerator, options: FigureOptions) -> Tensor:
    """Pairs of people: the first with the second's style in a third of the layers, and in all."""
    people = chosen_people(
        generator, 2 * options.count, options.seed, options.spread, options.start, 2
    )
    people = replace(people, surroundings=None)  # styles make what is around a face too
    network = generator.gif.generator
    added = people.added
    if added is None:
        added = torch.zeros(len(people), *generator.gif.addition_shape())
    styles = network.mapping(people.codes)[:, None] + generator.gif.parts_of(added)[0]
    ends = [round(third * network.num_styles / 3) for third in range(4)]
    ranges = [*pairwise(ends), (0, network.num_styles)]
    table = []
    for row in range(0, len(people) - 1, 2):
        face = people[row : row + 1]
        cells = [("source", face)]
        for low, high in ranges:
            own = added[row : row + 1].clone()
            generator.gif.parts_of(own)[0][:, low:high] += (styles[row + 1] - styles[row])[low:high]
            caption = (
                "all styles of the other"
                if high - low == network.num_styles
                else (f"its layers {low + 1} to {high}")
            )
            cells.append((caption, replace(face, added=own)))
        cells.append(("the other", people[row + 1 : row + 2]))
        table.append(cells)
    return drawn_table(generator, table, options.size, options.renders)
