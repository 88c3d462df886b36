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
# These end at the whole of the second picture, with which the next morph of a chain begins.
ChainBlend = Literal[
    "multiband", "linear", "linear_masked", "poisson_average", "poisson_mix", "min", "max"
]
# How time passes between two pictures, which it reaches; numbers are read in time_curves.
Easing = Literal["linear", "ease", "early", "late", "hold"]
Outside = Literal["source", "target", "mix"]
BLENDS, OUTSIDES, CHAIN_BLENDS = get_args(Blend), get_args(Outside), get_args(ChainBlend)
