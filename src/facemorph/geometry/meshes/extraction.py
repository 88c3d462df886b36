"""Meshes out of signed distances: marching cubes on an octree, or on the whole grid.

Most cells of a fine grid are far from the surface. Starting with a coarse grid, a cell goes on only
where the distance at its centre is small enough for the surface to pass through it: ``|f| <= safety
* half its diagonal`` (a distance changes by no more than the way). A field that is still badly
trained changes faster: hence the safety, and ``dense``.

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
        dense: Evaluate the whole grid: for fields that are no distances.
        safety: How much faster than a distance the field may change.
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
    while not dense:
        values = counted(-1 + (cells.float() + 0.5) * (2 / side))
        _check(values)
        cells = cells[values.abs() <= safety * np.sqrt(3) / side]  # half a cell's diagonal
        if side == resolution or not len(cells):
            break
        steps = torch.tensor(CORNERS)
        cells = (2 * cells[:, None] + steps).reshape(-1, 3)
        side *= 2
        cells = _within(cells, side, radius)
    if not len(cells):
        raise GeometryError(
            "this field has no surface here",
            where="field",
            found="no cell near 0",
            remedy="Try dense=True.",
        )
    return _marched(counted, cells, resolution)


def _all_cells(side: int) -> Tensor:
    line = torch.arange(side)
    return torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)


def _within(cells: Tensor, side: int, radius: float | None) -> Tensor:
    """Cells whose nearest corner is in the ball."""
    if radius is None:
        return cells
    centres = (-1 + (cells.float() + 0.5) * (2 / side)).abs()
    return cells[(centres - 1 / side).clamp(min=0).norm(dim=1) <= radius]


def _check(values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()):
        raise GeometryError("this field has values that are not numbers", where="field")


def _marched(counted: _Counted, cells: Tensor, resolution: int) -> Extraction:
    """Marching cubes on some cells ``(C, 3)`` of the grid."""
    try:
        import igl
    except ImportError as error:
        raise MissingExtra(
            "extraction needs the package libigl",
            where="libigl",
            remedy="pip install 'facemorph-torch[scans]'",
        ) from error
    stride = resolution + 1
    corners = cells[:, None] + torch.tensor(CORNERS)
    number = (corners[..., 0] * stride + corners[..., 1]) * stride + corners[..., 2]
    unique, index = torch.unique(number, return_inverse=True)
    grid = torch.stack([unique // (stride * stride), unique // stride % stride, unique % stride], 1)
    places = -1 + grid.double() * (2 / resolution)
    values = counted(places.float())
    _check(values)
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
