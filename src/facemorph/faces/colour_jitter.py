"""Random changes of brightness, contrast, saturation and hue, for pictures that are trained on.

As torchvision's ``ColorJitter`` does it: the four in a random order, each by a random amount, cut
to [0, 1] after each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from facemorph.ops.shapes import check_shape

NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
LUMA = (0.2989, 0.587, 0.114)


@dataclass(frozen=True)
class ColourChange:
    """What is done to a picture, to be done to others alike.

    Attributes:
        steps: Kinds in their order, each with its factor; of ``hue`` the share of a whole turn.
    """

    steps: tuple[tuple[str, float], ...]

    def __call__(self, images: Tensor) -> Tensor:
        """The pictures changed.

        Args:
            images: ``(..., 3, H, W)`` in [0, 1].

        Raises:
            DataError: The shape is wrong.
        """
        check_shape(images, "... 3 H W", "pictures")
        for kind, factor in self.steps:
            if factor == NEUTRAL[kind]:
                continue
            if kind == "hue":
                images = turned_hue(images, factor)
                continue
            if kind == "brightness":
                base = torch.zeros_like(images[..., :1, :, :])
            else:
                base = _grey(images)
                if kind == "contrast":
                    base = base.mean((-2, -1), keepdim=True)
            images = (base + (images - base) * factor).clamp(0, 1)
        return images


def draw_change(random: np.random.Generator, amount: float) -> ColourChange:
    """A random change.

    Args:
        random: What decides.
        amount: Largest change of each factor from 1, and of the hue in whole turns.
    """
    drawn = random.uniform(-amount, amount, len(NEUTRAL)).tolist()
    found = [(kind, neutral + x) for (kind, neutral), x in zip(NEUTRAL.items(), drawn, strict=True)]
    return ColourChange(tuple(found[place] for place in random.permutation(len(found))))


def turned_hue(images: Tensor, turn: float) -> Tensor:
    """Pictures ``(..., 3, H, W)`` with all hues turned by a share of the circle, at the same value
    and saturation.
    """
    red, green, blue = images.unbind(-3)
    value = images.amax(-3)
    chroma = value - images.amin(-3)
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    channels = []
    for start in (5, 3, 1):
        place = (sixth + start + 6 * turn) % 6
        share = torch.minimum(place, 4 - place).clamp(0, 1)
        channels.append(value - chroma * share)
    return torch.stack(channels, -3)


def _grey(images: Tensor) -> Tensor:
    weights = images.new_tensor(LUMA)[:, None, None]
    return (images * weights).sum(-3, keepdim=True)
