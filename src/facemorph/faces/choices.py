"""Names of masks, detectors and alignments; this module loads nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

Mask = Literal["face", "lower_face", "left_half", "right_half", "frame"]
Detector = Literal["embedded", "face_alignment", "dlib"]
Align = Literal["portrait", "ffhq", "ffhq_upright", "none"]
MASKS, DETECTORS, ALIGNS = get_args(Mask), get_args(Detector), get_args(Align)
