"""Soft masks of the face or of parts of it, from landmarks, and of polygons out of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from facemorph.errors import ConfigError, GeometryError
from facemorph.faces.choices import MASKS
from facemorph.faces.files.landmark_files import check_points, read_points
from facemorph.faces.landmark_schemes import COUNTS, named_part, scheme_of, to_ibug68
from facemorph.ops.frames import Frame
from facemorph.ops.shapes import check_shape
from facemorph.storage.suffixes import LANDMARK_FILES

PARTS = ("lower_face", "left_half", "right_half")  # those for which landmarks must have names
FOREHEAD = 0.22  # how far the brows are raised, in units of the distance from chin to nose root


def convex_hull_mask(
    points: Tensor, frame: Frame, *, erosion: float = 0.0, feather: float = 0.1
) -> Tensor:
    """Soft mask of the convex hull of points: 0 outside of the (eroded) hull, 1 deep inside.

    The mask rises over ``feather`` as the smooth step 3 s^2 - 2 s^3 of the distance to the border.

    Args:
        points: ``(K, 2)`` in pixels, K >= 3.
        frame: Frame of the mask.
        erosion: How far the hull shrinks, in units of the face size, the root of the hull's area;
            negative grows it.
        feather: Width of the rising border in the same unit; 0 for a hard mask.

    Returns:
        ``(1, H, W)`` float32 in [0, 1].

    Raises:
        GeometryError: The points do not span an area, or are not finite.
    """
    depth, face_size = _hull_depth(points, frame)
    return smooth_step((depth - erosion * face_size) / max(feather * face_size, 1e-9))[None]


def smooth_step(share: Tensor) -> Tensor:
    """``3 s^2 - 2 s^3`` of a share clipped to [0, 1]: from 0 to 1 without a kink."""
    share = share.clamp(0, 1)
    return share * share * (3 - 2 * share)


def _hull_depth(points: Tensor, frame: Frame) -> tuple[Tensor, float]:
    """How deep each pixel lies in the hull ``(H, W)``, negative outside, and the face size, both in
    pixels.
    """
    check_shape(points, "K 2", "points")
    exact = points.detach().double().cpu()
    try:
        hull = ConvexHull(exact.numpy())
    except (QhullError, ValueError) as error:
        raise GeometryError(
            "points do not span an area, so they have no mask",
            found=f"{len(exact)} points",
            remedy="Check the landmarks",
        ) from error
    face_size = float(hull.volume) ** 0.5  # in the plane, 'volume' is the area
    x, y = torch.arange(frame.width) + 0.5, torch.arange(frame.height)[:, None] + 0.5
    outside = torch.full((frame.height, frame.width), -float("inf"))
    for normal_x, normal_y, offset in hull.equations.tolist():  # negative inside
        outside = torch.maximum(outside, x * normal_x + (y * normal_y + offset))
    return -outside, face_size


def face_mask(
    points: Tensor,
    scheme: str,
    frame: Frame,
    *,
    shape: str = "face",
    erosion: float = 0.0,
    feather: float = 0.12,
) -> Tensor:
    """Soft mask of the face, or of a part of it.

    | shape | what |
    |---|---|
    | ``face`` | jaw, and brows raised to the forehead; the hull of points of unknown schemes |
    | ``lower_face`` | jaw up to the cheekbones, and the bridge of the nose |
    | ``left_half``, ``right_half`` | that side of the line from nose root to chin |
    | ``frame`` | everything |

    Both halves add up to the face; left is left in the picture of an upright face.

    Args:
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme.
        frame: Frame of the mask.
        shape: One of ``MASKS``.
        erosion: How far the hull shrinks, in units of the face size (root of the hull's area).
        feather: Width of the rising border in the same unit.

    Returns:
        ``(1, H, W)`` float32 in [0, 1].

    Raises:
        GeometryError: The points do not span an area.
        ConfigError: The shape is none of these.
        DataError: The landmarks have no names, and the shape is one of ``PARTS``.
    """
    if shape not in MASKS:
        raise ConfigError("no such mask", where="mask", expected=" | ".join(MASKS), found=shape)
    if shape == "frame":
        return torch.ones(1, frame.height, frame.width)
    outline, half = points.detach().double().cpu(), None
    if named_part(scheme) in COUNTS or shape in PARTS:
        marks = to_ibug68(outline, scheme)
        brows = marks[17:27] + FOREHEAD * (marks[27] - marks[8])
        outline = torch.cat(
            [marks[2:15], marks[28:29]] if shape == "lower_face" else [marks[:17], brows]
        )
        if shape in ("left_half", "right_half"):
            down = (marks[8] - marks[27]) / (marks[8] - marks[27]).norm().clamp_min(1e-9)
            half = (frame.to_pixels(frame.pixel_centres(torch.float64)) - marks[27]) @ torch.stack(
                [-down[1], down[0]]
            )
    depth, face_size = _hull_depth(outline, frame)
    width = max(feather * face_size, 1e-9)
    mask = smooth_step((depth - erosion * face_size) / width)
    if half is not None:
        left = smooth_step(half / width + 0.5).float()
        mask = mask * (left if shape == "left_half" else 1 - left)
    return mask[None]


def held_face(points: Tensor, frame: Frame, feather: float = 0.15) -> Tensor:
    """Mask of what dense refinement must leave alone: 1 in the whole face, with a border that falls
    outside of it.

    Args:
        points: ``(K, 2)`` landmarks in pixels.
        frame: Frame of the mask.
        feather: Width of the border, in units of the face size (root of the hull's area).

    Returns:
        ``(1, H, W)`` float32 in [0, 1].

    Raises:
        GeometryError: The points do not span an area.
    """
    # A little more, so that the outline's own points lie inside on any grid.
    return face_mask(
        points, scheme_of(len(points)), frame, erosion=-(feather + 0.03), feather=feather
    )


def read_mask_shape(shape: str | Path | Tensor) -> str | Tensor:
    """Take a mask's name as it is, and read a polygon from a file.

    Args:
        shape: One of ``MASKS``; a landmark file of any kind, in
            pixels of the frame at time 0, whose convex hull is the mask; or such points ``(K, 2)``.

    Returns:
        The name, or points ``(K, 2)`` float64 in pixels.

    Raises:
        ConfigError: It is neither a name nor a file of points.
        DataError: The file is missing or malformed.
        GeometryError: The points do not span an area, or are not finite.
    """
    if isinstance(shape, str) and shape in MASKS:
        return shape
    if not isinstance(shape, Tensor):
        if Path(shape).suffix.lower() not in LANDMARK_FILES:
            raise ConfigError(
                "no such mask",
                where="mask",
                found=shape,
                expected=f"{' | '.join(MASKS)}, or a polygon's file {' '.join(LANDMARK_FILES)}",
            )
        name, points = f"points of {shape}", read_points(shape)[0]
    else:
        name, points = "points of the mask", shape.detach().double().cpu()
    check_points(points, Frame(1, 1), name, inside=False, distinct=False)
    return points


def carried_mask(
    shape: str | Path | Tensor,
    landmarks: Tensor,
    carry: Callable[[Tensor], Tensor],
    frame: Frame,
    output: Frame,
) -> Tensor:
    """A mask at another time than 0: its outline is carried there.

    Args:
        shape: See ``read_mask_shape``.
        landmarks: ``(K, 2)`` at time 0, in field coordinates.
        carry: From field coordinates ``(N, 2)`` at time 0 to those at the other time.
        frame: Frame at time 0, in whose pixels a polygon is.
        output: Frame of the mask: the same, or scaled.

    Returns:
        ``(1, H, W)`` float32 in [0, 1].

    Raises:
        ConfigError: There is no such mask.
        DataError: The polygon's file is malformed, or the landmarks do not show that part of the
            face.
        GeometryError: The polygon has no area in the frame.
    """
    outline = read_mask_shape(shape)
    if isinstance(outline, str):
        points = output.to_pixels(carry(landmarks))
        return face_mask(points, scheme_of(len(points)), output, shape=outline)
    mask = convex_hull_mask(output.to_pixels(carry(frame.from_pixels(outline))), output)
    if not bool(mask.any()):
        raise GeometryError(
            "the polygon lies outside of the frame",
            where="mask",
            expected=f"pixels of the frame of {frame.width} x {frame.height} at time 0",
        )
    return mask
