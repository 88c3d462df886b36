"""Where the landmarks of the jaw line may be: they slide over the cheek as the head turns."""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import SurfacePoints

JAW, CHIN = 17, 8
FRONT = 0.25  # how near the paths come to the middle, as a share of the landmark's angle
BEHIND = 5.0  # millimetres that a path may lead back, around the corner of the jaw


def contour_candidates(
    vertices: Tensor,
    faces: Tensor,
    landmarks: SurfacePoints,
    allowed: Tensor,
    mirror: Tensor | None = None,
    count: int = 24,
) -> SurfacePoints:
    """Points along the way of each landmark of the jaw line: at its height over the cheek towards
    the middle.

    They lie where the mesh's edges cross that height, between two vertices, so no path has a step
    at a vertex.

    Args:
        vertices: ``(V, 3)`` the mean face.
        faces: ``(F, 3)``.
        landmarks: The 68 iBUG landmarks.
        allowed: ``(V,)`` bool, the vertices of the face: no ears, neck or eyes.
        mirror: ``(V,)`` the vertex on the other side; the left paths are then mirror images of the
            right ones.
        count: N, how many points.

    Returns:
        Points ``(17, N)``. The first is the landmark itself; the chin stays where it is.
    """
    places = landmarks.of(vertices)[:JAW]
    back = places[:, 2].min() - 30
    chosen = faces[allowed[faces].all(1)]
    edges = (
        torch.cat([chosen[:, [0, 1]], chosen[:, [1, 2]], chosen[:, [2, 0]]])
        .sort(1)
        .values.unique(dim=0)
    )
    corners = landmarks.vertices[:JAW, None].repeat(1, count, 1)
    weights = landmarks.weights[:JAW, None].repeat(1, count, 1)
    for number in range(JAW):
        if number == CHIN or (mirror is not None and number > CHIN):
            continue
        place = places[number]
        height = vertices[edges][..., 1] - place[1]
        crossing = (height[:, 0] < 0) != (height[:, 1] < 0)
        pair, height = edges[crossing], height[crossing]
        share = height[:, 0] / (height[:, 0] - height[:, 1])
        point = vertices[pair[:, 0]] * (1 - share)[:, None] + vertices[pair[:, 1]] * share[:, None]
        angle = torch.atan2(point[:, 0], point[:, 2] - back) / torch.atan2(
            place[0], place[2] - back
        )
        way = torch.nonzero((angle < 1) & (angle > FRONT) & (point[:, 2] > place[2] - BEHIND))[:, 0]
        if len(way) == 0:
            continue
        way = way[angle[way].argsort(descending=True)]
        way = way[torch.linspace(0, len(way) - 1, count - 1, device=way.device).round().long()]
        corners[number, 1:] = pair[way][:, [0, 1, 1]]
        weights[number, 1:] = torch.stack(
            [1 - share[way], share[way], torch.zeros_like(share[way])], 1
        ).to(weights)
    if mirror is not None:
        corners[CHIN + 1 :], weights[CHIN + 1 :] = (
            mirror[corners[:CHIN].flip(0)],
            weights[:CHIN].flip(0),
        )
    return SurfacePoints(corners, weights)
