"""Names that options of head fitting may have; this module loads nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

Smoothing = Literal["batch", "one-euro", "none"]
SMOOTHINGS = get_args(Smoothing)
