"""The texture chart of the embedded head: one picture for all its parts.

The skin of head and neck is opened along the back and laid flat over the upper 87 hundredths, the
face upright in the middle and larger than the rest. Below it, from the left: right socket, back and
front of the right eye, teeth, cavity of the mouth, tongue, and the left eye and socket. A flip of u
is the mirror map for all but teeth, cavity and tongue.
"""

from __future__ import annotations

import numpy as np

from facemorph.geometry.textures.charts import (
    boundary_loops,
    cut_open,
    fill_holes,
    islands,
    superellipse,
    tutte,
    unfold,
)

HEAD_HEIGHT = 0.87
FACE_DENSITY, EAR_DENSITY, FADE = 4.5, 2.5, 6
# share of half the outline that the seam at the back takes; the rest is the bust's edge
CORNER = 0.75
# Boxes in the strip below the head: u0, v0, u1, v1.
STRIP = {
    "socket_right": (0.005, 0.88, 0.095, 0.995),
    "eye_back_right": (0.100, 0.88, 0.150, 0.93),
    "eye_front_right": (0.155, 0.88, 0.270, 0.995),
    "teeth_upper": (0.275, 0.88, 0.415, 0.935),
    "teeth_lower": (0.275, 0.94, 0.415, 0.995),
    "mouth": (0.42, 0.88, 0.58, 0.995),
    "tongue": (0.59, 0.88, 0.70, 0.995),
}


