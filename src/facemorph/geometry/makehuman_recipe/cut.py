"""Cutting the body below the neck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class CutMesh:
    """What stays of a mesh. Its vertices are mixtures of two old ones, ``(1 - share) first + share
    second``.

    Attributes:
        first: ``(V,)``.
        second: ``(V,)``.
        share: ``(V,)``.
        faces: ``(F, 3)``.
        uv: ``(U, 2)``.
        faces_uv: ``(F, 3)``.
        component: ``(F,)``.
    """

    first: np.ndarray
    second: np.ndarray
    share: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    faces_uv: np.ndarray
    component: np.ndarray

    def mix(self, values: np.ndarray) -> np.ndarray:
        """Values at the old vertices ``(..., P, C)`` at the new ones ``(..., V, C)``."""
        share = self.share[:, None]
        return values[..., self.first, :] * (1 - share) + values[..., self.second, :] * share

    def mirror(self, old: np.ndarray) -> np.ndarray:
        """The mirror map of the new vertices from that of the old ones."""
        number = {
            pair: index
            for index, pair in enumerate(
                zip(self.first.tolist(), self.second.tolist(), strict=True)
            )
        }
        return np.array(
            [
                number[pair]
                for pair in zip(old[self.first].tolist(), old[self.second].tolist(), strict=True)
            ]
        )


def bust_height(points: np.ndarray) -> np.ndarray:
    """Height of the cut in millimetres, eyes at 0: a tilted plane, higher at the nape."""
    return -168.0 - 0.22 * (points[:, 2] + 60.0)


class _Cutter:
    """Clips triangles below the cut. Vertices close above it slide along an edge onto it: no sliver
    triangles.
    """

    def __init__(
        self, vertices: np.ndarray, triangles: np.ndarray, uv: np.ndarray, snap: float
    ) -> None:
        self.level = vertices[:, 1] - bust_height(vertices)
        self.keep = self.level > 0
        self.uv = uv
        self.new_uv = [tuple(point) for point in uv]
        self.slid: dict[int, tuple[float, int]] = {}
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        edges = np.unique(np.sort(edges, 1), axis=0)
        for first, second in edges[self.keep[edges[:, 0]] != self.keep[edges[:, 1]]].tolist():
            inside, outside = (first, second) if self.keep[first] else (second, first)
            share = self.share(inside, outside)
            if share < snap and share < self.slid.get(inside, (9.0, 0))[0]:
                self.slid[inside] = (share, outside)
        mixtures = {
            int(vertex): (int(vertex), int(vertex), 0.0) for vertex in np.flatnonzero(self.keep)
        }
        mixtures |= {
            inside: (inside, outside, share) for inside, (share, outside) in self.slid.items()
        }
        self.rows = list(mixtures.values())
        self.number = {key: index for index, key in enumerate(mixtures)}
        self.on_edge: dict[tuple[int, int], int] = {}
        self.uv_on_edge: dict[tuple[int, int, int, int], int] = {}

    def share(self, inside: int, outside: int) -> float:
        """How far along an edge the cut is."""
        return float(self.level[inside] / (self.level[inside] - self.level[outside]))

    def corner(self, inside: int, outside: int, uv_inside: int, uv_outside: int) -> tuple[int, int]:
        """The vertex and texture coordinate where an edge meets the cut."""
        if inside in self.slid:
            return self.number[inside], uv_inside
        share = self.share(inside, outside)
        if (inside, outside) not in self.on_edge:
            self.on_edge[inside, outside] = len(self.rows)
            self.rows.append((inside, outside, share))
        key = (inside, outside, uv_inside, uv_outside)
        if key not in self.uv_on_edge:
            self.uv_on_edge[key] = len(self.new_uv)
            self.new_uv.append(
                tuple((1 - share) * self.uv[uv_inside] + share * self.uv[uv_outside])
            )
        return self.on_edge[inside, outside], self.uv_on_edge[key]

    def clip(self, triangle: list[int], texture: list[int]) -> list[tuple[tuple[int, int], ...]]:
        """What stays of a triangle: corners of no, one or two triangles."""
        polygon: list[tuple[int, int]] = []
        for index in range(3):
            here, there = triangle[index], triangle[(index + 1) % 3]
            uv_here, uv_there = texture[index], texture[(index + 1) % 3]
            if self.keep[here]:
                polygon.append((self.number[here], uv_here))
            if self.keep[here] != self.keep[there]:
                polygon.append(
                    self.corner(here, there, uv_here, uv_there)
                    if self.keep[here]
                    else self.corner(there, here, uv_there, uv_here)
                )
        polygon = [
            point for index, point in enumerate(polygon) if point[0] != polygon[index - 1][0]
        ]
        fans = [
            (polygon[0], polygon[index], polygon[index + 1]) for index in range(1, len(polygon) - 1)
        ]
        return [fan for fan in fans if len({point[0] for point in fan}) == 3]


def cut_bust(
    vertices: np.ndarray,
    triangles: np.ndarray,
    uv: np.ndarray,
    uv_triangles: np.ndarray,
    component: np.ndarray,
    snap: float = 0.18,
) -> CutMesh:
    """Clip a mesh below ``bust_height`` and keep the largest piece of skin, component 0, and all
    others.

    Args:
        vertices: ``(P, 3)``.
        triangles: ``(T, 3)``.
        uv: ``(Q, 2)``.
        uv_triangles: ``(T, 3)``.
        component: ``(T,)``.
        snap: Vertices nearer to the cut than this share of an edge slide onto it.
    """
    cutter = _Cutter(vertices, triangles, uv, snap)
    pieces = [
        (fan, part)
        for triangle, texture, part in zip(
            triangles.tolist(), uv_triangles.tolist(), component.tolist(), strict=True
        )
        for fan in cutter.clip(triangle, texture)
    ]
    corners = np.array([fan for fan, _ in pieces])
    faces, faces_uv, parts = (
        corners[..., 0],
        corners[..., 1],
        np.array([part for _, part in pieces]),
    )
    links = np.concatenate([faces[:, :2], faces[:, 1:]])
    count = len(cutter.rows)
    label = connected_components(
        coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), (count, count))
    )[1]
    labels, sizes = np.unique(label[faces[parts == 0, 0]], return_counts=True)
    good = (parts > 0) | (label[faces[:, 0]] == labels[sizes.argmax()])
    faces, faces_uv, parts = faces[good], faces_uv[good], parts[good]
    kept, faces = np.unique(faces, return_inverse=True)
    kept_uv, faces_uv = np.unique(faces_uv, return_inverse=True)
    first, second, share = (
        np.array(column) for column in zip(*(cutter.rows[index] for index in kept), strict=True)
    )
    return CutMesh(
        first,
        second,
        share,
        faces.reshape(-1, 3),
        np.array(cutter.new_uv)[kept_uv],
        faces_uv.reshape(-1, 3),
        parts,
    )
