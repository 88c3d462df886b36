"""Texture look-up and spherical-harmonics light in one compiled pass; ``pictures.shade`` is its
plain twin.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from facemorph.geometry.rendering.lighting import CONSTANTS

Array = np.ndarray[Any, Any]
Y0, Y1, _, _, Y2, _, Y20, _, Y22 = CONSTANTS


@numba.njit(cache=True)
def shade_pixels(
    mask: Array,
    face: Array,
    weights: Array,
    faces: Array,
    normals: Array,
    faces_uv: Array,
    uv: Array,
    texture: Array,
    light: Array,
    lit: bool,
    colour: Array,
) -> None:
    """Fill ``colour`` (3, H, W) with bilinear ``texture`` (3, S, T) times the shading of ``light``
    (9, 3).

    ``mask``, ``face`` and ``weights`` are one picture's fragments; without ``lit`` the texture is
    left as it is.
    """
    height, width = mask.shape
    rows, columns = texture.shape[1], texture.shape[2]
    basis = np.empty(9, np.float32)
    for y in range(height):
        for x in range(width):
            if not mask[y, x]:
                continue
            number = face[y, x]
            u = v = nx = ny = nz = np.float32(0.0)
            for corner in range(3):
                w = weights[y, x, corner]
                place = faces_uv[number, corner]
                u += w * uv[place, 0]
                v += w * uv[place, 1]
                if lit:
                    vertex = faces[number, corner]
                    nx += w * normals[vertex, 0]
                    ny += w * normals[vertex, 1]
                    nz += w * normals[vertex, 2]
            if lit:
                length = np.float32(1.0) / max(
                    np.sqrt(nx * nx + ny * ny + nz * nz), np.float32(1e-12)
                )
                _harmonics(nx * length, ny * length, nz * length, basis)
            s = min(max(u * columns - np.float32(0.5), np.float32(0.0)), np.float32(columns - 1))
            t = min(max(v * rows - np.float32(0.5), np.float32(0.0)), np.float32(rows - 1))
            left, top = int(s), int(t)
            right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
            a, b = s - np.float32(left), t - np.float32(top)
            for channel in range(3):
                upper = texture[channel, top, left] * (1 - a) + texture[channel, top, right] * a
                lower = (
                    texture[channel, bottom, left] * (1 - a) + texture[channel, bottom, right] * a
                )
                value = upper * (1 - b) + lower * b
                if lit:
                    brightness = np.float32(0.0)
                    for k in range(9):
                        brightness += basis[k] * light[k, channel]
                    value *= brightness
                colour[channel, y, x] = min(max(value, 0.0), 1.0)


@numba.njit(cache=True, inline="always")
def _harmonics(x: float, y: float, z: float, basis: Array) -> None:
    """``lighting.sh_basis`` of one normal."""
    basis[0] = Y0
    basis[1], basis[2], basis[3] = Y1 * y, Y1 * z, Y1 * x
    basis[4], basis[5], basis[7] = Y2 * x * y, Y2 * y * z, Y2 * x * z
    basis[6] = Y20 * (3 * z * z - 1)
    basis[8] = Y22 * (x * x - y * y)


@numba.njit(cache=True, fastmath=True)
def shade_bytes(
    mask: Array,
    face: Array,
    weights: Array,
    faces: Array,
    normals: Array,
    corners_uv: Array,
    texture: Array,
    light: Array,
    background: Array,
    step: int,
    result: Array,
) -> None:
    """Fill ``result`` (H, W, 3) of bytes: ``shade_pixels``, means of ``step`` x ``step`` samples,
    over a background.

    ``mask``, ``face``, ``weights`` are fragments of H step x W step samples; ``corners_uv`` (F, 3,
    2) are texture coordinates; ``texture`` (S, T, 3) is bytes; ``light`` (9, 3) is multiplied with
    ``lighting.CONSTANTS`` and 1 / 255; ``background`` (H, W, 3) is in [0, 1].
    """
    one, zero, half = np.float32(1.0), np.float32(0.0), np.float32(0.5)
    rows, columns = np.float32(texture.shape[0]), np.float32(texture.shape[1])
    share = one / np.float32(step * step)
    basis, total = np.empty(9, np.float32), np.empty(3, np.float32)
    for y in range(result.shape[0]):
        for x in range(result.shape[1]):
            covered = 0
            total[:] = zero
            for row in range(y * step, y * step + step):
                for column in range(x * step, x * step + step):
                    if not mask[row, column]:
                        continue
                    covered += 1
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
                    basis[0], basis[1], basis[2], basis[3] = one, ny, nz, nx
                    basis[4], basis[5], basis[7] = nx * ny, ny * nz, nx * nz
                    basis[8] = nx * nx - ny * ny
                    basis[6] = np.float32(3.0) * nz * nz - one
                    corners = corners_uv[number]
                    s = p * corners[0, 0] + q * corners[1, 0] + r * corners[2, 0]
                    t = p * corners[0, 1] + q * corners[1, 1] + r * corners[2, 1]
                    s = min(max(s * columns - half, zero), columns - one)
                    t = min(max(t * rows - half, zero), rows - one)
                    left, top = np.uint64(s), np.uint64(t)
                    right = min(left + np.uint64(1), np.uint64(texture.shape[1] - 1))
                    bottom = min(top + np.uint64(1), np.uint64(texture.shape[0] - 1))
                    a, b = s - np.float32(left), t - np.float32(top)
                    w0, w1, w2, w3 = (one - a) * (one - b), a * (one - b), (one - a) * b, a * b
                    for channel in range(3):
                        bright = zero
                        for term in range(9):
                            bright += basis[term] * light[term, channel]
                        value = (
                            w0 * np.float32(texture[top, left, channel])
                            + w1 * np.float32(texture[top, right, channel])
                            + w2 * np.float32(texture[bottom, left, channel])
                            + w3 * np.float32(texture[bottom, right, channel])
                        ) * bright
                        total[channel] += min(max(value, zero), one)
            behind = one - np.float32(covered) * share
            for channel in range(3):
                value = total[channel] * share + behind * background[y, x, channel]
                result[y, x, channel] = np.uint8(value * np.float32(255.0) + half)
