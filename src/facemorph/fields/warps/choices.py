"""Names of blends and of what lies outside the face; this module loads nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

Blend = Literal[
    "multiband",
    "linear",
    "linear_masked",
    "poisson_average",
    "poisson_mix",
    "poisson_source",
    "poisson_target",
    "min",
    "max",
    "source",
    "target",
]
Outside = Literal["source", "target", "mix"]
BLENDS, OUTSIDES = get_args(Blend), get_args(Outside)
