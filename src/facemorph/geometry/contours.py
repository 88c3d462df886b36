"""Where the landmarks of the jaw line may be: they slide over the cheek as the head turns."""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.geometry.morphable_model import SurfacePoints

JAW, CHIN = 17, 8
FRONT = 0.25                    # how near the paths come to the middle, as a share of the landmark's angle
CHEEK = 80.0                    # radius in millimetres that weighs angles against heights


def contour_candidates(vertices: Tensor, landmarks: SurfacePoints, allowed: Tensor, mirror: Tensor | None = None,
                       count: int = 24) -> Tensor:
    """Vertices along the way of each landmark of the jaw line, at its height over the cheek towards the middle.

    Args:
        vertices: ``(V, 3)`` the mean face.
        landmarks: The 68 iBUG landmarks.
        allowed: ``(V,)`` bool, the vertices of the face: no ears, neck or eyes.
        mirror: ``(V,)`` the vertex on the other side; the left paths are then mirror images of the right ones.
        count: N, how many vertices; a short path repeats its last one.

    Returns:
        ``(17, N)``. The first is the vertex next to the landmark itself; the chin stays where it is.
    """
    own = landmarks.vertices[torch.arange(JAW), landmarks.weights[:JAW].argmax(1)]
    depth = vertices[own, 2].min()
    choice = torch.nonzero(allowed & (vertices[:, 2] > depth - 5))[:, 0]
    angles = torch.atan2(vertices[choice, 0], vertices[choice, 2] - (depth - 30))
    paths = own[:, None].repeat(1, count)
    for number in range(JAW):
        if number == CHIN:
            continue
        place = vertices[own[number]]
        first = torch.atan2(place[0], place[2] - (depth - 30))
        # Finer steps than the mesh, then each vertex once: all that lie on the way, in their order.
        steps = first * torch.linspace(1, FRONT, 8 * count, dtype=vertices.dtype, device=vertices.device)[1:, None]
        distance = torch.hypot((angles - steps) * CHEEK, vertices[choice, 1] - place[1])
        way = list(dict.fromkeys([int(own[number]), *choice[distance.argmin(1)].tolist()]))
        if len(way) > count:
            way = [way[round(index * (len(way) - 1) / (count - 1))] for index in range(count)]
        paths[number] = torch.tensor(way + way[-1:] * (count - len(way)), device=paths.device)
    if mirror is not None:
        paths[CHIN + 1:] = mirror[paths[:CHIN].flip(0)]
    return paths
