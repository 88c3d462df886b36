"""Whether the landmarks that somebody found can be those of a face at all.

A head of mean shape is turned, scaled and shifted until its landmarks lie nearest to the found ones
(scaled orthographic projection, by way of the affine fit of Ullman and Basri, *Recognition by
linear combinations of models*, 1991). Far from it, seen from behind, or with a part out of size
or order, they are no face's. The limits lie well beyond what 204 photographs of the Face Research
Lab London Set, 300 other portraits, talking people and heads moved up to 60 degrees to the side or
with the jaw wide open show; the largest of these are given beside them.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.faces.alignment import apply_affine, fit_similarity
from facemorph.faces.checks.mean_face import MEAN_FACE
from facemorph.faces.landmark_schemes import IBUG68_REGIONS, eye_centres, to_ibug68

JAW_WEIGHT = 0.3  # of the jaw line in the pose: it slides over the cheeks
UNIT = 60.0  # millimetres of the mean head, about the distance of the pupils, that distances are in
LEAST_FRONT = 0.3  # cosine of the turn away from the viewer (least seen: 0.58)
LEAST_ROUND = 0.6  # of the two axes' scales, the smaller in the larger (0.74)
TURNED = 0.8  # cosine below which the looser limits hold
MEAN_LIMITS = (0.2, 0.25)  # root mean square distance, from the front and turned (0.17)
ONE_LIMITS = (0.5, 0.75)  # of one landmark (0.4 and 0.54)
EXTENT = (0.5, 1.8)  # of the landmarks in the box's side (0.83 to 1.26)
DISAGREEMENT = 0.12  # of the plain and the mirrored pass, of the landmarks' extent (0.046)
TILT = 30.0  # degrees of a part against the head (12)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Part:
    """A part of the face that has a shape of its own.

    Attributes:
        name: What to call it in messages.
        regions: Of iBUG's landmarks.
        distance: Largest root mean square distance from its own shape, in units of its size.
        scales: Smallest and largest size, in units of the mean head's.
    """

    name: str
    regions: tuple[str, ...]
    distance: float
    scales: tuple[float, float] = (0.6, 1.6)

    @property
    def indices(self) -> list[int]:
        """Its landmarks."""
        return [index for name in self.regions for index in IBUG68_REGIONS[name]]


PARTS = (
    _Part("the jaw line", ("jaw",), 0.15),  # 0.08
    _Part("the left brow", ("brow_left",), 0.3, (0.5, 1.8)),  # 0.06
    _Part("the right brow", ("brow_right",), 0.3, (0.5, 1.8)),  # 0.10, and 0.26 beyond the nose
    _Part("the nose", ("nose_bridge", "nose_base"), 0.06, (0.7, 1.3)),  # 0.03
    _Part("the eyes", ("eye_left", "eye_right"), 0.08, (0.7, 1.4)),  # 0.03
    _Part("the left eye", ("eye_left",), 0.27),  # 0.04, and 0.24 where it is shut
    _Part("the right eye", ("eye_right",), 0.27),  # 0.09
    _Part("the mouth", ("lips_outer", "lips_inner"), 0.4, (0.6, 1.6)),  # 0.23
    _Part("the mouth's outline", ("lips_outer",), 0.3, (0.6, 1.6)),  # 0.19
)


@dataclass(frozen=True)
class Implausible:
    """Why landmarks cannot be a face's.

    Attributes:
        expected: What a face would have.
        found: What these have.
    """

    expected: str
    found: str


def implausibility(
    points: Tensor, scheme: str, box: Tensor | None = None, disagreement: float | None = None
) -> Implausible | None:
    """Tell landmarks that cannot be a face's from those that can.

    Args:
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme; others than iBUG's and FRLL's are not judged.
        box: ``(4,)`` x0, y0, x1, y1 of the face that the detector found; None where there is none.
        disagreement: Mean distance of the landmarks of the picture and of its mirror image, as a
            share of their extent; None where it was not measured.

    Returns:
        The first reason against them; None where there is none.
    """
    try:
        marks = to_ibug68(points, scheme).detach().cpu().double()
    except DataError:
        return None
    if not bool(torch.isfinite(marks).all()):
        return Implausible("numbers", "landmarks that are none")
    extent = float((marks.amax(0) - marks.amin(0)).max())
    side = extent if box is None else float((box[2:] - box[:2]).max())
    if extent < 1e-6 or not EXTENT[0] * side <= extent <= EXTENT[1] * side:
        return Implausible(
            f"landmarks that span about the {side:.0f} pixels of the face's box",
            f"{extent:.0f} pixels",
        )
    if disagreement is not None and disagreement > DISAGREEMENT:
        return Implausible(
            "the same landmarks in the picture and in its mirror image",
            f"others, {disagreement:.0%} of the face apart",
        )
    return _against_mean_face(marks)


def say_implausible(points: Tensor, scheme: str, name: str) -> None:
    """Warn of landmarks of a file that cannot be a face's; they are used all the same.

    Args:
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme.
        name: What to call the file.
    """
    reason = implausibility(points, scheme)
    if reason is not None:
        logger.warning(
            "%s: these landmarks do not look like a face's (expected %s, found %s). Check their "
            "order and whose they are.",
            name,
            reason.expected,
            reason.found,
        )


def roll_of(points: Tensor, scheme: str) -> float | None:
    """Turn of a head in the picture's plane, from its eyes.

    Args:
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme.

    Returns:
        Degrees with the clock, 180 for a head upside down; None where the scheme has no eyes.
    """
    try:
        left, right = eye_centres(points, scheme).detach().double()
    except DataError:
        return None
    across = right - left
    return math.degrees(math.atan2(float(across[1]), float(across[0])))


def _against_mean_face(marks: Tensor) -> Implausible | None:
    nearest, pixels, front, roundness = _nearest_head(marks)
    if front < LEAST_FRONT:
        return Implausible(
            "a face seen from the front, left in the picture to the left of right",
            "one from behind or from beyond the side: left and right, or top and bottom, are "
            "exchanged",
        )
    if roundness < LEAST_ROUND:
        return Implausible("a face as wide as it is high", f"one squeezed to {roundness:.0%}")
    turned = front < TURNED
    away = (marks - nearest).norm(dim=1) / pixels
    mean, one = float(away.square().mean().sqrt()), float(away.max())
    if mean > MEAN_LIMITS[turned] or one > ONE_LIMITS[turned]:
        return Implausible(
            f"landmarks at most {ONE_LIMITS[turned]:g} eye distances from those of a usual face, "
            f"{MEAN_LIMITS[turned]:g} in the mean",
            f"{one:.2f} and {mean:.2f}",
        )
    for part in PARTS:
        reason = _against_part(part, nearest[part.indices], marks[part.indices])
        if reason is not None:
            return reason
    return None


def _nearest_head(marks: Tensor) -> tuple[Tensor, float, float, float]:
    """Landmarks ``(68, 2)`` of the mean head where it comes nearest to these, pixels for a
    ``UNIT``, cosine of its turn away from the viewer, and how equal both axes are scaled.
    """
    head, weight = _mean_face()
    known = torch.cat([head, torch.ones_like(head[:, :1])], 1)
    solution = torch.linalg.lstsq(known * weight, marks * weight).solution
    left, scales, right = torch.linalg.svd(solution[:3].T, full_matrices=False)
    turn, scale = left @ right, float(scales.mean())
    shape = scale * head @ turn.T
    shift = ((marks - shape) * weight.square()).sum(0) / weight.square().sum()
    front = float(torch.linalg.cross(turn[0], turn[1])[2])
    pixels = max(UNIT * scale, 1e-9)
    return shape + shift, pixels, front, float(scales[1] / scales[0].clamp_min(1e-12))


@cache
def _mean_face() -> tuple[Tensor, Tensor]:
    """Mean head ``(68, 3)`` in millimetres, and the landmarks' weights ``(68, 1)``."""
    weight = torch.ones(68, 1, dtype=torch.float64)
    weight[list(IBUG68_REGIONS["jaw"])] = JAW_WEIGHT
    return torch.tensor(MEAN_FACE, dtype=torch.float64) / 10, weight


def _against_part(part: _Part, usual: Tensor, found: Tensor) -> Implausible | None:
    matrix = fit_similarity(usual, found)
    own = apply_affine(usual, matrix)
    size = 2 * float((own - own.mean(0)).norm(dim=1).max())
    scale = float(matrix[:, 0].norm())
    tilt = float(torch.rad2deg(torch.atan2(matrix[1, 0], matrix[0, 0]).abs()))
    low, high = part.scales
    if not low <= scale <= high:
        return Implausible(
            f"{part.name} of {low:g} to {high:g} times its usual size in the face",
            f"{scale:.2f}",
        )
    if tilt > TILT:
        return Implausible(
            f"{part.name} within {TILT:g} degrees of the head's upright", f"{tilt:.0f} degrees"
        )
    away = float((found - own).norm(dim=1).square().mean().sqrt()) / max(size, 1e-9)
    if away > part.distance:
        return Implausible(
            f"landmarks of {part.name} within {part.distance:.0%} of its size of its shape",
            f"{away:.0%}: they are out of order or in another place",
        )
    return None