def chart(
    vertices: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    faces_uv: np.ndarray,
    component: np.ndarray,
    mirror: np.ndarray,
    face: np.ndarray,
    ears: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Texture coordinates, u right and v down, of the cut head.

    Args:
        vertices: ``(V, 3)`` millimetres.
        faces: ``(F, 3)``.
        uv: ``(U, 2)`` MakeHuman's atlas, v up: the shape of the small parts is taken from it.
        faces_uv: ``(F, 3)``.
        component: ``(F,)`` as ``source.GROUPS``.
        mirror: ``(V,)``.
        face: ``(V,)`` bool.
        ears: ``(V,)`` bool.

    Returns:
        Coordinates ``(U', 2)`` in [0, 1] and triangles ``(F, 3)`` of them.
    """
    island = islands(faces_uv)
    order = _named_islands(vertices, faces, island, component)
    head = np.isin(island, order["head"])
    places, corners = _head_chart(vertices, faces[head], mirror, face, ears)
    parts = [places]
    result = np.zeros_like(faces)
    result[head] = corners
    count = len(places)
    for name, box in STRIP.items():
        chosen = island == order[name][0]
        own, corners = _boxed(name, box, vertices, faces[chosen], uv, faces_uv[chosen])
        parts.append(own)
        result[chosen] = corners + count
        count += len(own)
        if not name.endswith("_right"):
            continue
        # The left one is the mirror image; both have one coordinate for each vertex.
        other = island == order[name.replace("right", "left")][0]
        number = {
            int(mirror[vertex]): index
            for vertex, index in zip(faces[chosen].ravel(), corners.ravel(), strict=True)
        }
        result[other] = np.vectorize(number.__getitem__)(faces[other]) + count
        parts.append(own * [-1, 1] + [1, 0])
        count += len(own)
    return np.concatenate(parts), result


def _named_islands(
    vertices: np.ndarray, faces: np.ndarray, island: np.ndarray, component: np.ndarray
) -> dict[str, list[int]]:
    """The pieces of MakeHuman's atlas by what they are."""
    middle = vertices[faces].mean(1)
    numbers = np.unique(island)
    centre = np.array([middle[island == number].mean(0) for number in numbers])
    size = np.array([(island == number).sum() for number in numbers])
    part = np.array([component[island == number][0] for number in numbers])
    skin = numbers[part == 0][np.argsort(-size[part == 0])]
    mouth = [
        number for number in skin[1:] if centre[number, 2] > -40 and abs(centre[number, 0]) < 1
    ]
    sockets = sorted(
        (number for number in skin[1:] if abs(centre[number, 0]) > 10),
        key=lambda item: centre[item, 0],
    )
    named = {
        "mouth": mouth,
        "socket_right": sockets[:1],
        "socket_left": sockets[1:],
        "head": [number for number in skin if number not in mouth and number not in sockets],
    }
    for group, side in ((1, "left"), (2, "right")):
        back, front = sorted(numbers[part == group], key=lambda item: centre[item, 2])
        named |= {f"eye_front_{side}": [front], f"eye_back_{side}": [back]}
    return named | {
        name: list(numbers[part == group])
        for group, name in ((3, "teeth_upper"), (4, "teeth_lower"), (5, "tongue"))
    }


def _boxed(
    name: str,
    box: tuple[float, float, float, float],
    vertices: np.ndarray,
    faces: np.ndarray,
    uv: np.ndarray,
    faces_uv: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """A piece fitted into a box with its aspect kept: eyes as seen from the front or back, else as
    in the atlas.
    """
    if name.startswith("eye"):
        kept, corners = np.unique(faces, return_inverse=True)
        places = vertices[kept, :2] * [-1 if "back" in name else 1, -1]
    else:
        kept, corners = np.unique(faces_uv, return_inverse=True)
        places = uv[kept] * [1, -1]
    low, span = places.min(0), np.ptp(places, axis=0)
    room = np.array([box[2] - box[0], box[3] - box[1]])
    scale = (room / span).min()
    return (places - low - span / 2) * scale + np.array(box[:2]) + room / 2, corners.reshape(-1, 3)


def _head_chart(
    vertices: np.ndarray, faces: np.ndarray, mirror: np.ndarray, face: np.ndarray, ears: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Head and neck laid flat: coordinates ``(U, 2)`` and triangles of them."""
    path = _seam(vertices, faces, mirror)
    corners, old = cut_open(faces, path, vertices[faces].mean(1)[:, 0] > 0)
    points, whole = vertices[old], len(old) - len(path) + 1
    number = {int(vertex): index for index, vertex in enumerate(old[:whole])}
    opposite = np.array([number[int(mirror[vertex])] for vertex in old])
    for index, vertex in enumerate(path[1:]):
        opposite[number[vertex]], opposite[whole + index] = whole + index, number[vertex]
    loops = boundary_loops(corners)
    crown = number[path[0]]
    outline = next(loop for loop in loops if crown in loop)
    outline = outline[outline.index(crown) :] + outline[: outline.index(crown)]
    if outline[1] >= whole:  # start down the seam's right side, x below 0
        outline = [crown, *outline[:0:-1]]
    holes = [loop for loop in loops if crown not in loop]
    filling = fill_holes(holes, len(points))
    middle = np.array([points[hole].mean(0) for hole in holes])
    pairs = [int(np.linalg.norm(middle - one * [-1, 1, 1], axis=1).argmin()) for one in middle]
    opposite = np.concatenate([opposite, len(points) + np.array(pairs)])

    start = tutte(
        np.concatenate([corners, filling]), outline, _outline_places(points[outline], len(path) - 1)
    )
    start = (start + start[opposite] * [-1, 1]) / 2
    flat = unfold(points, corners, filling, start, outline, _density(faces, face, ears), opposite)[
        : len(points)
    ]
    return np.stack([flat[:, 0] + 0.5, HEAD_HEIGHT / 2 - flat[:, 1]], 1), corners


def _seam(vertices: np.ndarray, faces: np.ndarray, mirror: np.ndarray) -> list[int]:
    """The vertices of the middle line from the crown down the back of head and neck to the
    outline.
    """
    used = np.unique(faces)
    middle = set(used[mirror[used] == used].tolist())
    near: dict[int, set[int]] = {vertex: set() for vertex in middle}
    for triangle in faces.tolist():
        for vertex in middle.intersection(triangle):
            near[vertex] |= middle.intersection(triangle) - {vertex}
    path = [max(middle, key=lambda vertex: vertices[vertex, 1])]
    path.append(min(near[path[0]], key=lambda vertex: vertices[vertex, 2]))
    while rest := near[path[-1]] - set(path):
        path.append(rest.pop())
    return path


def _outline_places(points: np.ndarray, seam: int) -> np.ndarray:
    """Places ``(N, 2)`` of the outline: from the crown, top middle, over one side to the bust's
    edge and back.
    """
    quarter = superellipse(400, 12.0)
    curve = np.concatenate([quarter[::-1], quarter[1:] * [1, -1]])
    half = len(points) // 2
    length = np.concatenate(
        [[0], np.cumsum(np.linalg.norm(np.diff(points[: half + 1], axis=0), axis=1))]
    )
    back = length / length[seam] * CORNER
    bust = CORNER + (length - length[seam]) / (length[half] - length[seam]) * (1 - CORNER)
    at = np.where(np.arange(half + 1) <= seam, back, bust)
    side = np.stack(
        [np.interp(at, np.linspace(0, 1, len(curve)), curve[:, k]) for k in range(2)], 1
    )
    side[[0, half], 0] = 0
    places = np.concatenate([side * [-1, 1], side[half - 1 : 0 : -1]])
    return places * [0.5, HEAD_HEIGHT / 2]


def _density(faces: np.ndarray, face: np.ndarray, ears: np.ndarray) -> np.ndarray:
    """How large each triangle should become: the face most, fading to 1 around it."""
    inside = face[faces].all(1)
    density = np.where(inside, FACE_DENSITY, 1.0)
    for _ in range(FADE):
        total, count = np.zeros(len(face)), np.zeros(len(face))
        for corner in faces.T:
            np.add.at(total, corner, density)
            np.add.at(count, corner, 1)
        spread = (total / np.maximum(count, 1))[faces].mean(1)
        density = np.where(inside, FACE_DENSITY, spread)
    return np.where(ears[faces].all(1), EAR_DENSITY, density)
