"""What two faces must have in common for a morph of them to look like a face."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.faces.landmark_schemes import chin, eye_centres, to_ibug68
from facemorph.ops.frames import Frame

# How far the tip of the nose lies from the middle between the outer corners of the eyes, down and
# to the front together, in halves of their distance: on the embedded mean head.
NOSE = 1.21
LEAST = 0.3  # of it to the front, beyond which a head is bent too far to tell
TURNED = 35.0  # degrees between two heads, from which a flat morph has two noses
LARGER = 1.3  # size of a face in that of another, from which it is seen to grow
SHUT, OPEN = 0.08, 0.3  # heights of the mouth's opening, as shares of its width
ENLARGED = 1.05  # times that a photograph is enlarged, from which it is said
FEW = 3  # names that a line lists

logger = logging.getLogger(__name__)


def approximate_yaw(points: Tensor) -> float:
    """Turn of a head to the side in degrees, told by the tip of the nose between the eyes: to 10
    degrees or so, and too small for large turns of heads that look down.

    Args:
        points: ``(68, 2)`` iBUG landmarks; positive is a turn to the right of the picture.
    """
    left, right, nose = points[36].double(), points[45].double(), points[30].double()
    across = right - left
    half = float(across.norm().clamp(min=1e-9)) / 2
    across = across / (2 * half)
    away = nose - (left + right) / 2
    shift = float(away @ across) / half
    drop = float(away @ torch.stack([-across[1], across[0]])) / half
    yaw = 0.0
    for _ in range(4):
        # The eyes' distance shrinks with the yaw; how far the nose hangs down tells the pitch, and
        # so how far it stands out.
        front = math.sqrt(max(NOSE**2 - (drop * math.cos(yaw)) ** 2, LEAST**2))
        yaw = math.atan(shift / front)
    return math.degrees(yaw)


def opening_of(points: Tensor) -> float:
    """Height of the mouth's opening as a share of its width, of ``(68, 2)`` iBUG landmarks."""
    inner = points.double()
    width = (inner[64] - inner[60]).norm().clamp(min=1e-9)
    return float((inner[66] - inner[62]).norm() / width)


def _reach(points: Tensor) -> float:
    """Pixels from the eyes to the chin."""
    return float((chin(points, "ibug68") - eye_centres(points, "ibug68").mean(0)).norm())


def say_disagreements(
    faces: Sequence[tuple[Tensor, str]], labels: Sequence[str], *, turned: bool = True
) -> None:
    """Warn of faces that no flat morph joins well: of different sizes, turned against each other,
    or with shut and open mouths; once for each kind.

    Args:
        faces: Points ``(K, 2)`` and scheme of each; others than iBUG's and FRLL's are not judged.
        labels: What to call each.
        turned: Whether to speak of turned heads.
    """
    known = []
    for (points, scheme), label in zip(faces, labels, strict=True):
        try:
            known.append((to_ibug68(points, scheme), label))
        except DataError:
            continue
    if len(known) < 2:
        return
    sizes = sorted((_reach(points), label) for points, label in known)
    if sizes[-1][0] > LARGER * sizes[0][0] > 0:
        logger.warning(
            "%s shows its face %.1f times as large as %s: in a morph the face grows inside of its "
            "head. Use --align portrait.",
            sizes[-1][1],
            sizes[-1][0] / sizes[0][0],
            sizes[0][1],
        )
    yaws = sorted((approximate_yaw(points), label) for points, label in known)
    if turned and yaws[-1][0] - yaws[0][0] > TURNED:
        logger.warning(
            "%s and %s are turned against each other by about %.0f degrees: a morph of pictures "
            "doubles nose and mouth there. Turn them to the front with --frontal, or "
            "take photographs from one side.",
            yaws[0][1],
            yaws[-1][1],
            yaws[-1][0] - yaws[0][0],
        )
    mouths = sorted((opening_of(points), label) for points, label in known)
    if mouths[0][0] < SHUT and mouths[-1][0] > OPEN:
        logger.warning(
            "%s has a shut mouth and %s an open one: half-way, teeth shine through lips. Take "
            "photographs with one expression, or shut it with `facemorph reenact PHOTO --edit "
            '"exp jawOpen 0"` first.',
            mouths[0][1],
            mouths[-1][1],
        )


@dataclass(frozen=True)
class PictureSize:
    """How large a photograph is, and how its frame was cut from it.

    Attributes:
        label: What to call it.
        frame: Its size.
        matrix: ``(2, 3)``, pixels of the frame to its own.
    """

    label: str
    frame: Frame
    matrix: Tensor

    @property
    def scale(self) -> float:
        """Pixels of the frame for one of the photograph."""
        return float(self.matrix[:, :2].double().det().abs().clamp(min=1e-12) ** -0.5)


def say_scaled(sizes: Sequence[PictureSize], size: int) -> None:
    """Warn, in one line, of photographs of different sizes: how they are scaled, and which of them
    are enlarged.

    Args:
        sizes: Of the photographs; those of one size are nothing to tell.
        size: Longer side of the common frame in pixels.
    """
    frames = sorted({(one.frame.width, one.frame.height) for one in sizes})
    if len(frames) < 2:
        return
    scales = sorted(one.scale for one in sizes)
    enlarged = [f"{one.label} ({one.scale:.1f} times)" for one in sizes if one.scale > ENLARGED]
    more = f" and {len(enlarged) - FEW} more" if len(enlarged) > FEW else ""
    logger.warning(
        "%d photographs of %d sizes, %d x %d to %d x %d, are scaled by %.2f to %.2f to frames of "
        "%d pixels%s.",
        len(sizes),
        len(frames),
        *frames[0],
        *frames[-1],
        scales[0],
        scales[-1],
        size,
        f"; enlarged: {', '.join(enlarged[:FEW])}{more}" if enlarged else "",
    )
