"""The frame of a morph, cut out of a photograph, and its transparency with it."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.errors import ConfigError, DataError
from facemorph.faces.alignment import (
    AlignedFace,
    PortraitCut,
    apply_affine,
    crop,
    ffhq_crop,
    invert_affine,
    portrait_crop,
)
from facemorph.faces.choices import ALIGNS
from facemorph.faces.files.image_io import load_alpha, resize_image
from facemorph.faces.landmark_schemes import COUNTS, named_part
from facemorph.ops.frames import Frame

logger = logging.getLogger(__name__)


def cut_face(
    align: str,
    image: Tensor,
    points: Tensor,
    scheme: str,
    size: int,
    common: PortraitCut | None = None,
) -> AlignedFace:
    """The frame of a morph cut out of a picture.

    Args:
        align: One of ``ALIGNS``.
        image: ``(3, H, W)`` in [0, 1].
        points: ``(P, 2)`` pixels.
        scheme: Of the points.
        size: Longer side of the frame in pixels.
        common: What a portrait has in common with others; None where it stands alone.

    Raises:
        ConfigError: ``align`` or ``size`` is none of the possible ones.
        DataError: The scheme does not show where the head is.
        GeometryError: The points do not determine the frame.
    """
    if align not in ALIGNS:
        raise ConfigError(
            "unknown alignment", where="align", expected=" | ".join(ALIGNS), found=align
        )
    if not 16 <= size <= 8192:
        raise ConfigError(
            "the frame has an unusable size", where="size", expected="16 to 8192 pixels", found=size
        )
    if align == "none":
        return _whole(image, points, size)
    if named_part(scheme) not in COUNTS:  # eyes and chin are known in these only
        raise DataError(
            "these landmarks do not show where the head is",
            where="align",
            found=scheme,
            expected="ibug68 or frll189",
            remedy="Use align=none, with pictures of the same shape.",
        )
    if align == "portrait":
        return portrait_crop(image, points, scheme, size, common)
    return ffhq_crop(image, points, scheme, size, rotate=align == "ffhq")


def _whole(image: Tensor, points: Tensor, size: int) -> AlignedFace:
    frame = Frame.of(image)
    scale = size / max(frame.height, frame.width)
    height, width = max(1, round(frame.height * scale)), max(1, round(frame.width * scale))
    matrix = torch.tensor(
        [[frame.width / width, 0, 0], [0, frame.height / height, 0]], dtype=torch.float64
    )
    small = image if (height, width) == image.shape[1:] else resize_image(image, (height, width))
    return AlignedFace(small, apply_affine(points, invert_affine(matrix)), matrix)


def cut_alpha(picture: str | Path | Tensor, cut: AlignedFace, *, keep: bool) -> Tensor | None:
    """The transparency of a picture, cut as its face was.

    Args:
        picture: A file; tensors have none.
        cut: The face.
        keep: Without it a warning says that the transparency is lost.

    Returns:
        ``(1, H, W)`` in [0, 1]; None for an opaque picture, and where it is not kept.
    """
    if not keep:
        say_on_white(picture)
        return None
    alpha = None if isinstance(picture, Tensor) else load_alpha(picture)
    if alpha is None:
        return None
    height, width = cut.image.shape[1:]
    if height == width:
        cut_out = crop(alpha, cut.matrix, width, mode="bicubic", padding="border")
    else:
        cut_out = functional.interpolate(
            alpha[None], (height, width), mode="bicubic", antialias=True
        )[0]
    return cut_out.clamp(0, 1)


def say_on_white(picture: str | Path | Tensor) -> None:
    """Warn of a picture with transparency, which what is made of it does not have."""
    if not isinstance(picture, Tensor) and load_alpha(picture) is not None:
        logger.warning("%s: its transparency is not kept; it is shown on white.", picture)
