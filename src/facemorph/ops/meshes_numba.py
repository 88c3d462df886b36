"""``meshes.vertex_normals`` as one compiled loop."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]


@numba.njit(inline="always")
def _way(points: Array, i: int, j: int) -> tuple[float, float, float]:
    """From one point to another."""
    return (
        points[j, 0] - points[i, 0],
        points[j, 1] - points[i, 1],
        points[j, 2] - points[i, 2],
    )


@numba.njit(cache=True)
def sum_normals(vertices: Array, faces: Array, normals: Array) -> None:
    """Sums of the normals of the triangles around ``vertices`` (B, V, 3) into ``normals``, which is
    zero before.
    """
    for picture in range(vertices.shape[0]):
        points, total = vertices[picture], normals[picture]
        for number in range(faces.shape[0]):
            i, j, k = faces[number, 0], faces[number, 1], faces[number, 2]
            ux, uy, uz = _way(points, i, j)
            vx, vy, vz = _way(points, i, k)
            x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            for vertex in (i, j, k):
                total[vertex, 0] += x
                total[vertex, 1] += y
                total[vertex, 2] += z


@numba.njit(cache=True)
def make_unit(normals: Array) -> None:
    """Normals (B, V, 3) brought to length 1; what is 0 stays 0."""
    for total in normals:
        for vertex in range(total.shape[0]):
            length = np.sqrt(total[vertex, 0] ** 2 + total[vertex, 1] ** 2 + total[vertex, 2] ** 2)
            if length > 1e-12:
                total[vertex] /= length


@numba.njit(cache=True)
def pull_normals(vertices: Array, faces: Array, wanted: Array, moved: Array) -> None:
    """The derivative of ``sum_normals`` by ``vertices``, times that by the sums, into ``moved``,
    which is zero before.
    """
    for picture in range(vertices.shape[0]):
        points, pull, total = vertices[picture], wanted[picture], moved[picture]
        for number in range(faces.shape[0]):
            i, j, k = faces[number, 0], faces[number, 1], faces[number, 2]
            x = pull[i, 0] + pull[j, 0] + pull[k, 0]
            y = pull[i, 1] + pull[j, 1] + pull[k, 1]
            z = pull[i, 2] + pull[j, 2] + pull[k, 2]
            ux, uy, uz = _way(points, i, j)
            vx, vy, vz = _way(points, i, k)
            # of g . (u x v): v x g by u, g x u by v
            by_j = vy * z - vz * y, vz * x - vx * z, vx * y - vy * x
            by_k = y * uz - z * uy, z * ux - x * uz, x * uy - y * ux
            for axis in range(3):
                total[j, axis] += by_j[axis]
                total[k, axis] += by_k[axis]
                total[i, axis] -= by_j[axis] + by_k[axis]
