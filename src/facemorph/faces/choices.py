"""Names that options on faces may have; this module loads nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

Mask = Literal["face", "lower_face", "left_half", "right_half", "frame"]
Detector = Literal["embedded", "face_alignment", "dlib"]
Align = Literal["portrait", "ffhq", "ffhq_upright", "none"]
MeanShape = Literal["procrustes", "plain"]
Outline = Literal["face", "oval"]
Background = Literal["white", "gray", "black", "transparent"]
MASKS, DETECTORS, ALIGNS = get_args(Mask), get_args(Detector), get_args(Align)
MEANS, OUTLINES, BACKGROUNDS = get_args(MeanShape), get_args(Outline), get_args(Background)
SAME_PERSON_DISTANCE = 0.5  # FRLL (studio frontals): same people at most 0.44, others at least 0.46
