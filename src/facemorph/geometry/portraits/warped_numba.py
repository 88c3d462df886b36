"""A photograph warped by a coarse flow, with a coarse picture laid over it, in one compiled pass:
the longest part of a frame of a reenactment.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]
BEND = -0.75  # of the cubic kernel, as torch has it


def warped_photograph(coarse: Tensor, photograph: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Both pictures, on the CPU and without gradients.

    The plain twin, with gradients, is in ``systems.gdpw.small_generator``: ``ops.filters.enlarged``
    and a bicubic ``grid_sample``.

    Args:
        coarse: ``(1, 6, h, w)``: a flow in halves of the side, the share of the picture that lies
            over the photograph, and its colours times that share.
        photograph: ``(1, 3, H, W)``, H and W at least h and w.
        factor: ``(1, 1, H, W)`` or broadcast to that: what the colours are multiplied with.

    Returns:
        ``(1, 3, H, W)`` the photograph with the picture over it, and the warped photograph alone.
    """
    height, width = photograph.shape[2:]
    picture, warped = torch.empty(1, 3, height, width), torch.empty(1, 3, height, width)
    _compose(
        coarse[0].float().contiguous().numpy(),
        photograph[0].float().contiguous().numpy(),
        factor.float().expand(1, 1, height, width)[0, 0].contiguous().numpy(),
        *_taps(coarse.shape[3], width),
        *_taps(coarse.shape[2], height),
        picture[0].numpy(),
        warped[0].numpy(),
    )
    return picture, warped


@lru_cache(maxsize=8)
def _taps(old: int, new: int) -> tuple[Array, Array]:
    """Which four of ``old`` values make each of ``new`` ones, and their weights: ``(new, 4)``."""
    place = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(place)
    index = first[:, None] + np.arange(-1, 3)
    weights = np.stack(_cubic.py_func((place - first).astype(np.float32)), 1)
    return index.clip(0, old - 1).astype(np.int64), weights


@numba.njit(cache=True, fastmath=True)
def _compose(
    coarse: Array,
    photograph: Array,
    factor: Array,
    columns: Array,
    across: Array,
    rows: Array,
    down: Array,
    picture: Array,
    warped: Array,
) -> None:
    """Fill ``picture`` and ``warped`` (3, H, W) row by row."""
    channels, low = coarse.shape[0], coarse.shape[1]
    height, width = factor.shape
    wide = np.empty((channels, low, width), np.float32)
    for channel in range(channels):
        for y in range(low):
            for x in range(width):
                total = np.float32(0.0)
                for tap in range(4):
                    total += coarse[channel, y, columns[x, tap]] * across[x, tap]
                wide[channel, y, x] = total
    line = np.empty((channels, width), np.float32)
    half_width, half_height = np.float32(width) / 2, np.float32(height) / 2
    one, zero = np.float32(1.0), np.float32(0.0)
    for y in range(height):
        a, b, c, d = down[y, 0], down[y, 1], down[y, 2], down[y, 3]
        for channel in range(channels):
            first, second = wide[channel, rows[y, 0]], wide[channel, rows[y, 1]]
            third, fourth = wide[channel, rows[y, 2]], wide[channel, rows[y, 3]]
            for x in range(width):
                line[channel, x] = a * first[x] + b * second[x] + c * third[x] + d * fourth[x]
        for x in range(width):
            place_x = np.float32(x) + line[0, x] * half_width
            place_y = np.float32(y) + line[1, x] * half_height
            begin_x, begin_y = np.floor(place_x), np.floor(place_y)
            i0, i1, i2, i3 = _four(int(begin_x), width)
            j0, j1, j2, j3 = _four(int(begin_y), height)
            p0, p1, p2, p3 = _cubic(place_x - begin_x)
            q0, q1, q2, q3 = _cubic(place_y - begin_y)
            over = min(max(line[2, x], zero), one)
            light = factor[y, x]
            for channel in range(3):
                source = photograph[channel]
                total = (
                    q0 * _row(source, j0, i0, i1, i2, i3, p0, p1, p2, p3)
                    + q1 * _row(source, j1, i0, i1, i2, i3, p0, p1, p2, p3)
                    + q2 * _row(source, j2, i0, i1, i2, i3, p0, p1, p2, p3)
                    + q3 * _row(source, j3, i0, i1, i2, i3, p0, p1, p2, p3)
                )
                warped[channel, y, x] = total
                picture[channel, y, x] = total * (one - over) + line[3 + channel, x] * light


@numba.njit(cache=True, fastmath=True, inline="always")
def _row(
    source: Array, j: Any, i0: Any, i1: Any, i2: Any, i3: Any, p0: Any, p1: Any, p2: Any, p3: Any
) -> Any:
    """Four values of a row, weighted."""
    return p0 * source[j, i0] + p1 * source[j, i1] + p2 * source[j, i2] + p3 * source[j, i3]


@numba.njit(cache=True, inline="always")
def _four(first: int, size: int) -> tuple[Any, Any, Any, Any]:
    """The four places around one, held to the border; unsigned, as no place is looked at from the
    end then.
    """
    last = size - 1
    return (
        np.uint64(min(max(first - 1, 0), last)),
        np.uint64(min(max(first, 0), last)),
        np.uint64(min(max(first + 1, 0), last)),
        np.uint64(min(max(first + 2, 0), last)),
    )


@numba.njit(cache=True, fastmath=True, inline="always")
def _cubic(t: Any) -> tuple[Any, Any, Any, Any]:
    """Weights of the four values around a place, or places, ``t`` behind the second of them."""
    one, two, bend = np.float32(1.0), np.float32(2.0), np.float32(BEND)
    s = one - t
    return (
        bend * t * s * s,
        ((bend + two) * t - (bend + two + one)) * t * t + one,
        ((bend + two) * s - (bend + two + one)) * s * s + one,
        bend * s * t * t,
    )
