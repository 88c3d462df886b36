"""Options that commands on implicit faces share; this module loads nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

from facemorph.errors import ConfigError
from facemorph.jobs.options import Option

Topology = Literal["free", "template"]
MeshTopology = Annotated[
    Topology,
    Option(
        help="free: each face has its own triangles; template: all have its, so that equal numbers "
        "are equal points of the skin."
    ),
]
Resolution = Annotated[
    int,
    Option(
        help="Cells along each side of the ball around the head: 32, 64, 128, 256, 512 or 1024."
    ),
]
PlaceColours = Annotated[
    bool, Option(("--colours",), help="Colour vertices by their place on the template.")
]
MeshKind = Literal["ply", "obj", "glb"]
Varied = Literal["identity", "expression", "both"]
Unit = Literal["guess", "mm", "cm", "m"]
PartOfFace = Literal["auto", "yes", "no"]
Method = Literal["lbfgs", "adam"]
Place = Literal["model", "scan"]
Checkpoint = Annotated[
    str | Path,
    Option(
        ("--checkpoint",),
        kind=str,
        help="Trained ImFace: a file, @last, @last:NAME, @open:imface.",
    ),
]
Numbers = Annotated[Sequence[float] | str, Option(kind=str)]
TOPOLOGIES, KINDS = get_args(Topology), get_args(MeshKind)


def check_number(name: str, value: float, low: float, high: float) -> None:
    """See that a number is in a range.

    Raises:
        ConfigError: It is not.
    """
    if not low <= value <= high:
        raise ConfigError(
            "unusable number", where=name, expected=f"{low:g} to {high:g}", found=value
        )


def numbers_of(given: Sequence[float] | str, where: str) -> tuple[float, ...]:
    """Numbers, or those that stand in a text, by commas.

    Raises:
        ConfigError: One is none.
    """
    try:
        return tuple(float(one) for one in (given.split(",") if isinstance(given, str) else given))
    except ValueError as error:
        raise ConfigError(
            "this is no list of numbers", where=where, expected="numbers by commas", found=given
        ) from error


def path_of(given: str | Path | None) -> Path | None:
    """A path that may be left out."""
    return None if given is None else Path(given)
