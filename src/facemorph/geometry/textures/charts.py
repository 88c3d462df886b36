"""Texture charts: a piece of surface laid flat without folds, and how good that is.

``unfold`` starts from Tutte's embedding, which has no folds for any positive weights when the
outline is convex (Floater 2003), and lowers the symmetric Dirichlet energy (Smith and Schaefer
2015), whose barrier keeps it so.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, hstack, vstack
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from facemorph.errors import GeometryError

FILLING = 1e-4


def boundary_loops(faces: np.ndarray) -> list[list[int]]:
    """The outlines of triangles ``(F, 3)``, each as its vertices in the triangles' own direction,
    longest first.

    Raises:
        GeometryError: An edge has more than two triangles, or two outlines touch in one vertex.
    """
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = Counter(map(tuple, np.sort(edges, 1).tolist()))
    following = {
        first: second
        for first, second in edges.tolist()
        if count[min(first, second), max(first, second)] == 1
    }
    if max(count.values()) > 2 or len(following) != sum(number == 1 for number in count.values()):
        raise GeometryError(
            "these triangles are no surface with plain outlines",
            where="faces",
            expected="edges with one or two triangles, outlines that do not touch",
        )
    loops = []
    while following:
        loop = [next(iter(following))]
        while (vertex := following.pop(loop[-1])) != loop[0]:
            loop.append(vertex)
        loops.append(loop)
    return sorted(loops, key=len, reverse=True)


def cut_open(
    faces: np.ndarray, path: list[int], right: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Open triangles along a path of edges from the inside (first, stays whole) to the outline
    (last).

    Args:
        faces: ``(F, 3)``.
        path: Vertices; all but the first are doubled.
        right: ``(F,)`` triangles that take the copies.

    Returns:
        The triangles with new numbers, and for each number the old one.
    """
    used = np.unique(faces)
    fresh = {vertex: len(used) + number for number, vertex in enumerate(path[1:])}
    number = np.full(faces.max() + 1, -1)
    number[used] = np.arange(len(used))
    result = number[faces]
    for vertex, copy in fresh.items():
        result[(faces == vertex) & right[:, None]] = copy
    return result, np.concatenate([used, np.array(path[1:], int)])


def superellipse(count: int, power: float = 6.0) -> np.ndarray:
    """Points ``(count + 1, 2)`` at equal distance on a quarter of a rounded square, from ``(1, 0)``
    to ``(0, 1)``.
    """
    angle = np.linspace(0, np.pi / 2, 4001)
    points = np.stack([np.cos(angle), np.sin(angle)], 1)
    points /= (points**power).sum(1, keepdims=True) ** (1 / power)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0, length[-1], count + 1)
    return np.stack([np.interp(at, length, points[:, k]) for k in range(2)], 1)


def fill_holes(holes: list[list[int]], count: int) -> np.ndarray:
    """Triangles ``(H, 3)`` that fill each hole around a vertex of its own, numbered from
    ``count``.
    """
    return np.array(
        [
            [second, first, count + number]
            for number, hole in enumerate(holes)
            for first, second in zip(hole, hole[1:] + hole[:1], strict=True)
        ],
        int,
    ).reshape(-1, 3)


