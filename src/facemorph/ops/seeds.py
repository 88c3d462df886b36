"""Whole numbers: seeds made of several, and some of many, evenly."""

from __future__ import annotations

import torch

MASK = (1 << 64) - 1


def mix_seed(*numbers: int) -> int:
    """One well-mixed 63-bit seed from several numbers (the finaliser of splitmix64, applied in
    turn).

    >>> mix_seed(1, 2) == mix_seed(1, 2), mix_seed(1, 2) == mix_seed(2, 1)
    (True, False)
    """
    state = 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
        state ^= state >> 31
    return state >> 1


def evenly(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers below ``count``, evenly, the first and the last among them.

    Args:
        count: How many there are.
        most: How many are wanted; one is the first.
    """
    return torch.linspace(0, count - 1, min(most, count)).round().long().tolist()
