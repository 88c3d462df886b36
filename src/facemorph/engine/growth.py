"""A generator that begins with the weights of one of fewer scales."""

from __future__ import annotations

from torch import nn

from facemorph.errors import CheckpointError
from facemorph.storage.checkpoint import check_same_parts

PARTS = ("generator", "encoder")


def grow(system: nn.Module, smaller: nn.Module, where: str) -> None:
    """Take generator and encoder of a system of fewer scales; new scales stay as they are.

    Args:
        system: Gets them.
        smaller: Has them.
        where: What the smaller one was read from, for messages.

    Raises:
        CheckpointError: It is another kind of system, or has other widths or codes.
    """
    if type(smaller) is not type(system):
        raise CheckpointError(
            "this is no generator to begin with",
            where=where,
            expected=type(system).__name__,
            found=type(smaller).__name__,
        )
    for name in PARTS:
        own, found = (getattr(one, name).state_dict() for one in (system, smaller))
        check_same_parts(
            {key: value for key, value in own.items() if key in found},
            found,
            f"system.{name}, but for the number of channels",
        )
        own.update(found)
        getattr(system, name).load_state_dict(own)
