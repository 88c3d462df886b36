"""Sequences as GIF files, no larger than wanted."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from facemorph.errors import OutputError

LONGEST = 655350  # milliseconds of one frame
MEGABYTE = 1_000_000
SMALLEST = 48  # pixels of the longer side

logger = logging.getLogger(__name__)


class Economy(NamedTuple):
    """How a GIF is made smaller: colours, one frame of so many, and its size."""

    colours: int
    every: int
    scale: float


# What is seen least goes first: colours, then frames, then size.
ECONOMIES = (
    Economy(256, 1, 1),
    Economy(128, 1, 1),
    Economy(64, 1, 1),
    Economy(64, 2, 1),
    Economy(64, 2, 0.75),
    Economy(64, 2, 0.5),
    Economy(32, 3, 0.5),
    Economy(32, 3, 0.35),
    Economy(32, 4, 0.25),
    Economy(16, 4, 0.18),
    Economy(16, 6, 0.12),
)


def gif_bytes(
    arrays: Sequence[np.ndarray],
    where: Path,
    frames_per_second: float,
    comment: str,
    max_megabytes: float | None = None,
) -> bytes:
    """A GIF that goes round.

    Args:
        arrays: Frames ``(H, W, 3)`` uint8, at least one.
        where: The file, for messages.
        frames_per_second: Speed; a GIF shows at most 50 frames in a second.
        comment: Written into the file.
        max_megabytes: Largest size, in millions of bytes. Colours, then frames, then the size of
            the pictures are lowered until it is met, and a warning says which.

    Raises:
        OutputError: It cannot be so small.
    """
    if max_megabytes is None:
        return _encoded(arrays, ECONOMIES[0], frames_per_second, comment)
    sizes: list[int] = []
    for economy in ECONOMIES:
        if sizes and economy.scale * max(arrays[0].shape[:2]) < SMALLEST:
            break
        content = _encoded(arrays, economy, frames_per_second, comment)
        sizes.append(len(content))
        if len(content) <= max_megabytes * MEGABYTE:
            if len(sizes) > 1:
                _say(where, economy, arrays[0].shape, sizes)
            return content
    raise OutputError(
        "this GIF cannot be so small",
        where=where,
        expected=f"at most {max_megabytes:g} MB",
        found=f"{min(sizes) / MEGABYTE:.3g} MB",
        remedy="Give fewer frames or a larger limit, or write a video (.mp4).",
    )


def _say(where: Path, economy: Economy, shape: Sequence[int], sizes: Sequence[int]) -> None:
    height, width = _scaled(shape, economy.scale)
    frames = "" if economy.every == 1 else f", one frame of {economy.every}"
    size = "" if economy.scale == 1 else f", {width} x {height} pixels"
    logger.warning(
        "%s: %.3g MB instead of %.3g: %d colours%s%s.",
        where,
        sizes[-1] / MEGABYTE,
        sizes[0] / MEGABYTE,
        economy.colours,
        frames,
        size,
    )


def _scaled(shape: Sequence[int], scale: float) -> tuple[int, int]:
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def _encoded(
    arrays: Sequence[np.ndarray], economy: Economy, frames_per_second: float, comment: str
) -> bytes:
    height, width = _scaled(arrays[0].shape, economy.scale)
    pictures = []
    for array in arrays[:: economy.every]:
        picture = Image.fromarray(array)
        if economy.scale != 1:
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        pictures.append(
            picture.quantize(
                economy.colours,
                method=Image.Quantize.MEDIANCUT,
                dither=Image.Dither.FLOYDSTEINBERG,
            )
        )
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        loop=0,
        duration=min(max(20, round(1000 * economy.every / frames_per_second)), LONGEST),
        comment=comment.encode(),
    )
    return buffer.getvalue()
