"""What inversions add to the skin of a render: factors of its colours, texel by texel.

A style moves what a network has learned; moles, lips and glasses of one person are not among that.
Factors turn with the head, and light falls on them as on the rest of the skin. They are kept as
logarithms, so that 0 changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.engine.head_texels import roughness, sampled, texels_in_sight
from facemorph.systems.gif.small_generator import RENDER

LARGEST, HUES = 0.8, 0.3  # logarithm of a factor; how far hues go, of that
IN_SIGHT = (0.35, 0.7)  # cosines to the camera
# Weights of their size, their roughness, and that of their hue: hues of single texels are noise.
SIZE, ROUGH, HUE = 0.05, 25.0, 250.0


def with_gains(conditions: Tensor, gains: Tensor) -> Tensor:
    """Conditions whose render has other skin.

    Args:
        conditions: ``(B, 9, S, S)``, see `ConditionRenderer`.
        gains: ``(B, 3, T, T)`` logarithms of factors.
    """
    factors = sampled(gains, conditions).exp()
    return torch.cat([conditions[:, :RENDER] * factors, conditions[:, RENDER:]], 1)


def gain_reach(conditions: Tensor, side: int) -> Tensor:
    """How far gains may go ``(1, 1, T, T)``: not where pictures do not show the skin.

    What a photograph shows at the head's outline is what lies behind, which a turned head would
    wear as streaks.

    Args:
        conditions: ``(N, 9, S, S)`` of all pictures of a person.
        side: T, even.
    """
    return LARGEST * texels_in_sight(conditions, side, IN_SIGHT)


def within(free: Tensor, reach: Tensor) -> Tensor:
    """Gains of free numbers ``(1, 3, T, T)``: no further than they may go, hues less far.

    A network takes much of a render's hue away where there is hair; what would bring it back has no
    bounds.
    """
    held = torch.tanh(free)
    grey = held.mean(1, keepdim=True)
    return reach * (grey + HUES * (held - grey))


def gain_cost(gains: Tensor) -> Tensor:
    """How large, how rough and how gaudy gains ``(1, 3, T, T)`` are, in the mean over texels."""
    hue = gains - gains.mean(1, keepdim=True)
    size = gains.square().mean((2, 3)).sum()
    return SIZE * size + ROUGH * roughness(gains) + HUE * roughness(hue)
