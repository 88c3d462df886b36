"""Options that commands on generated faces share; this module loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from facemorph.jobs.options import Option

Varied = Literal["all", "person", "style", "identity", "expression", "pose", "light"]
Checkpoint = Annotated[
    str | Path,
    Option(
        ("--checkpoint",),
        kind=str,
        help="Trained model: a file, @last, @last:NAME, @open:gif, @open:imface.",
    ),
]
Strengths = Annotated[
    Mapping[str, float] | Sequence[str] | None, Option(("--set",), "NAME=VALUE", kind=list[str])
]
