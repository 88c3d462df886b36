"""Similarity transforms and aligned, antialiased crops.

A crop is described by the 2x3 matrix that carries crop pixels to source pixels, both with 0 at the
edge of the picture and pixel centres at i + 0.5.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facemorph.errors import GeometryError
from facemorph.faces.landmark_schemes import chin, eye_centres, mouth_centre
from facemorph.ops.shapes import check_shape

logger = logging.getLogger(__name__)

# Side of a portrait's square in units of the distance from the eyes to the chin, and how far its
# middle lies below the eyes.
PORTRAIT_SIDE, PORTRAIT_MIDDLE = 1.9 * 1.9, 0.45


@dataclass(frozen=True)
class PortraitCut:
    """How several portraits are cut alike.

    Attributes:
        share: Side of the square, as a share of that with head and shoulders.
        shift: Of its middle to the right and down, in units of the distance from eyes to chin.
    """

    share: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class AlignedFace:
    """A square crop of a picture.

    Attributes:
        image: ``(3, S, S)`` in [0, 1].
        points: ``(K, 2)`` landmarks in pixels of the crop.
        matrix: ``(2, 3)`` crop pixels to source pixels.
    """

    image: Tensor
    points: Tensor
    matrix: Tensor


def apply_affine(points: Tensor, matrix: Tensor) -> Tensor:
    """Points ``(..., 2)`` carried by a 2x3 matrix."""
    matrix = matrix.to(points)
    return points @ matrix[:, :2].mT + matrix[:, 2]


def invert_affine(matrix: Tensor) -> Tensor:
    """The 2x3 matrix of the inverse map.

    Raises:
        GeometryError: The map is singular.
    """
    inverse, info = torch.linalg.inv_ex(matrix[:, :2])
    if int(info) != 0 or not bool(torch.isfinite(inverse).all()):
        raise GeometryError("an affine map has no inverse", found=matrix.tolist())
    return torch.cat([inverse, -inverse @ matrix[:, 2:]], 1)


def fit_similarity(source: Tensor, target: Tensor) -> Tensor:
    """Least-squares rotation, scale and shift that carry ``source`` to ``target``.

    Closed form in float64, differentiable in both; never a reflection.

    Args:
        source: ``(N, 2)``, N >= 2.
        target: ``(N, 2)``.

    Returns:
        ``(2, 3)`` matrix in the dtype of ``source``.

    Raises:
        GeometryError: All source points coincide, or a point is not finite.

    Source: Umeyama, *Least-squares estimation of transformation parameters between two point
    patterns*, 1991.
    """
    sizes = check_shape(source, "N 2", "source")
    check_shape(target, f"{sizes['N']} 2", "target")
    a, b = source.double(), target.double()
    mean_a, mean_b = a.mean(0), b.mean(0)
    x, y = a - mean_a, b - mean_b
    spread = (x * x).sum()
    if not bool(torch.isfinite(spread + y.sum())):
        raise GeometryError("points of a similarity fit are not finite")
    if float(spread.detach()) <= 1e-18 * max(1.0, float(mean_a.detach().square().sum())):
        raise GeometryError(
            "all points of a similarity fit coincide: its scale is not determined",
            found=mean_a.tolist(),
        )
    cos = (x * y).sum() / spread
    sin = (x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0]).sum() / spread
    linear = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
    return torch.cat([linear, (mean_b - linear @ mean_a)[:, None]], 1).to(source.dtype)


def square_crop_matrix(center: Tensor, side: float, angle: float, size: int) -> Tensor:
    """Matrix of a crop of ``size`` pixels that covers a square of the picture.

    Args:
        center: ``(2,)`` centre of the square in source pixels.
        side: Side of the square in source pixels.
        angle: Rotation of the square in radians, from x to y.
        size: Side of the crop in pixels.
    """
    scale = side / size
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    linear = center.new_tensor([[cos, -sin], [sin, cos]])
    return torch.cat([linear, (center - linear.sum(1) * (size / 2))[:, None]], 1)


def crop(
    image: Tensor, matrix: Tensor, size: int, *, mode: str = "bilinear", padding: str = "zeros"
) -> Tensor:
    """Antialiased crop by a matrix; differentiable in the image and the matrix.

    Where the picture shrinks, each crop pixel is the mean of about as many samples as it covers
    source pixels.

    Args:
        image: ``(3, H, W)``.
        matrix: ``(2, 3)`` crop pixels to source pixels.
        size: Side of the crop in pixels.
        mode: ``bilinear``, or ``bicubic`` for pictures that people look at.
        padding: What lies outside of the picture: ``zeros``, ``border`` or ``reflection``.

    Returns:
        ``(3, size, size)``; bicubic values may pass the range of the image a little.
    """
    height, width = image.shape[-2:]
    scale = math.sqrt(abs(float(torch.det(matrix[:, :2].detach().double()))))
    factor = max(1, math.ceil(scale - 0.25))
    line = (torch.arange(size * factor, dtype=torch.float32, device=image.device) + 0.5) / factor
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).to(image.dtype)
    grid = apply_affine(grid, matrix.to(image)) * (2.0 / image.new_tensor([width, height])) - 1
    sampled = functional.grid_sample(
        image[None], grid[None], mode=mode, padding_mode=padding, align_corners=False
    )
    return (functional.avg_pool2d(sampled, factor) if factor > 1 else sampled)[0]


def portrait_crop(
    image: Tensor, points: Tensor, scheme: str, size: int = 512, cut: PortraitCut | None = None
) -> AlignedFace:
    """Square head-and-shoulders crop, upright as the picture is.

    The square is centred a little below the eyes and moved inside the picture. Where it does not
    fit, it shrinks to the picture's shorter side, so that no pixels are invented; with a ``cut``
    it keeps its size, and the picture's borders are repeated beyond them.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme, ``ibug68`` or ``frll189``.
        size: Side of the crop in pixels.
        cut: What it has in common with other portraits (``faces.checks.common_cut``).

    Raises:
        GeometryError: Eyes and chin coincide.
        DataError: The scheme has no eyes and chin.
    """
    check_shape(image, "3 H W", "image")
    height, width = image.shape[1:]
    exact = points.double()
    middle, reach = portrait_middle(exact, scheme)
    if cut is None:
        side = min(PORTRAIT_SIDE * reach, height, width)
    else:
        side = PORTRAIT_SIDE * reach * cut.share
        middle = middle + reach * middle.new_tensor(cut.shift)
    room = middle.new_tensor([width - side, height - side])
    corner = torch.minimum((middle - side / 2).clamp_min(0), room.clamp_min(0))
    corner = torch.where(room < 0, room / 2, corner)
    matrix = square_crop_matrix(corner + side / 2, side, 0.0, size)
    picture = crop(image, matrix, size, mode="bicubic", padding="border").clamp(0, 1)
    return AlignedFace(picture, apply_affine(exact, invert_affine(matrix)).to(points.dtype), matrix)


def portrait_middle(points: Tensor, scheme: str) -> tuple[Tensor, float]:
    """Middle ``(2,)`` of a portrait's square, and the distance from the eyes to the chin, in
    pixels.

    Args:
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme, ``ibug68`` or ``frll189``.

    Raises:
        GeometryError: Eyes and chin coincide.
        DataError: The scheme has no eyes and chin.
    """
    eyes, bottom = eye_centres(points, scheme).mean(0), chin(points, scheme)
    reach = float((bottom - eyes).norm())
    if not math.isfinite(reach) or reach < 1:
        raise GeometryError(
            "eyes and chin lie closer than one pixel: a portrait has no size",
            found=f"{reach:.3g} px",
        )
    return eyes + PORTRAIT_MIDDLE * (bottom - eyes), reach


def ffhq_quad(points: Tensor, scheme: str, *, rotate: bool = True) -> tuple[Tensor, Tensor]:
    """Centre and half x axis, both ``(2,)``, of the square in which FFHQ and CelebA-HQ show a face.

    Source: Karras et al., *Progressive Growing of GANs*, 2018, appendix C.
    """
    exact = points.double()
    left, right = eye_centres(exact, scheme)
    eyes, eye_to_eye = (left + right) / 2, right - left
    eye_to_mouth = mouth_centre(exact, scheme) - eyes
    # the latter turned by -90 degrees
    axis = eye_to_eye + torch.stack([eye_to_mouth[1], -eye_to_mouth[0]])
    length = max(2.0 * float(eye_to_eye.norm()), 1.8 * float(eye_to_mouth.norm()))
    if not math.isfinite(length) or length < 1 or float(axis.norm()) < 1e-6 * length:
        raise GeometryError(
            "eyes and mouth do not determine a face", found=points.new_tensor(length).item()
        )
    axis = axis / axis.norm() * length if rotate else exact.new_tensor([length, 0.0])
    return eyes + 0.1 * eye_to_mouth, axis


def ffhq_crop(
    image: Tensor, points: Tensor, scheme: str, size: int = 512, *, rotate: bool = True
) -> AlignedFace:
    """The crop of FFHQ: eyes and mouth at fixed places, missing surroundings reflected and blurred.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme, ``ibug68`` or ``frll189``.
        size: Side of the crop in pixels.
        rotate: Level the face; False keeps its rotation.

    Raises:
        GeometryError: Eyes and mouth coincide.
        DataError: The scheme has no eyes and mouth.
    """
    check_shape(image, "3 H W", "image")
    center, axis = ffhq_quad(points, scheme, rotate=rotate)
    half = float(axis.norm())
    matrix = square_crop_matrix(center, 2 * half, math.atan2(float(axis[1]), float(axis[0])), size)
    reach = abs(float(axis[0])) + abs(float(axis[1]))
    canvas, offset = _padded(image, center - reach, center + reach, 2 * half)
    shifted = torch.cat([matrix[:, :2], (matrix[:, 2] + matrix.new_tensor(offset))[:, None]], 1)
    cut = crop(canvas, shifted, size, mode="bicubic", padding="border").clamp(0, 1)
    return AlignedFace(
        cut, apply_affine(points.double(), invert_affine(matrix)).to(points.dtype), matrix
    )


def reenactment_box(points: Tensor) -> tuple[Tensor, float]:
    """Centre ``(2,)`` and side, in pixels, of the square that GDPW cuts out around landmarks.

    Args:
        points: ``(K, 2)`` landmarks in pixels.

    Raises:
        GeometryError: The landmarks lie in one place.
    """
    low, high = points.amin(0), points.amax(0)
    side = float((high - low).mean()) * 1.1 * 1.35
    if not math.isfinite(side) or side < 2:
        raise GeometryError(
            "the landmarks lie in one place: a crop has no size", found=f"{side:.3g} px"
        )
    return (low + high) / 2 - points.new_tensor([0.0, 0.1 * side]), side


def cut_square(
    image: Tensor, points: Tensor, center: Tensor, side: float, size: int
) -> tuple[Tensor, Tensor, Tensor]:
    """An upright square of a picture, its borders repeated beyond it.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        points: ``(K, 2)`` in pixels.
        center: ``(2,)`` of the square, in pixels.
        side: Of the square, in pixels.
        size: Of the crop, in pixels.

    Returns:
        The crop ``(3, size, size)``, the points in it, and the ``(2, 3)`` matrix from it to the
        picture.
    """
    matrix = square_crop_matrix(center.double(), side, 0.0, size)
    small = crop(image, matrix, size, mode="bicubic", padding="border").clamp(0, 1)
    return small, apply_affine(points.double(), invert_affine(matrix)).to(points.dtype), matrix


def reenactment_crop(image: Tensor, points: Tensor, size: int = 256) -> AlignedFace:
    """The crop of GDPW: 1.35 times the face's box, three fifths of it above the middle, upright as
    the picture is.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        points: ``(K, 2)`` landmarks in pixels.
        size: Side of the crop in pixels.

    Raises:
        GeometryError: The landmarks lie in one place.

    Source: Zhong, Amjadi and Zharkov, *Geometry Driven Progressive Warping*, 2022, their code; the
    box is that of DECA, 1.1 times the mean side of the landmarks' bounding box.
    """
    check_shape(image, "3 H W", "image")
    exact = points.double()
    center, side = reenactment_box(exact)
    matrix = square_crop_matrix(center, side, 0.0, size)
    canvas, offset = _padded(image, center - side / 2, center + side / 2, side)
    shifted = torch.cat([matrix[:, :2], (matrix[:, 2] + matrix.new_tensor(offset))[:, None]], 1)
    cut = crop(canvas, shifted, size, mode="bicubic", padding="border").clamp(0, 1)
    return AlignedFace(cut, apply_affine(exact, invert_affine(matrix)).to(points.dtype), matrix)


def _padded(
    image: Tensor, low: Tensor, high: Tensor, side: float
) -> tuple[Tensor, tuple[float, float]]:
    """The picture with reflected, fading margins up to the box ``low`` .. ``high``, and their
    widths.
    """
    height, width = image.shape[1:]
    border = max(round(side * 0.1), 3)
    left, top = (max(math.ceil(-float(v)) + border, 0) for v in low)
    right, bottom = (
        max(math.ceil(float(v) - end) + border, 0)
        for v, end in zip(high, (width, height), strict=True)
    )
    if max(left, top, right, bottom) <= border:  # the box is inside the picture
        return image, (0.0, 0.0)
    if max(left, top, right, bottom) > 4 * max(side, height, width):
        raise GeometryError(
            "the face lies far outside of the picture",
            expected=f"inside {width} x {height}",
            found=[round(float(v)) for v in (low + high) / 2],
        )
    left, top, right, bottom = (max(v, round(side * 0.3)) for v in (left, top, right, bottom))
    array = np.pad(
        image.detach().cpu().numpy(),
        ((0, 0), (top, bottom), (left, right)),
        mode="reflect" if min(height, width) > 1 else "edge",
    )
    # 0 inside the picture, rising to 1 at the far end of the margins.
    y, x = np.arange(array.shape[1])[:, None] + 0.5, np.arange(array.shape[2])[None] + 0.5
    fade_x = np.maximum(1 - x / left, 1 - (array.shape[2] - x) / right)
    fade_y = np.maximum(1 - y / top, 1 - (array.shape[1] - y) / bottom)
    fade = np.maximum(fade_x, fade_y)
    from scipy import ndimage  # half a second, for what few photographs need

    blurred = ndimage.gaussian_filter(array, (0, 0.02 * side, 0.02 * side))
    array = array + (blurred - array) * np.clip(3 * fade + 1, 0, 1)
    array = array + (np.median(array, axis=(1, 2), keepdims=True) - array) * np.clip(fade, 0, 1)
    return torch.from_numpy(array.astype(np.float32)).to(image), (float(left), float(top))
