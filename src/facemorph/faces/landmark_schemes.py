"""Landmark schemes: what the points of a face are called, their mirror images, and conversion to
iBUG 68.

``left`` and ``right`` mean sides of the picture, not of the subject. Points are ``(..., K, 2)`` in
any unit, y down. A scheme with points that somebody added after its own is called ``ibug68+3``.

Source: 68 points of Sagonas et al., *300 Faces In-The-Wild Challenge*, 2016; 189 points of the
    templates of the
Face Research Lab London Set (DeBruine & Jones, doi:10.6084/m9.figshare.5047666); 468 vertices of
MediaPipe's face mesh (Kartynnik et al., arXiv:1907.06724), and 10 more points of its irises.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from facemorph.errors import DataError

COUNTS = {"ibug68": 68, "frll189": 189}

IBUG68_REGIONS = {
    "jaw": tuple(range(17)),
    "brow_left": tuple(range(17, 22)),
    "brow_right": tuple(range(22, 27)),
    "nose_bridge": tuple(range(27, 31)),
    "nose_base": tuple(range(31, 36)),
    "eye_left": tuple(range(36, 42)),
    "eye_right": tuple(range(42, 48)),
    "lips_outer": tuple(range(48, 60)),
    "lips_inner": tuple(range(60, 68)),
}

# Index of every iBUG point's mirror image.
MIRROR68 = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    27,
    28,
    29,
    30,
    35,
    34,
    33,
    32,
    31,
    45,
    44,
    43,
    42,
    47,
    46,
    39,
    38,
    37,
    36,
    41,
    40,
    54,
    53,
    52,
    51,
    50,
    49,
    48,
    59,
    58,
    57,
    56,
    55,
    64,
    63,
    62,
    61,
    60,
    67,
    66,
    65,
)

# frll189: the jaw of iBUG lies at equal arc length on these two lines, which meet at the chin.
_JAW_LEFT = (109, 185, 110, 186, 111, 125, 126, 127, 128, 129)
_JAW_RIGHT = (129, 130, 131, 132, 133, 114, 188, 113, 187, 112)
# frll189: every other iBUG point is a weighted mean of template points, {index: weight}.
_MOUTH_CORNER = 0.85
# fmt: off
_FRLL_TO_IBUG: tuple[dict[int, float], ...] = (
    {71: 1}, {72: 1}, {73: 1}, {74: 1}, {75: .5, 76: .5},  # 17-21
    {77: .5, 78: .5}, {79: 1}, {80: 1}, {81: 1}, {82: 1},  # 22-26
    # 27-30
    {50: .5, 56: .5}, {51: .25, 52: .25, 57: .25, 58: .25}, {53: .5, 59: .5}, {54: .5, 60: .5},
    {64: 1}, {64: .5, 180: .5}, {55: 1}, {181: .5, 69: .5}, {69: 1},  # 31-35
    # 36-41
    {18: 1}, {19: .5, 20: .5}, {20: .5, 21: .5}, {22: 1}, {29: .5, 30: .5}, {28: .5, 29: .5},
    # 42-47
    {23: 1}, {24: .5, 25: .5}, {25: .5, 26: .5}, {27: 1}, {32: .5, 33: .5}, {31: .5, 32: .5},
    {87: 1}, {88: 1}, {89: 1}, {90: 1}, {91: 1}, {92: 1}, {93: 1},  # 48-54
    {108: 1}, {107: 1}, {106: 1}, {105: 1}, {104: 1},  # 55-59
    {87: _MOUTH_CORNER, 94: (1 - _MOUTH_CORNER) / 2, 99: (1 - _MOUTH_CORNER) / 2},
    {95: 1}, {96: 1}, {97: 1},
    {93: _MOUTH_CORNER, 98: (1 - _MOUTH_CORNER) / 2, 103: (1 - _MOUTH_CORNER) / 2},
    {102: 1}, {101: 1}, {100: 1},
)

MEDIAPIPE_COUNTS = (468, 478)  # without and with the irises
# MediaPipe's face oval from ear to chin: the jaw of iBUG lies on it at equal arc length.
_MEDIAPIPE_LEFT = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
_MEDIAPIPE_RIGHT = (152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
# Chosen on the canonical face, nearest to the mean of what our detector finds in frontal faces.
_MEDIAPIPE_TO_IBUG: tuple[dict[int, float], ...] = (
    {70: 1}, {63: 1}, {105: 1}, {66: 1}, {107: 1},  # 17-21
    {336: 1}, {296: 1}, {334: 1}, {293: 1}, {300: 1},  # 22-26
    {168: .5, 6: .5}, {197: .5, 195: .5}, {5: 1}, {4: 1},  # 27-30
    {75: 1}, {97: 1}, {2: 1}, {326: 1}, {305: 1},  # 31-35
    {33: 1}, {160: 1}, {158: 1}, {133: 1}, {153: 1}, {144: 1},  # 36-41
    {362: 1}, {385: 1}, {387: 1}, {263: 1}, {373: 1}, {380: 1},  # 42-47
    {61: 1}, {39: 1}, {37: 1}, {0: 1}, {267: 1}, {269: 1}, {291: 1},  # 48-54
    {321: .5, 405: .5}, {314: 1}, {17: 1}, {84: 1}, {91: .5, 181: .5},  # 55-59
    {78: 1}, {81: .5, 82: .5}, {13: 1}, {311: .5, 312: .5},  # 60-63
    {308: 1}, {402: .5, 317: .5}, {14: 1}, {178: .5, 87: .5},  # 64-67
)
# fmt: on


def scheme_of(count: int) -> str:
    """Name of the scheme with ``count`` points: ``ibug68``, ``frll189``, else ``points<count>``."""
    return next((name for name, number in COUNTS.items() if number == count), f"points{count}")


def named_part(scheme: str) -> str:
    """The scheme without points that somebody added: ``ibug68`` of ``ibug68+3``.

    >>> named_part("ibug68+3"), named_part("frll189"), named_part("points70")
    ('ibug68', 'frll189', 'points70')
    """
    name, _, added = scheme.partition("+")
    return name if name in COUNTS and added.isascii() and added.isdigit() else scheme


def count_of(scheme: str) -> int | None:
    """Number of points of a scheme, added ones included; None where its name does not say.

    >>> count_of("ibug68"), count_of("ibug68+3"), count_of("points70")
    (68, 71, None)
    """
    name = named_part(scheme)
    return COUNTS[name] + int(scheme.partition("+")[2] or 0) if name in COUNTS else None


def _check_count(points: Tensor, scheme: str) -> None:
    expected = count_of(scheme)
    if (
        points.ndim < 2
        or points.shape[-1] != 2
        or (expected is not None and points.shape[-2] != expected)
    ):
        raise DataError(
            f"points do not fit the landmark scheme {scheme}",
            expected=f"(..., {expected or 'K'}, 2)",
            found=tuple(points.shape),
        )


def mirror_ibug68(points: Tensor, width: float) -> Tensor:
    """Landmarks of the picture's mirror image.

    Args:
        points: ``(..., 68, 2)`` in pixels.
        width: Width of the picture in pixels.
    """
    _check_count(points, "ibug68")
    flipped = points[..., list(MIRROR68), :]
    return torch.stack([width - flipped[..., 0], flipped[..., 1]], -1)


def _equal_arc_length(line: Tensor, count: int) -> Tensor:
    """``count`` points at equal arc length on an open polyline ``(N, 2)``, both ends included."""
    steps = (line[1:] - line[:-1]).norm(dim=-1)
    position = torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    wanted = torch.linspace(0, 1, count, dtype=line.dtype, device=line.device) * position[-1]
    index = torch.searchsorted(position, wanted, right=True).clamp(1, len(line) - 1)
    start, length = position[index - 1], steps[index - 1].clamp_min(torch.finfo(line.dtype).tiny)
    share = ((wanted - start) / length).clamp(0, 1)[:, None]
    return line[index - 1] * (1 - share) + line[index] * share


def _frll189_to_ibug68(points: Tensor) -> Tensor:
    return _by_table(points, _JAW_LEFT, _JAW_RIGHT, _FRLL_TO_IBUG)


def _by_table(
    points: Tensor, left: Sequence[int], right: Sequence[int], table: Sequence[dict[int, float]]
) -> Tensor:
    """68 points of a jaw, given as two lines that meet at the chin, and weighted means."""
    jaw_left = _equal_arc_length(points[list(left)], 9)
    jaw_right = _equal_arc_length(points[list(right)], 9)[1:]
    weights = points.new_zeros(len(table), len(points))
    for row, parts in enumerate(table):
        for index, weight in parts.items():
            weights[row, index] = weight
    return torch.cat([jaw_left, jaw_right, weights @ points])


def mediapipe_to_ibug68(points: Tensor) -> Tensor:
    """The 68 points of iBUG on MediaPipe's face mesh.

    The jaw lies at equal arc length on the face oval, every other point on one vertex or in the
    middle of two.

    Args:
        points: ``(468, 2)``, or ``(478, 2)`` with the irises; any unit in which x and y are alike,
            y down.

    Returns:
        ``(68, 2)`` in the same unit.

    Raises:
        DataError: The count is another.
    """
    if points.ndim != 2 or points.shape[1] != 2 or len(points) not in MEDIAPIPE_COUNTS:
        raise DataError(
            "not the points of MediaPipe's face mesh",
            expected="(468, 2) or (478, 2)",
            found=tuple(points.shape),
        )
    return _by_table(points, _MEDIAPIPE_LEFT, _MEDIAPIPE_RIGHT, _MEDIAPIPE_TO_IBUG)


def to_ibug68(points: Tensor, scheme: str) -> Tensor:
    """Convert landmarks to the 68 points of iBUG.

    Args:
        points: ``(..., K, 2)``, any unit, y down.
        scheme: ``ibug68`` (returned as it is) or ``frll189``; added points (``ibug68+3``) are left
            out.

    Returns:
        ``(..., 68, 2)`` in the same unit.

    Raises:
        DataError: The scheme has no conversion, or the count does not fit it.
    """
    _check_count(points, scheme)
    scheme, added = named_part(scheme), scheme
    if scheme != added:
        points = points[..., : COUNTS[scheme], :]
    if scheme == "ibug68":
        return points
    if scheme != "frll189":
        raise DataError(
            f"landmarks of the scheme {scheme} cannot be converted to ibug68",
            expected="ibug68 or frll189",
            remedy="Use a detector, or points of one of these schemes",
        )
    flat = points.reshape(-1, 189, 2)
    converted = torch.stack([_frll189_to_ibug68(one) for one in flat])
    return converted.reshape(*points.shape[:-2], 68, 2)


def eye_centres(points: Tensor, scheme: str) -> Tensor:
    """Centres ``(..., 2, 2)`` of the left and right eye: pupils of frll189, mean of the lids of
    ibug68.
    """
    _check_count(points, scheme)
    if named_part(scheme) == "frll189":
        return points[..., :2, :]
    converted = to_ibug68(points, scheme)
    return torch.stack(
        [
            converted[..., list(IBUG68_REGIONS[name]), :].mean(-2)
            for name in ("eye_left", "eye_right")
        ],
        -2,
    )


def mouth_centre(points: Tensor, scheme: str) -> Tensor:
    """Middle ``(..., 2)`` of the two mouth corners."""
    return to_ibug68(points, scheme)[..., [48, 54], :].mean(-2)


def chin(points: Tensor, scheme: str) -> Tensor:
    """Lowest point of the chin ``(..., 2)``."""
    return to_ibug68(points, scheme)[..., 8, :]


def jaw(points: Tensor, scheme: str) -> Tensor:
    """Jaw line ``(..., 17, 2)`` from ear to ear."""
    return to_ibug68(points, scheme)[..., :17, :]


def five_points(points: Tensor, scheme: str) -> Tensor:
    """Left and right eye centre, nose tip, left and right mouth corner: ``(..., 5, 2)``."""
    converted = to_ibug68(points, scheme)
    return torch.cat([eye_centres(points, scheme), converted[..., [30, 48, 54], :]], -2)
