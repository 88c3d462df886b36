"""What photographs and landmarks that somebody brings are checked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from facemorph.errors import DataError, FacemorphError, ImageError
from facemorph.faces.files.landmark_files import check_points
from facemorph.ops.frames import Frame
from facemorph.ops.shapes import check_shape

SHARE_OF_DUPLICATES = 0.1  # hand-made templates have a few coincident points; more is a broken file

logger = logging.getLogger(__name__)


def check_picture(image: Tensor, name: str) -> Tensor:
    """A picture given as a tensor, which may be of another type or range than pictures here have.

    Args:
        image: ``(3, H, W)``.
        name: What to call it.

    Returns:
        float32 in [0, 1], on the CPU.

    Raises:
        ImageError: It is no floating-point picture in [0, 1].
    """
    check_shape(image, "3 H W", name)
    if not image.is_floating_point() or not bool(((image > -0.01) & (image < 1.01)).all()):
        raise ImageError(
            "not a picture as facemorph takes them",
            where=name,
            expected="floats in [0, 1]",
            found=f"{image.dtype} from {float(image.min()):g} to {float(image.max()):g}",
            remedy="Divide 8-bit values by 255.",
        )
    return image.detach().float().clamp(0, 1).cpu()


def check_landmarks(points: Tensor, frame: Frame, name: str) -> None:
    """As ``check_points``, but a few coincident points, as in hand-made templates, only make a
    warning.

    Args:
        points: ``(P, 2)`` pixels.
        frame: Of their picture.
        name: What to call them.

    Raises:
        GeometryError: As ``check_points``.
    """
    finite = points[points.isfinite().all(1)]
    repeated = len(finite) - len(torch.unique(finite, dim=0))
    few = 0 < repeated <= SHARE_OF_DUPLICATES * len(points)
    check_points(points, frame, name, distinct=not few)
    if few:
        logger.warning("%s: %d points coincide with others and are merged.", name, repeated)


def say_failures(failed: Sequence[FacemorphError], count: int, *, skip: bool) -> None:
    """Raise or warn of all photographs that cannot be used, at once.

    Args:
        failed: What is wrong with each.
        count: How many photographs there are in all.
        skip: Whether the others go on without them.

    Raises:
        FacemorphError: The one error, or a ``DataError`` that names all.
    """
    if skip:
        for error in failed:
            logger.warning("left out: %s", error)
    elif len(failed) == 1 or (failed and count <= 2):
        raise failed[0]
    elif failed:
        raise DataError(
            f"{len(failed)} of {count} photographs cannot be used",
            found="; ".join(str(error) for error in failed),
            remedy="Take them out; `facemorph average --skip-failed` leaves them out by itself.",
        )
