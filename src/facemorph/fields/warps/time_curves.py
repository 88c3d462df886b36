"""Time curves: how far shape or texture has come at a time of the morph."""

from __future__ import annotations

from collections.abc import Callable

from facemorph.errors import ConfigError

CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda time: time,
    "ease": lambda time: time * time * (3 - 2 * time),
    "early": lambda time: min(1.0, 2 * time),  # done half-way
    "late": lambda time: max(0.0, 2 * time - 1),  # begins half-way
    # rests in the first and the last quarter
    "hold": lambda time: min(1.0, max(0.0, 2 * time - 0.5)),
}


def curve_value(curve: float | str | None, time: float, name: str = "curve") -> float:
    """The value in [0, 1] of a curve at ``time`` in [0, 1].

    Args:
        curve: A name of ``CURVES``; a number, which is the value at all times; None for ``time``
            itself.
        time: In [0, 1].
        name: What the curve is for, in messages.

    Raises:
        ConfigError: It is no such name, or a number outside of [0, 1].
    """
    if curve is None:
        return time
    if isinstance(curve, str) and curve in CURVES:
        return CURVES[curve](time)
    try:
        value = float(curve)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(
            "no such time curve",
            where=name,
            found=curve,
            expected=f"a number from 0 to 1, or {' | '.join(CURVES)}",
        )
    return value
