"""Texture look-up and spherical-harmonics light in one compiled pass; ``pictures.shade`` is its plain twin."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from facemorph.geometry.lighting import CONSTANTS

Array = np.ndarray[Any, Any]
Y0, Y1, _, _, Y2, _, Y20, _, Y22 = CONSTANTS


@numba.njit(cache=True)
def shade_pixels(mask: Array, face: Array, weights: Array, faces: Array, normals: Array, faces_uv: Array, uv: Array,
                 texture: Array, light: Array, lit: bool, colour: Array) -> None:
    """Fill ``colour`` (3, H, W) with bilinear ``texture`` (3, S, T) times the shading of ``light`` (9, 3).

    ``mask``, ``face`` and ``weights`` are one picture's fragments; without ``lit`` the texture is left as it is.
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
                length = np.float32(1.0) / max(np.sqrt(nx * nx + ny * ny + nz * nz), np.float32(1e-12))
                _harmonics(nx * length, ny * length, nz * length, basis)
            s = min(max(u * columns - np.float32(0.5), np.float32(0.0)), np.float32(columns - 1))
            t = min(max(v * rows - np.float32(0.5), np.float32(0.0)), np.float32(rows - 1))
            left, top = int(s), int(t)
            right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
            a, b = s - np.float32(left), t - np.float32(top)
            for channel in range(3):
                upper = texture[channel, top, left] * (1 - a) + texture[channel, top, right] * a
                lower = texture[channel, bottom, left] * (1 - a) + texture[channel, bottom, right] * a
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