def tutte(faces: np.ndarray, outline: list[int], places: np.ndarray) -> np.ndarray:
    """Tutte's embedding ``(V, 2)``: each vertex in the middle of its neighbours.

    Args:
        faces: ``(F, 3)`` a disc without holes, vertices numbered 0 to V - 1.
        outline: The vertices on its outline.
        places: ``(len(outline), 2)`` where these go, on a convex curve.
    """
    total = int(faces.max()) + 1
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    links = coo_matrix(
        (np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(total, total)
    ).tocsr()
    links = ((links + links.T) > 0).astype(float)
    laplacian = (
        csr_matrix((np.asarray(links.sum(1)).ravel(), (range(total), range(total))), (total, total))
        - links
    )
    free = np.setdiff1d(np.arange(total), outline)
    result = np.zeros((total, 2))
    result[outline] = places
    known = laplacian[free][:, outline] @ places
    result[free] = spsolve(laplacian[free][:, free].tocsc(), -known)
    return result


def flat_triangles(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """The triangles ``(F, 3, 3)`` laid flat: their two edges from the first corner as columns,
    ``(F, 2, 2)``.
    """
    corners = vertices[faces]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    length = np.linalg.norm(first, axis=1)
    along = (first * second).sum(1) / length
    across = np.linalg.norm(np.cross(first, second), axis=1) / length
    zero = np.zeros_like(length)
    return np.stack([np.stack([length, along], 1), np.stack([zero, across], 1)], 1)


def stretch(
    vertices: np.ndarray, faces: np.ndarray, uv: np.ndarray, faces_uv: np.ndarray
) -> np.ndarray:
    """The larger and smaller singular value ``(F, 2)`` of the map from each triangle to the chart,
    and its sign.

    The smaller one is negative for a triangle that the chart turns over, where v points down.
    """
    plane = uv[faces_uv] * [1, -1]
    map_ = np.stack([plane[:, 1] - plane[:, 0], plane[:, 2] - plane[:, 0]], 2) @ np.linalg.inv(
        flat_triangles(vertices, faces)
    )
    values = np.linalg.svd(map_, compute_uv=False)
    values[:, 1] *= np.sign(np.linalg.det(map_))
    return values


def unfold(
    vertices: np.ndarray,
    faces: np.ndarray,
    filling: np.ndarray,
    start: np.ndarray,
    fixed: list[int],
    density: np.ndarray,
    mirror: np.ndarray,
    steps: int = 60,
) -> np.ndarray:
    """Lower the stretch of a chart without folds until nothing is gained.

    The symmetric Dirichlet energy, by reweighted least squares with a line search that stops before
    the first fold (Rabinovich et al. 2017, "Scalable locally injective mappings", with their
    weights for this energy).

    Args:
        vertices: ``(V, 3)``.
        faces: ``(F, 3)``.
        filling: ``(H, 3)`` triangles in the holes; they may take any shape but do not fold, so no
            two sides of a hole overlap. Their own vertices come last and are in ``start`` and
            ``mirror``, not in ``vertices``.
        start: ``(V + holes, 2)`` a chart without folds, v up, symmetrical about 0.
        fixed: Vertices that stay where they are, such as the outline.
        density: ``(F,)`` how large each triangle should become, as a factor of its length.
        mirror: ``(V + holes,)`` the vertex on the other side; the result is symmetrical too.
        steps: Most iterations.

    Returns:
        The chart ``(V + holes, 2)``.

    Raises:
        GeometryError: ``start`` has folds.
    """
    if np.linalg.det(_edges(start, np.concatenate([faces, filling]))).min() <= 0:
        raise GeometryError("the chart to start from has folds", where="start")
    flat = flat_triangles(vertices, faces)
    area = np.linalg.det(flat) / 2
    room = np.linalg.det(_edges(start, faces)).sum() / 2
    goal = density * np.sqrt(room / (area * density**2).sum())
    inverse = np.linalg.inv(np.concatenate([flat * goal[:, None, None], _edges(start, filling)]))
    weight = np.concatenate(
        [area * goal**2 / room, np.full(len(filling), FILLING / max(len(filling), 1))]
    )
    faces = np.concatenate([faces, filling])
    along = _gradients(inverse, faces, len(start))
    free = np.setdiff1d(np.arange(len(start)), fixed)
    place = start.copy()
    energy, map_ = _energy(place, faces, inverse, weight)
    for _ in range(steps):
        move = np.zeros_like(place)
        move[free] = _slim_step(map_, weight, along, place, free)
        move = (move + move[mirror] * [-1, 1]) / 2
        length = min(1.0, 0.8 * _until_fold(place, move, faces))
        while length > 1e-9:
            trial = place + length * move
            lower, trial_map = _energy(trial, faces, inverse, weight)
            if lower < energy:
                break
            length /= 2
        else:
            break
        gained, place, energy, map_ = energy - lower, trial, lower, trial_map
        if gained < 1e-6 * energy:
            break
    return place


def _edges(places: np.ndarray, faces: np.ndarray) -> np.ndarray:
    points = places[faces]
    return np.stack([points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]], 2)


def _energy(
    places: np.ndarray, faces: np.ndarray, inverse: np.ndarray, weight: np.ndarray
) -> tuple[float, np.ndarray]:
    """Symmetric Dirichlet energy, infinite with a fold, and the map of each triangle ``(F,
    2, 2)``.
    """
    map_ = _edges(places, faces) @ inverse
    determinant = np.linalg.det(map_)
    if determinant.min() <= 0:
        return np.inf, map_
    return float((weight * (map_**2).sum((1, 2)) * (1 + determinant**-2)).sum()), map_


def _gradients(inverse: np.ndarray, faces: np.ndarray, count: int) -> tuple[csr_matrix, csr_matrix]:
    """Matrices ``(F, V)`` from one coordinate of the chart to the two columns of the triangles'
    maps.
    """
    corner = np.stack([-inverse.sum(1), inverse[:, 0], inverse[:, 1]], 1)  # (F, corner, column)
    rows = np.repeat(np.arange(len(faces)), 3)
    return tuple(
        csr_matrix((corner[:, :, k].ravel(), (rows, faces.ravel())), (len(faces), count))
        for k in (0, 1)
    )


def _slim_step(
    map_: np.ndarray,
    weight: np.ndarray,
    along: tuple[csr_matrix, csr_matrix],
    place: np.ndarray,
    free: np.ndarray,
) -> np.ndarray:
    """The move ``(free, 2)`` that the reweighted least squares ask for."""
    left, values, right = np.linalg.svd(map_)
    rotation = left @ right
    near = np.abs(values - 1) < 1e-6
    ratio = np.where(near, 4.0, (values - values**-3.0) / np.where(near, 1, values - 1))
    turn = (
        (left * np.sqrt(ratio)[:, None]) @ left.transpose(0, 2, 1) * np.sqrt(weight)[:, None, None]
    )
    matrix = vstack(
        [
            hstack([_rows(turn[:, row, 0]) @ column, _rows(turn[:, row, 1]) @ column])
            for row in (0, 1)
            for column in along
        ]
    ).tocsc()
    wanted = turn @ rotation
    goal = np.concatenate([wanted[:, row, column] for row in (0, 1) for column in (0, 1)])
    kept = np.concatenate([free, free + len(place)])
    rest = goal - matrix @ place.T.ravel()
    part = matrix[:, kept]
    normal = part.T @ part
    damping = csr_matrix(
        (np.full(len(kept), 1e-9 * normal.diagonal().mean()), (range(len(kept)),) * 2)
    )
    return spsolve((normal + damping).tocsc(), part.T @ rest).reshape(2, -1).T


def _rows(values: np.ndarray) -> csr_matrix:
    return csr_matrix((values, (range(len(values)), range(len(values)))))


def _until_fold(place: np.ndarray, move: np.ndarray, faces: np.ndarray) -> float:
    """How far a move goes until the first triangle has no area: the smallest positive root of its
    area.
    """
    edge, change = _edges(place, faces), _edges(move, faces)
    square, constant = np.linalg.det(change), np.linalg.det(edge)
    linear = np.linalg.det(edge + change) - square - constant
    root = np.sqrt(np.maximum(linear**2 - 4 * square * constant, 0))
    folds = linear**2 >= 4 * square * constant
    # Both roots in the form that does not cancel.
    half = -(linear + np.where(linear < 0, -1, 1) * root) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        roots = np.stack([half / square, constant / half])
    roots = roots[np.isfinite(roots) & (roots > 0) & folds]
    return float(roots.min(initial=np.inf))


def islands(faces_uv: np.ndarray) -> np.ndarray:
    """Number of the piece ``(F,)`` that each triangle of a chart belongs to: pieces share no
    corner.
    """
    count = int(faces_uv.max()) + 1
    links = np.concatenate([faces_uv[:, :2], faces_uv[:, 1:]])
    matrix = coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(count, count))
    return connected_components(matrix)[1][faces_uv[:, 0]]
