"""Names that options on faces and their sequences may have; this module loads nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from facemorph.errors import ConfigError

Mask = Literal["face", "lower_face", "left_half", "right_half", "frame"]
Detector = Literal["embedded", "face_alignment", "dlib"]
Align = Literal["portrait", "ffhq", "ffhq_upright", "none"]
MeanShape = Literal["procrustes", "plain"]
Outline = Literal["face", "oval"]
FrameNames = Literal["index", "percent", "time"]
Background = Literal["white", "gray", "black", "transparent"]
MASKS, DETECTORS, ALIGNS = get_args(Mask), get_args(Detector), get_args(Align)
MEANS, OUTLINES, BACKGROUNDS = get_args(MeanShape), get_args(Outline), get_args(Background)
SAME_PERSON_DISTANCE = 0.5  # FRLL (studio frontals): same people at most 0.44, others at least 0.46


def check_form(
    path: str | Path, names: FrameNames = "index", max_megabytes: float | None = None
) -> None:
    """See that an output can have the names of frames and the largest size that are wanted.

    Raises:
        ConfigError: Names are for a folder, a largest size is for a GIF, and above 0.
    """
    suffix = Path(path).suffix.lower()
    if suffix and names != "index":
        raise ConfigError(
            "names of frames are for a folder of pictures",
            where="names",
            expected="an output without a suffix",
            found=suffix,
        )
    if max_megabytes is None:
        return
    if suffix != ".gif" or not max_megabytes > 0:
        raise ConfigError(
            "a largest size is for a GIF",
            where="max_megabytes",
            expected=".gif, and a size above 0",
            found=f"{suffix or 'a folder'}, {max_megabytes:g}",
        )
