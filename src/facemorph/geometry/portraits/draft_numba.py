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
def _look_up(picture: Array, x: Any, y: Any, result: Array) -> None:
    """Bilinear values of a picture ``(H, W, C)`` at a place in units of pixels from the first
    one's centre; the border beyond.
    """
    rows, columns, channels = picture.shape
    s = min(max(x, np.float32(0.0)), np.float32(columns - 1))
    t = min(max(y, np.float32(0.0)), np.float32(rows - 1))
    left, top = int(s), int(t)
    right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
    a, b = s - np.float32(left), t - np.float32(top)
    for channel in range(channels):
        upper = picture[top, left, channel] * (1 - a) + picture[top, right, channel] * a
        lower = picture[bottom, left, channel] * (1 - a) + picture[bottom, right, channel] * a
        result[channel] = upper * (1 - b) + lower * b


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
    shift = np.empty(2, np.float32)
    plate, skin, cover = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(1, np.float32)
    half = np.float32(0.5)
    for y in range(height):
        for x in range(width):
            u, v = (x + half) / np.float32(width), (y + half) / np.float32(height)
            _look_up(flow, u * flow.shape[1] - half, v * flow.shape[0] - half, shift)
            _look_up(image, np.float32(x) + shift[0], np.float32(y) + shift[1], plate)
            part = np.float32(0.0)
            if mask[y, x] and share[y, x] > 0:
                _look_up(soft, u * soft.shape[1] - half, v * soft.shape[0] - half, cover)
                part = min(share[y, x], cover[0])
            if part > 0:
                s = t = np.float32(0.0)
                for corner in range(3):
                    place = faces_uv[face[y, x], corner]
                    s += weights[y, x, corner] * uv[place, 0]
                    t += weights[y, x, corner] * uv[place, 1]
                _look_up(texture, s * texture.shape[1] - half, t * texture.shape[0] - half, skin)
            for channel in range(3):
                value = plate[channel]
                if part > 0:
                    value += part * (skin[channel] - value)
                result[y, x, channel] = value
