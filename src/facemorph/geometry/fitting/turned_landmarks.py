"""Where a detector sees the landmarks of a head, as a function of how far it is turned.

In the head's frame it is the model's landmark and an offset

    offset(R) = constant + sin(yaw) growing

since networks draw the landmarks of turned faces towards those of a frontal one, and put the jaw
line on the outline.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

# Degrees of yaw up to which the offsets grow: none were measured beyond.
FARTHEST = 35.0
MOST = math.sin(math.radians(FARTHEST))


def constant_offsets(offsets: Tensor) -> Tensor:
    """Offsets ``(68, 2)`` that are the same for all turns, as ``(2, 85, 2)``."""
    whole = torch.zeros(2, 85, 2)
    whole[0, :68] = offsets
    return whole


def turn_of(rotation: Tensor) -> Tensor:
    """What the offsets grow with ``(B,)``: the sine of the yaw of heads with rotations
    ``(B, 3, 3)``.
    """
    return (-rotation[:, 2, 0]).clamp(-MOST, MOST)


def offsets_at(offsets: Tensor, rotation: Tensor, slid: Tensor | None = None) -> Tensor:
    """Offsets of the landmarks of turned heads, millimetres ``(B, 68, 3)`` in the head's frame.

    Args:
        offsets: ``(2, 85, 2)`` millimetres along x and y: constant and growing, of the 68
            landmarks and of the jaw line's 17 once they have slid to the outline.
        rotation: ``(B, 3, 3)`` of the heads.
        slid: ``(B, 17)`` which landmarks of the jaw line have slid; None is none.
    """
    grown = offsets[0] + turn_of(rotation)[:, None, None] * offsets[1]
    return pad(_chosen(grown, slid), (0, 1))


def offsets_derivative(offsets: Tensor, rotation: Tensor, slid: Tensor) -> Tensor:
    """Derivative ``(B, 68, 3, 3)`` of ``offsets_at`` along the three angles of a further small
    turn in the camera's frame.
    """
    turn = turn_of(rotation)
    along = torch.zeros(len(turn), 3).to(rotation)
    along[:, 0], along[:, 1] = -rotation[:, 1, 0], rotation[:, 0, 0]
    along = along * (turn.abs() < MOST)[:, None]
    grown = along[:, None, None] * offsets[1][..., None]
    return pad(_chosen(grown, slid), (0, 0, 0, 1))


def _chosen(rows: Tensor, slid: Tensor | None) -> Tensor:
    """The 68 of 85 rows ``(B, 85, ...)`` that count: the last 17 where the jaw line has slid."""
    if slid is None:
        return rows[:, :68]
    which = slid.view(*slid.shape, *[1] * (rows.ndim - 2))
    return torch.cat([torch.where(which, rows[:, 68:], rows[:, :17]), rows[:, 17:68]], 1)
