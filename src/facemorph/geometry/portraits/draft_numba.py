"""A moved photograph in one compiled pass, for drafts; its careful twin is ``PortraitWarp``.

Pictures are ``(H, W, C)`` here: the channels of a pixel lie beside each other.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]


@numba.njit(cache=True)
def covered(mask: Array, face: Array, weights: Array, faces: Array, values: Array) -> Array:
    """Values of vertices ``(V,)`` at the pixels ``(H, W)`` of one picture's fragments, 0 beside
    them.
    """
    height, width = mask.shape
    found = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                corners = faces[face[y, x]]
                found[y, x] = (
                    weights[y, x, 0] * values[corners[0]]
                    + weights[y, x, 1] * values[corners[1]]
                    + weights[y, x, 2] * values[corners[2]]
                )
    return found


@numba.njit(cache=True, inline="always")
def _cell(place: Any, count: int) -> Any:
    """The two of ``count`` pixels around a place in units of pixels from the first one's centre,
    and how far it is on the way; the border beyond.
    """
    inside = min(max(place, np.float32(0.0)), np.float32(count - 1))
    first = int(inside)
    return first, min(first + 1, count - 1), inside - np.float32(first)


@numba.njit(cache=True, inline="always")
def _mix(picture: Array, rows: Any, columns: Any, channel: int) -> Any:
    """The bilinear value of a picture ``(H, W, C)`` in the cells of a place, in float32 all along:
    ``1 - share`` would be of float64 here.
    """
    top, bottom, down = rows
    left, right, along = columns
    upper, lower = picture[top, left, channel], picture[bottom, left, channel]
    upper += along * (picture[top, right, channel] - upper)
    lower += along * (picture[bottom, right, channel] - lower)
    return upper + down * (lower - upper)


@numba.njit(cache=True, fastmath=True)
def draw(
    mask: Array,
    face: Array,
    weights: Array,
    faces_uv: Array,
    uv: Array,
    texture: Array,
    image: Array,
    flow: Array,
    share: Array,
    soft: Array,
    result: Array,
) -> None:
    """Fill ``result`` (H, W, 3): ``image`` (H, W, 3) bent, with the textured face laid over it.

    ``mask``, ``face`` and ``weights`` are fragments; ``texture`` (S, S, 3); ``flow`` (h, w, 2) are
    pixels on a grid of pixel centres; the face covers a pixel by the lesser of ``share`` (H, W) and
    ``soft`` (h', w', 1).
    """
    height, width = mask.shape
    half, none, whole = np.float32(0.5), np.float32(0.0), np.float32(1.0)
    for y in range(height):
        v = (np.float32(y) + half) / np.float32(height)
        flow_rows = _cell(v * np.float32(flow.shape[0]) - half, flow.shape[0])
        soft_rows = _cell(v * np.float32(soft.shape[0]) - half, soft.shape[0])
        for x in range(width):
            u = (np.float32(x) + half) / np.float32(width)
            part = none
            if mask[y, x] and share[y, x] > none:
                columns = _cell(u * np.float32(soft.shape[1]) - half, soft.shape[1])
                part = min(share[y, x], _mix(soft, soft_rows, columns, 0))
            if part < whole:
                columns = _cell(u * np.float32(flow.shape[1]) - half, flow.shape[1])
                across = np.float32(x) + _mix(flow, flow_rows, columns, 0)
                down = np.float32(y) + _mix(flow, flow_rows, columns, 1)
                rows, columns = _cell(down, height), _cell(across, width)
                for channel in range(3):
                    result[y, x, channel] = _mix(image, rows, columns, channel)
            if part > none:
                s = t = none
                for corner in range(3):
                    place = faces_uv[face[y, x], corner]
                    s += weights[y, x, corner] * uv[place, 0]
                    t += weights[y, x, corner] * uv[place, 1]
                rows = _cell(t * np.float32(texture.shape[0]) - half, texture.shape[0])
                columns = _cell(s * np.float32(texture.shape[1]) - half, texture.shape[1])
                for channel in range(3):
                    skin = _mix(texture, rows, columns, channel)
                    if part < whole:
                        skin = result[y, x, channel] + part * (skin - result[y, x, channel])
                    result[y, x, channel] = skin
