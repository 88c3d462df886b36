"""All maps of a head in one compiled pass; ``ConditionRenderer`` without it is its plain twin."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]
MOST = 10  # channels of all kinds of maps


@numba.njit(cache=True, fastmath=True)
def fill_maps(  # noqa: PLR0912
    mask: Array,
    face: Array,
    weights: Array,
    depth: Array,
    faces: Array,
    normals: Array,
    colours: Array,
    corners_uv: Array,
    light: Array,
    places: Array,
    deep: float,
    step: int,
    result: Array,
) -> None:
    """Fill ``result`` (C, H, W) with means of ``step`` x ``step`` samples of a head's maps.

    ``mask``, ``face``, ``weights`` and ``depth`` are fragments of H step x W step samples;
    ``normals`` and ``colours`` (V, 3) are the vertices'; ``corners_uv`` (F, 3, 2); ``light`` (9, 3)
    is multiplied with ``lighting.CONSTANTS``; ``places`` are the first channels of render, normals,
    mask, texture coordinates and depth, -1 for none; depths are divided by ``deep``.
    """
    one, zero = np.float32(1.0), np.float32(0.0)
    share = one / np.float32(step * step)
    basis, total = np.empty(9, np.float32), np.empty(MOST, np.float32)
    for y in range(result.shape[1]):
        for x in range(result.shape[2]):
            covered = False
            for row in range(y * step, y * step + step):
                for column in range(x * step, x * step + step):
                    if not mask[row, column]:
                        continue
                    if not covered:
                        total[:] = zero
                        covered = True
                    number = np.uint64(face[row, column])  # unsigned: no look at negative indices
                    p, q = weights[row, column, 0], weights[row, column, 1]
                    r = weights[row, column, 2]
                    i, j = np.uint64(faces[number, 0]), np.uint64(faces[number, 1])
                    k = np.uint64(faces[number, 2])
                    nx = p * normals[i, 0] + q * normals[j, 0] + r * normals[k, 0]
                    ny = p * normals[i, 1] + q * normals[j, 1] + r * normals[k, 1]
                    nz = p * normals[i, 2] + q * normals[j, 2] + r * normals[k, 2]
                    length = one / np.sqrt(max(nx * nx + ny * ny + nz * nz, np.float32(1e-24)))
                    nx, ny, nz = nx * length, ny * length, nz * length
                    if places[0] >= 0:
                        basis[0], basis[1], basis[2], basis[3] = one, ny, nz, nx
                        basis[4], basis[5], basis[7] = nx * ny, ny * nz, nx * nz
                        basis[6] = np.float32(3.0) * nz * nz - one
                        basis[8] = nx * nx - ny * ny
                        for channel in range(3):
                            bright = zero
                            for term in range(9):
                                bright += basis[term] * light[term, channel]
                            skin = p * colours[i, channel] + q * colours[j, channel]
                            skin += r * colours[k, channel]
                            total[places[0] + channel] += min(max(skin * bright, zero), one)
                    if places[1] >= 0:
                        total[places[1]] += nx
                        total[places[1] + 1] += ny
                        total[places[1] + 2] += nz
                    if places[2] >= 0:
                        total[places[2]] += one
                    if places[3] >= 0:
                        corners = corners_uv[number]
                        for axis in range(2):
                            total[places[3] + axis] += (
                                p * corners[0, axis] + q * corners[1, axis] + r * corners[2, axis]
                            )
                    if places[4] >= 0:
                        total[places[4]] += depth[row, column] / np.float32(deep)
            if covered:
                for channel in range(result.shape[0]):
                    result[channel, y, x] = total[channel] * share
