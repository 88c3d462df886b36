"""Kinds of figures and their options; this module loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facemorph.storage.suffixes import STILLS, VIDEO_SUFFIXES

FigureKind = Literal["roles", "teaser", "grid", "mixing", "interpolation", "speech", "deviation"]
FeatureName = Literal["efficientnet_lite", "descriptor"]
VIDEOS = (*VIDEO_SUFFIXES, ".gif", "")  # no suffix is a folder


@dataclass(frozen=True)
class Usual:
    """What a kind of figure is written as, and its numbers where none are given.

    Attributes:
        suffixes: Of the output.
        count: How many people, pairs or pictures.
        least: The fewest of them.
        columns: Of a sheet; tiles beside each other in a video.
        takes: Options that not every figure has.
    """

    suffixes: tuple[str, ...]
    count: int
    least: int
    columns: int
    takes: tuple[str, ...]


USUAL: dict[str, Usual] = {
    "roles": Usual(STILLS, 4, 1, 7, ("renders", "from")),
    "teaser": Usual(STILLS, 1, 1, 7, ("columns", "renders", "from")),
    "grid": Usual(STILLS, 6, 1, 12, ("columns", "renders", "from")),
    "mixing": Usual(STILLS, 4, 1, 6, ("renders", "from")),
    "interpolation": Usual(VIDEOS, 4, 2, 1, ("columns", "frames", "from")),
    "speech": Usual(VIDEOS, 3, 1, 5, ("columns", "driving", "from")),
    "deviation": Usual((".svg",), 500, 20, 10, ("columns", "faces")),
}
NEEDED = {"speech": "driving", "deviation": "faces"}
FRAMES = 64


@dataclass(frozen=True)
class FigureOptions:
    """Options of a figure, checked and complete.

    Attributes:
        count: How many people, pairs or pictures.
        columns: Of a sheet; tiles beside each other in a video.
        frames: From one person to the next.
        seed: Of the random numbers.
        spread: Factor of the people's standard deviation.
        start: Folder whose faces are taken.
        size: Side of a picture in pixels; None is what suits the figure.
        renders: Whether the renders are shown too.
        frames_per_second: Of a video.
    """

    count: int
    columns: int
    frames: int
    seed: int
    spread: float
    start: Path | None
    size: int | None
    renders: bool
    frames_per_second: float
