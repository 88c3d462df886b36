"""Photographs as functions take them; this module loads nothing heavy."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from facemorph.faces.types import LandmarkDetector

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FaceInput:
    """Photographs, and how their faces are found and cut to one frame.

    Attributes:
        pictures: Files, or ``(3, H, W)`` in [0, 1]; at least one.
        points: A landmark file for each picture, in its pixels, None for those whose landmarks the
            detector finds; None: it finds all. The file itself for a single picture.
        size: Longer side of the common frame in pixels.
        detector: Name of the detector, one of ``facemorph.faces.choices.DETECTORS``, or a detector.
        min_score: Lowest score of a face, for a detector given by name; its own when None.
        align: ``portrait``: head and shoulders, upright as the picture is; ``ffhq``: eyes and mouth
            at fixed places, levelled; ``ffhq_upright``: the same without turning; ``none``: the
            whole pictures.
        skip_failed: Leave out pictures that cannot be used, with a warning, where any can.
        frontal: Whether the caller turns heads to the front (``apps.morphing.poses``), so that
            nothing need be said of turned ones.
        keep_alpha: Cut transparency too; without it a warning says that it is lost.
    """

    pictures: Sequence[str | Path | Tensor]
    points: Sequence[str | Path | None] | str | Path | None = None
    size: int = 512
    detector: str | LandmarkDetector = "embedded"
    min_score: float | None = None
    align: str = "portrait"
    skip_failed: bool = False
    frontal: bool = False
    keep_alpha: bool = False

    @property
    def landmark_files(self) -> list[str | Path | None]:
        """An entry for each picture: its landmark file, or None."""
        if self.points is None:
            return [None] * len(self.pictures)
        return [self.points] if isinstance(self.points, (str, Path)) else list(self.points)

    @property
    def inputs(self) -> list[object]:
        """All pictures and landmark files, which no output may overwrite."""
        return [*self.pictures, *self.landmark_files]


def say_repeated(pictures: Sequence[str | Path | Tensor]) -> None:
    """Say which photographs are given more than once, by one name or by several: each counts.

    Args:
        pictures: Files, or pictures themselves, which are left aside.
    """
    same: dict[object, list[Path]] = {}
    files = [Path(picture) for picture in pictures if isinstance(picture, (str, Path))]
    sizes = [path.stat().st_size if path.is_file() else None for path in files]
    for path, size in zip(files, sizes, strict=True):
        if size is not None and sizes.count(size) > 1:
            with path.open("rb") as file:
                same.setdefault(hashlib.file_digest(file, "sha256").digest(), []).append(path)
    for paths in same.values():
        names = list(dict.fromkeys(map(str, paths)))
        if len(paths) > 1:
            logger.warning(
                "%s: %s, and counts %d times.",
                names[0],
                f"the same photograph as {', '.join(names[1:])}" if names[1:] else "given again",
                len(paths),
            )
