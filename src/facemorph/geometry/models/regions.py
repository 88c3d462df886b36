"""Regions and maps of a mesh that its files do not tell: parts, the other side, the face.

SciPy is slow to load and most commands only need ``grow``: it is imported where it is used.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import SurfacePoints


def grow(mask: Tensor, faces: Tensor, rings: int = 1) -> Tensor:
    """A mask ``(V,)`` with the vertices of every triangle that touches it, ``rings`` times."""
    for _ in range(rings):
        mask = mask.clone()
        mask[faces[mask[faces].any(1)].flatten()] = True
    return mask


def parts(faces: Tensor, count: int) -> Tensor:
    """Number of the connected part ``(F,)`` that each triangle belongs to, the largest
    part first.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = np.concatenate([faces[:, :2].numpy(), faces[:, 1:].numpy()])
    label = connected_components(
        coo_matrix((np.ones(len(links)), (links[:, 0], links[:, 1])), (count, count))
    )[1]
    of_face = label[faces[:, 0].numpy()]
    numbers, sizes = np.unique(of_face, return_counts=True)
    order = np.empty(label.max() + 1, int)
    order[numbers[np.argsort(-sizes, kind="stable")]] = np.arange(len(numbers))
    return torch.from_numpy(order[of_face])


def head_parts(mean: Tensor, faces: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """Names of the connected parts and the part ``(F,)`` of each triangle.

    The largest is ``skin``; two more that lie left and right are ``eye_left`` and ``eye_right``,
    the subject's.
    """
    number = parts(faces, len(mean))
    count = int(number.max()) + 1
    names = ["skin", *(f"part_{index}" for index in range(1, count))]
    if count == 3:
        middle = [float(mean[faces[number == index].unique()][:, 0].mean()) for index in (1, 2)]
        if middle[0] * middle[1] < 0:
            names = [
                "skin",
                *(("eye_left", "eye_right") if middle[0] > 0 else ("eye_right", "eye_left")),
            ]
    return tuple(names), number


def mirror_map(mean: Tensor, tolerance: float) -> Tensor | None:
    """``(V,)`` the vertex on the other side of x = 0, or None where the mesh has not the same
    vertices on both.

    Args:
        mean: ``(V, 3)``.
        tolerance: How far a vertex may be from its partner's image, in millimetres.
    """
    from scipy.spatial import cKDTree

    points = mean.numpy().astype(np.float64)
    distance, partner = cKDTree(points).query(points * [-1, 1, 1])
    if distance.max() > tolerance or not np.array_equal(partner[partner], np.arange(len(points))):
        return None
    return torch.from_numpy(partner)


def face_region(mean: Tensor, landmarks: SurfacePoints) -> Tensor:
    """``(V,)`` bool: what lies in front of the ears, above the chin and below the hair line, from
    the 68 landmarks.
    """
    points = landmarks.of(mean)
    brows, chin, nose = points[17:27, 1].max(), points[:17, 1].min(), points[33, 1]
    top = brows + (brows - nose)
    back = points[:17, 2].min()
    side = points[:17, 0].abs().max() * 1.02
    return (
        (mean[:, 2] > back)
        & (mean[:, 1] > chin - 3)
        & (mean[:, 1] < top)
        & (mean[:, 0].abs() < side)
    )


def cylinder_chart(mean: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """A plain chart for a mesh without one: the angle around the vertical axis is u, the height is
    v.

    The face is upright in the middle. Triangles over the seam at the back end at the right edge.
    Triangles behind one another share their place, such as the inside of the mouth.

    Returns:
        Coordinates ``(U, 2)`` in [0, 1], v down, and triangles ``(F, 3)`` of them.
    """
    middle = (mean[:, 2].max() + mean[:, 2].min()) / 2
    angle = torch.atan2(mean[:, 0], mean[:, 2] - middle) / (2 * torch.pi)
    height = (mean[:, 1].max() - mean[:, 1]) / (mean[:, 1].max() - mean[:, 1].min()).clamp(min=1e-6)
    uv = torch.stack([angle + 0.5, height], 1).clamp(0, 1)
    corners = angle[faces]
    seam = corners.amax(1) - corners.amin(1) > 0.5
    moved = seam[:, None] & (corners < 0)
    vertices, number = faces[moved].unique(return_inverse=True)
    faces_uv = faces.clone()
    faces_uv[moved] = len(mean) + number
    extra = torch.stack([torch.ones(len(vertices), dtype=uv.dtype), uv[vertices, 1]], 1)
    return torch.cat([uv, extra]), faces_uv


def pair_up(mean: Tensor, exact: Tensor) -> Tensor:
    """``(V,)`` the vertex on the other side of x = 0: the nearest to its image that is nearest to
    it in turn.

    Args:
        mean: ``(V, 3)``.
        exact: ``(V,)`` bool, vertices that are paired among themselves only, such as the skin.

    Returns:
        A map that is its own inverse: vertices that are left over go to the nearest one that is
        left over too.
    """
    from scipy.spatial import cKDTree

    points = mean.numpy().astype(np.float64)
    result = np.full(len(points), -1)
    for group in (np.flatnonzero(exact.numpy()), np.flatnonzero(~exact.numpy())):
        rest = group
        while len(rest):
            own = points[rest]
            partner = cKDTree(own).query(own * [-1, 1, 1])[1]
            good = partner[partner] == np.arange(len(rest))
            if not good.any():
                result[rest] = rest
                break
            result[rest[good]] = rest[partner[good]]
            rest = rest[~good]
    return torch.from_numpy(result)
