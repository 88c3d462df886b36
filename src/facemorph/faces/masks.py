"""Soft masks of the face, from landmarks."""

from __future__ import annotations

import torch
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.faces.landmark_schemes import COUNTS, to_ibug68
from facemorph.ops.frames import Frame
from facemorph.ops.shapes import check_shape

FOREHEAD = 0.22         # how far the brows are raised, in units of the distance from chin to nose root


def convex_hull_mask(points: Tensor, frame: Frame, *, erosion: float = 0.0,
                     feather: float = 0.1) -> Tensor:
    """Soft mask of the convex hull of points: 0 outside of the (eroded) hull, 1 deep inside.

    The mask rises over ``feather`` as the smooth step 3 s^2 - 2 s^3 of the distance to the border.

    Args:
        points: ``(K, 2)`` in pixels, K >= 3.
        frame: Frame of the mask.
        erosion: How far the hull shrinks, in units of the face size, the root of the hull's area; negative
            grows it.
        feather: Width of the rising border in the same unit; 0 for a hard mask.

    Returns:
        ``(1, H, W)`` float32 in [0, 1].

    Raises:
        GeometryError: The points do not span an area, or are not finite.
    """
    check_shape(points, "K 2", "points")
    exact = points.detach().double().cpu()
    try:
        hull = ConvexHull(exact.numpy())
    except (QhullError, ValueError) as error:
        raise GeometryError("points do not span an area, so they have no mask", found=f"{len(exact)} points",
                            remedy="Check the landmarks") from error
    face_size = float(hull.volume) ** 0.5                           # in the plane, 'volume' is the area
    centres = frame.to_pixels(frame.pixel_centres())
    depth = torch.full(centres.shape[:2], float("inf"))
    for normal_x, normal_y, offset in hull.equations.tolist():      # negative inside
        depth = torch.minimum(depth, -(centres[..., 0] * normal_x + centres[..., 1] * normal_y + offset))
    depth = depth - erosion * face_size
    share = (depth / max(feather * face_size, 1e-9)).clamp(0, 1)
    return (share * share * (3 - 2 * share))[None]


def face_mask(points: Tensor, scheme: str, frame: Frame, *, erosion: float = 0.0,
              feather: float = 0.12) -> Tensor:
    """Soft mask of the face: jaw, and brows raised to the forehead; the hull of points of unknown schemes.

    Args:
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme.
        frame: Frame of the mask.
        erosion: How far the hull shrinks, in units of the face size (root of the hull's area).
        feather: Width of the rising border in the same unit.

    Returns:
        ``(1, H, W)`` float32 in [0, 1].

    Raises:
        GeometryError: The points do not span an area.
    """
    outline = points.double()
    if scheme in COUNTS:
        marks = to_ibug68(outline, scheme)
        brows = marks[17:27] + FOREHEAD * (marks[27] - marks[8])
        outline = torch.cat([marks[:17], brows])
    return convex_hull_mask(outline, frame, erosion=erosion, feather=feather)
