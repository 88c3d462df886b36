"""Names of layers, checked."""

from __future__ import annotations

from collections.abc import Sequence

from facemorph.errors import ConfigError


def check_layers(layers: Sequence[str], known: Sequence[str], network: str) -> tuple[str, ...]:
    """The chosen layers in the order in which the network computes them.

    Args:
        layers: What was asked for.
        known: What there is, in order.
        network: Its name, for the error.

    Raises:
        ConfigError: There is no such layer, or none was asked for.
    """
    wrong = [name for name in layers if name not in known]
    if wrong or not layers:
        raise ConfigError(
            "there is no such layer" if wrong else "no layer was chosen",
            where=f"{network}.layers",
            expected=", ".join(known),
            found=", ".join(wrong) or "nothing",
        )
    return tuple(name for name in known if name in layers)
