"""Meshes out of signed distances: marching cubes on an octree, or on the whole ball.

Most cells of a fine grid are far from the surface. Starting with a coarse grid, a cell goes on only
where the distance at its centre is small enough for the surface to pass through it: ``|f| <= safety
* steepness * half its diagonal``. A distance changes by no more than the way: its steepness is 1. A
field that is still badly trained changes faster, as the differences of neighbouring cells show. At
the end the surface is followed: where it leaves the cells that are kept, those behind are added
until it leaves nowhere, so that no piece which is found ends in a hole. What may be missed is a
piece by itself, smaller than the coarse cells, in a field that is steeper there than between their
centres: ``dense`` looks everywhere.

Corner (i, j, k) of the grid is at ``-1 + 2 (i, j, k) / resolution`` and so are the vertices made of
it. (The released code of ImFace evaluates there and places at ``-1 + 2 i / (resolution - 1)``, half
a millimetre beside.)

Source: Lorensen and Cline 1987 for marching cubes, by libigl.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import ConfigError, GeometryError, MissingExtra
from facemorph.geometry.meshes.mesh_files import Mesh

COARSE = 32
CHUNK = 200_000  # points evaluated at a time
SAFETY = 1.5
# libigl's order
CORNERS = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))

Distance = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Extraction:
    """A surface, and what it took.

    Attributes:
        mesh: Vertices in the cube from -1 to 1, triangles with normals towards larger distances.
        evaluations: Points at which the field was evaluated.
    """

    mesh: Mesh
    evaluations: int


class _Counted:
    """A field evaluated in chunks, counted."""

    def __init__(self, field: Distance) -> None:
        self.field, self.count = field, 0

    @torch.no_grad()
    def __call__(self, points: Tensor) -> Tensor:
        self.count += len(points)
        return torch.cat(
            [self.field(part).reshape(-1).float().cpu() for part in points.split(CHUNK)]
        )


def extract_surface(
    field: Distance,
    resolution: int = 256,
    *,
    dense: bool = False,
    safety: float = SAFETY,
    radius: float | None = 1.0,
) -> Extraction:
    """The surface where a signed distance is 0.

    Args:
        field: Points ``(N, 3)`` in the cube from -1 to 1 to distances ``(N,)``.
        resolution: Cells along each side: a power of 2, from 32 to 1024.
        dense: Evaluate everything there: for fields with details far below the coarse grid's cells.
        safety: How much faster than a distance, or than between cells, the field may change.
        radius: Only cells that touch the ball of this radius; None takes the whole cube.

    Raises:
        ConfigError: The resolution or safety is none of the possible ones.
        GeometryError: The field has no surface there, or is not finite.
        MissingExtra: The package libigl is not installed.
    """
    if resolution < COARSE or resolution > 1024 or resolution & (resolution - 1):
        raise ConfigError(
            "the grid has an unusable resolution",
            where="resolution",
            expected="a power of 2 from 32 to 1024",
            found=resolution,
        )
    if not safety >= 1:
        raise ConfigError(
            "less than a distance changes", where="safety", expected="1 or more", found=safety
        )
    counted = _Counted(field)
    cells = _within(
        _all_cells(resolution if dense else COARSE), resolution if dense else COARSE, radius
    )
    side = resolution if dense else COARSE
    while side < resolution and len(cells):
        values = counted(-1 + (cells.float() + 0.5) * (2 / side))
        _check(values)
        steep = _steepness(cells, values, side).clamp(min=1)
        cells = cells[values.abs() <= safety * steep * np.sqrt(3) / side]  # half a cell's diagonal
        side *= 2
        cells = _within((2 * cells[:, None] + torch.tensor(CORNERS)).reshape(-1, 3), side, radius)
    if not len(cells):
        raise GeometryError(
            "this field has no surface here",
            where="field",
            found="no cell near 0",
            remedy="Try dense=True.",
        )
    return _marched(counted, cells, resolution, radius, follow=not dense)


def _all_cells(side: int) -> Tensor:
    line = torch.arange(side)
    return torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)


def _within(cells: Tensor, side: int, radius: float | None) -> Tensor:
    """Cells whose nearest corner is in the ball."""
    if radius is None:
        return cells
    centres = (-1 + (cells.float() + 0.5) * (2 / side)).abs()
    return cells[(centres - 1 / side).clamp(min=0).norm(dim=1) <= radius]


def _steepness(cells: Tensor, values: Tensor, side: int) -> Tensor:
    """How fast values ``(C,)`` at the centres of cells ``(C, 3)`` change at most towards their
    neighbours among them, ``(C,)``.
    """
    number = _numbers(cells, side + 1)
    order = number.argsort()
    number, height = number[order], values[order]
    square = torch.zeros_like(height)
    for stride in ((side + 1) ** 2, side + 1, 1):
        at = torch.searchsorted(number, number + stride).clamp(max=len(number) - 1)
        change = torch.where(number[at] == number + stride, (height[at] - height).abs(), 0)
        back = torch.zeros_like(height).scatter_reduce_(0, at, change, "amax")
        square += torch.maximum(change, back).square()
    found = torch.empty_like(height)
    found[order] = square.sqrt() * (side / 2)
    return found


def _numbers(places: Tensor, stride: int) -> Tensor:
    """One number for each of some places ``(..., 3)`` of a grid, in their order."""
    return (places[..., 0] * stride + places[..., 1]) * stride + places[..., 2]


def _places(number: Tensor, stride: int) -> Tensor:
    """The places ``(..., 3)`` of ``_numbers``."""
    return torch.stack(
        [number // (stride * stride), number // stride % stride, number % stride], -1
    )


def _corner_places(number: Tensor, resolution: int) -> Tensor:
    """Where corners of the grid are ``(N, 3)``."""
    return -1 + _places(number, resolution + 1).double() * (2 / resolution)


def _check(values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()):
        raise GeometryError("this field has values that are not numbers", where="field")


def _marched(
    counted: _Counted, cells: Tensor, resolution: int, radius: float | None, *, follow: bool
) -> Extraction:
    """Marching cubes on some cells ``(C, 3)`` of the grid."""
    try:
        import igl
    except ImportError as error:
        raise MissingExtra(
            "extraction needs the package libigl",
            where="libigl",
            remedy="pip install 'facemorph-torch[scans]'",
        ) from error
    number, index = torch.unique(
        _numbers(cells[:, None] + torch.tensor(CORNERS), resolution + 1), return_inverse=True
    )
    values = counted(_corner_places(number, resolution).float())
    _check(values)
    if follow:
        number, values, index = _followed(counted, cells, number, values, index, resolution, radius)
    places = _corner_places(number, resolution)
    vertices, faces = igl.marching_cubes(
        values.double().numpy(), places.numpy(), index.numpy().astype(np.int64), 0.0
    )
    if not len(faces):
        raise GeometryError(
            "this field has no surface here",
            where="field",
            expected="values of both signs",
            found=f"{float(values.min()):.3g} to {float(values.max()):.3g}",
        )
    return Extraction(_oriented(vertices, faces, counted), counted.count)


def _followed(
    field: _Counted,
    cells: Tensor,
    number: Tensor,
    values: Tensor,
    index: Tensor,
    resolution: int,
    radius: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """More cells: all neighbours into which the surface goes on, until it goes on nowhere.

    Args:
        field: The field.
        cells: ``(C, 3)``.
        number: Of each of their corners, ascending.
        values: At the corners.
        index: ``(C, 8)`` which corners are the cells'.
        resolution: Cells along each side of the grid.
        radius: Of the ball, or None.

    Returns:
        The last three, of all cells.
    """
    stride, offsets = resolution + 1, torch.tensor(CORNERS)
    known, new, at = _numbers(cells, stride), cells, index
    while True:
        new = _within(_across(new, values[at] > 0, resolution), resolution, radius)
        new = _places(torch.unique(_numbers(new, stride)), stride)
        new = new[~torch.isin(_numbers(new, stride), known, assume_unique=True)]
        if not len(new):
            break
        wanted = torch.unique(_numbers(new[:, None] + offsets, stride))
        wanted = wanted[~torch.isin(wanted, number, assume_unique=True)]
        found = field(_corner_places(wanted, resolution).float())
        _check(found)
        number, order = torch.cat([number, wanted]).sort()
        values = torch.cat([values, found])[order]
        at = torch.searchsorted(number, _numbers(new[:, None] + offsets, stride))
        known, cells = torch.cat([known, _numbers(new, stride)]), torch.cat([cells, new])
    if len(cells) > len(index):
        index = torch.searchsorted(number, _numbers(cells[:, None] + offsets, stride))
    return number, values, index


def _across(cells: Tensor, above: Tensor, resolution: int) -> Tensor:
    """The cells of the grid behind those faces of some cells ``(C, 3)`` whose corners are on both
    sides of the surface, by ``(C, 8)``.
    """
    behind = []
    for axis in range(3):
        for side in (0, 1):
            face = above[:, [number for number, one in enumerate(CORNERS) if one[axis] == side]]
            step = torch.zeros(3, dtype=torch.long)
            step[axis] = 2 * side - 1
            behind.append(cells[face.any(1) & ~face.all(1)] + step)
    found = torch.cat(behind)
    return found[((found >= 0) & (found < resolution)).all(1)]


def _oriented(vertices: Any, faces: Any, field: _Counted) -> Mesh:
    """Triangles turned so that their normals look towards larger distances."""
    mesh = Mesh(
        torch.from_numpy(np.asarray(vertices)).float(), torch.from_numpy(np.asarray(faces)).long()
    )
    some = mesh.faces[torch.linspace(0, len(mesh.faces) - 1, min(len(mesh.faces), 200)).long()]
    a, b, c = mesh.vertices[some].unbind(1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    middle, step, before = (a + b + c) / 3, 1e-2, field.count
    rises = field(middle + step * normal) - field(middle - step * normal)
    field.count = before
    return (
        mesh
        if float((rises > 0).float().mean()) >= 0.5
        else Mesh(mesh.vertices, mesh.faces.flip(1))
    )
