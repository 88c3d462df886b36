"""Dense maps of warps: where every pixel of one time lies at another, and what the map does to
areas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from facemorph.fields.warps.warp import Warp
from facemorph.ops.frames import Frame
from facemorph.ops.splines import interpolation_matrix

CHUNK = 65536


def dense_map(warp: Warp, frame: Frame, t0: float, t1: float, nodes: int | None = -1) -> Tensor:
    """Positions at time ``t1`` of all pixel centres at time ``t0``.

    A smooth warp is evaluated on a coarse lattice that overhangs the frame by two nodes and
    interpolated by cubic splines, which are two small matrix products.

    Args:
        warp: The warp.
        frame: The frame of both times.
        t0: Time of the pixel centres.
        t1: Time of the positions.
        nodes: Lattice nodes along the longer side; -1 takes the warp's own number, None evaluates
            every pixel.

    Returns:
        ``(H, W, 2)`` field coordinates; exactly the pixel centres where ``t0 == t1``.
    """
    direct = getattr(warp, "dense_positions", None)
    if direct is not None and nodes == -1:  # a warp that knows a faster way
        positions: Tensor = direct(frame, t0, t1)
        return positions
    device = device_of(warp)
    centres = frame.pixel_centres(device=device)
    if t0 == t1:
        return centres
    nodes = warp.lattice_nodes if nodes == -1 else nodes
    if nodes is None:
        flat = centres.reshape(-1, 2)
        return (
            torch.cat([warp(part, t0, t1) for part in flat.split(CHUNK)])
            .to(centres)
            .reshape(centres.shape)
        )
    _, _, up_x, up_y = lattice(frame, nodes)
    shift = lattice_shift(warp, frame, t0, t1, nodes).permute(2, 0, 1)
    return (up_y.to(shift) @ shift @ up_x.to(shift).mT).permute(1, 2, 0).to(centres) + centres


def lattice_shift(warp: Warp, frame: Frame, t0: float, t1: float, nodes: int) -> Tensor:
    """Displacement ``(rows, columns, 2)`` from ``t0`` to ``t1`` of the nodes of ``lattice(frame,
    nodes)``.

    What the warp has already computed, in ``warp.shifts``, is taken from there.
    """
    known = getattr(warp, "shifts", {}).get((frame, t0, t1, nodes))
    if known is not None:
        return known
    x, y, _, _ = lattice(frame, nodes)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    flat = grid.reshape(-1, 2).to(device_of(warp))
    return (warp(flat, t0, t1) - flat).reshape(grid.shape)


def smallest_area(frame: Frame, nodes: int, shifts: Sequence[Tensor]) -> float:
    """Smallest area of a cell of ``lattice(frame, nodes)`` that displacements ``(rows, columns,
    2)`` carry.

    In units of a cell; 0 or less is a fold. Minus infinity where a displacement is no number.
    """
    x, y, _, _ = lattice(frame, nodes)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(shifts[0].device)
    cell = float((x[1] - x[0]) * (y[1] - y[0]))
    smallest = torch.stack([map_determinants(grid + shift).min() for shift in shifts]).min() / cell
    return float(smallest) if bool(torch.isfinite(smallest)) else -math.inf


def device_of(warp: object) -> torch.device:
    """Device of a warp's parameters or buffers; the CPU where it has none."""
    tensors = [*getattr(warp, "parameters", list)(), *getattr(warp, "buffers", list)()]
    return tensors[0].device if tensors else torch.device("cpu")


@lru_cache(maxsize=16)
def lattice(frame: Frame, nodes: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Node coordinates along x and y, and the spline matrices from them to the pixel centres along
    x and y.

    ``nodes`` along the longer side, plus two overhanging ones at each end.
    """
    spacing = 2.0 / (nodes - 1)
    axes, matrices = [], []
    for length in (frame.width, frame.height):
        half = length / (2 * frame.half_extent)
        inside = math.ceil(half / spacing - 1e-9)
        axis = torch.arange(-inside - 2, inside + 3, dtype=torch.float64) * spacing
        centres = (torch.arange(length, dtype=torch.float64) + 0.5 - length / 2) / frame.half_extent
        axes.append(axis.float())
        matrices.append(interpolation_matrix(axis, centres).float())
    return axes[0], axes[1], matrices[0], matrices[1]


def map_determinants(positions: Tensor) -> Tensor:
    """Forward-difference Jacobian determinants of a map on a regular grid; 0 or less is a fold.

    Args:
        positions: ``(H, W, 2)`` positions of the points of a regular grid.

    Returns:
        ``(H - 1, W - 1)`` determinants in units of one grid cell.
    """
    along_x = positions[:-1, 1:] - positions[:-1, :-1]
    along_y = positions[1:, :-1] - positions[:-1, :-1]
    return along_x[..., 0] * along_y[..., 1] - along_x[..., 1] * along_y[..., 0]
