"""``meshes.vertex_normals`` as one compiled loop."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]


@numba.njit(cache=True)
def sum_normals(vertices: Array, faces: Array, normals: Array) -> None:
    """Unit normals of ``vertices`` (B, V, 3) into ``normals``, which is zero before."""
    for picture in range(vertices.shape[0]):
        points, total = vertices[picture], normals[picture]
        for number in range(faces.shape[0]):
            i, j, k = faces[number, 0], faces[number, 1], faces[number, 2]
            ux, uy, uz = (
                points[j, 0] - points[i, 0],
                points[j, 1] - points[i, 1],
                points[j, 2] - points[i, 2],
            )
            vx, vy, vz = (
                points[k, 0] - points[i, 0],
                points[k, 1] - points[i, 1],
                points[k, 2] - points[i, 2],
            )
            x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            for vertex in (i, j, k):
                total[vertex, 0] += x
                total[vertex, 1] += y
                total[vertex, 2] += z
        for vertex in range(total.shape[0]):
            length = np.sqrt(total[vertex, 0] ** 2 + total[vertex, 1] ** 2 + total[vertex, 2] ** 2)
            if length > 1e-12:
                total[vertex] /= length
