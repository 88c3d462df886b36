"""The z-buffer of ``rasterize_torch`` as one compiled loop: the same arithmetic, so the same
result, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from facemorph.geometry.rendering.camera import Projection
from facemorph.geometry.rendering.fragments import Fragments, check_input

Array = np.ndarray[Any, Any]


@torch.no_grad()
def rasterize_numba(
    projection: Projection, faces: Tensor, size: tuple[int, int], *, cull_back_faces: bool = False
) -> Fragments:
    """``Rasterizer`` for the CPU; see ``rasterize_torch``, its plain twin."""
    check_input(projection, faces, size)
    batch, (height, width) = len(projection.pixels), size
    depth = torch.full((batch, height, width), -torch.inf)
    face = torch.zeros(batch, height, width, dtype=torch.long)
    mask = torch.zeros(batch, height, width, dtype=torch.bool)
    weights = torch.zeros(batch, height, width, 3)
    corners = torch.cat(
        [projection.pixels, projection.depth[..., None], projection.inverse_distance[..., None]], -1
    )
    _draw(
        corners.float().contiguous().numpy(),
        faces.contiguous().numpy(),
        cull_back_faces,
        depth.numpy(),
        face.numpy(),
        mask.numpy(),
        weights.numpy(),
    )
    return Fragments(mask, face, weights, depth)


@numba.njit(cache=True, inline="always")
def _covers(value: float, a: float, b: float) -> bool:
    return value > 0.0 or (value == 0.0 and (a > 0.0 or (a == 0.0 and b > 0.0)))


@numba.njit(cache=True)
def _draw(
    corners: Array, faces: Array, cull: bool, depth: Array, face: Array, mask: Array, weights: Array
) -> None:
    """Draw all triangles ``faces`` of vertices ``corners`` (B, V, 4: x, y, depth, inverse
    distance).
    """
    batch, height, width = depth.shape
    for picture in range(batch):
        points = corners[picture].astype(np.float64)
        near, found, seen, share = depth[picture], face[picture], mask[picture], weights[picture]
        usable = np.empty(points.shape[0], np.bool_)
        for vertex in range(points.shape[0]):
            total = points[vertex, 0] + points[vertex, 1] + points[vertex, 2] + points[vertex, 3]
            usable[vertex] = np.isfinite(total) and points[vertex, 3] > 0.0
        for number in range(faces.shape[0]):
            if usable[faces[number, 0]] and usable[faces[number, 1]] and usable[faces[number, 2]]:
                _triangle(points, faces, number, cull, near, found, seen, share)
        for y in range(height):
            for x in range(width):
                if not seen[y, x]:
                    near[y, x] = 0.0


@numba.njit(cache=True)
def _triangle(
    points: Array,
    faces: Array,
    number: int,
    cull: bool,
    near: Array,
    found: Array,
    seen: Array,
    share: Array,
) -> None:
    """Draw one triangle into one picture's z-buffer."""
    height, width = near.shape
    i, j, k = faces[number, 0], faces[number, 1], faces[number, 2]
    a = (points[i, 0], points[i, 1], points[i, 2], points[i, 3])
    b = (points[j, 0], points[j, 1], points[j, 2], points[j, 3])
    c = (points[k, 0], points[k, 1], points[k, 2], points[k, 3])
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if area == 0.0 or (cull and area > 0.0):
        return
    sign = -1.0 if area < 0.0 else 1.0
    a0, b0, c0 = sign * (b[1] - c[1]), sign * (c[0] - b[0]), sign * (b[0] * c[1] - b[1] * c[0])
    a1, b1, c1 = sign * (c[1] - a[1]), sign * (a[0] - c[0]), sign * (c[0] * a[1] - c[1] * a[0])
    a2, b2, c2 = sign * (a[1] - b[1]), sign * (b[0] - a[0]), sign * (a[0] * b[1] - a[1] * b[0])
    left = int(min(max(np.ceil(min(a[0], b[0], c[0]) - 0.5), 0.0), width))
    right = int(min(max(np.floor(max(a[0], b[0], c[0]) - 0.5), -1.0), width - 1.0))
    top = int(min(max(np.ceil(min(a[1], b[1], c[1]) - 0.5), 0.0), height))
    bottom = int(min(max(np.floor(max(a[1], b[1], c[1]) - 0.5), -1.0), height - 1.0))
    for y in range(top, bottom + 1):
        r0, r1, r2 = b0 * (y + 0.5) + c0, b1 * (y + 0.5) + c1, b2 * (y + 0.5) + c2
        entered = False
        for x in range(left, right + 1):
            e0, e1, e2 = a0 * (x + 0.5) + r0, a1 * (x + 0.5) + r1, a2 * (x + 0.5) + r2
            if (
                not (_covers(e0, a0, b0) and _covers(e1, a1, b1) and _covers(e2, a2, b2))
                or e0 + e1 + e2 <= 0.0
            ):
                if entered:
                    break
                continue
            entered = True
            p, q, r = e0 * a[3], e1 * b[3], e2 * c[3]
            total = p + q + r
            z = np.float32((p * a[2] + q * b[2] + r * c[2]) / total)
            if z > near[y, x]:
                near[y, x], found[y, x], seen[y, x] = z, number, True
                share[y, x, 0], share[y, x, 1], share[y, x, 2] = p / total, q / total, r / total
