"""Options that the reenactment commands share; this module loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from facemorph.jobs.options import Option

Keep = Literal["pose", "expression"]
Preset = Literal["sweep", "talk"]
SIZES = (64, 2048)
Checkpoint = Annotated[
    str | Path,
    Option(
        ("--checkpoint",),
        kind=str,
        help="Trained small GDPW: a file, @last, @last:NAME, @open:gdpw.",
    ),
]
FrameSide = Annotated[
    int | None,
    Option(
        help="Side of the frames in pixels; that of the face's square in the photograph, at most "
        "2048, when not given."
    ),
]


@dataclass
class Reenacted:
    """What was written.

    Attributes:
        files: Paths: the outputs, then the sheet.
        frames: Number of frames of each photograph.
        seconds: Computing time of a frame, mean.
    """

    files: list[Path]
    frames: int
    seconds: float
