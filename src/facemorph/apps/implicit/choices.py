"""Options that commands on implicit faces share; this module loads nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

from facemorph.errors import ConfigError

Topology = Literal["free", "template"]
MeshKind = Literal["ply", "obj", "glb"]
Varied = Literal["identity", "expression", "both"]
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
