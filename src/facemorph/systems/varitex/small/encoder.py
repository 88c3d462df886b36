"""An encoder in texture space: what a picture shows of the skin, wherever the head looks.

Not the paper's, which looks at pictures: in texture space codes need not learn what a pose is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from facemorph.engine.head_texels import share_known, surroundings, texels_shown
from facemorph.networks.styled_renderer import GAIN, SLOPE, UnitConv, small_linear
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.systems.varitex.encoder import Posterior

NARROW = -3.0  # logarithm of the variance that codes begin with
BOUNDS = (-8.0, 2.0)  # of the logarithms of variances


class TexelEncoder(nn.Module):
    """Tells the distribution of a person's code from pictures whose conditions are known.

    Args:
        face_code: Length of the first part, told of the skin in texture space.
        additive_code: Length of the second part, told of what is off the head.
        texels: Side of the small texture, a power of two.
        side: Side of the small picture of the rest, likewise.
        texture_channels: Of the halvings of the texture.
        rest_channels: Of those of the rest.
    """

    def __init__(
        self,
        face_code: int = 96,
        additive_code: int = 48,
        texels: int = 64,
        side: int = 32,
        texture_channels: Sequence[int] = (24, 48, 64, 96),
        rest_channels: Sequence[int] = (32, 48, 64),
    ) -> None:
        super().__init__()
        self.texels, self.side = texels, side
        self.code = face_code + additive_code
        self.face = _Shrinking(4, texture_channels, texels, 2 * face_code)
        self.rest = _Shrinking(4, rest_channels, side, 2 * additive_code)

    def forward(self, images: Tensor, conditions: Tensor, lights: Tensor) -> Tensor:
        """Codes ``(B, code)``, the means of `posterior`."""
        return self.posterior(images, conditions, lights).mean

    def posterior(self, images: Tensor, conditions: Tensor, lights: Tensor) -> Posterior:
        """Distributions of codes.

        Args:
            images: ``(B, 3, S, S)`` in [0, 1].
            conditions: ``(B, 9, S, S)``, of any renderer with normals, mask and coordinates.
            lights: ``(B, 9, 3)``.
        """
        colour, weight = texels_shown(images, conditions, lights, self.texels)
        seen = share_known(weight)
        colour = (colour / weight.clamp(min=1e-3) - 0.5) * seen
        face = self.face(torch.cat([2 * colour, seen], 1))
        around, outside = surroundings(images, conditions, self.side)
        known = (outside > 0).to(around)
        rest = self.rest(torch.cat([2 * (around - 0.5) * known, outside], 1))
        parts = [at_least_float(one).chunk(2, 1) for one in (face, rest)]
        mean = torch.cat([part[0] for part in parts], 1)
        spread = torch.cat([part[1] for part in parts], 1)
        return Posterior(mean, (spread + NARROW).clamp(*BOUNDS))


class _Shrinking(nn.Module):
    """Pictures to vectors."""

    def __init__(self, inputs: int, channels: Sequence[int], side: int, out: int) -> None:
        super().__init__()
        before = (inputs, *channels[:-1])
        self.convs = nn.ModuleList(
            UnitConv(old, new, 3) for old, new in zip(before, channels, strict=True)
        )
        left = side // 2 ** len(channels)
        self.out = small_linear(channels[-1] * left * left, out)
        with torch.no_grad():
            self.out.weight[out // 2 :] *= 0.1  # deviations begin alike

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, S, S)`` to ``(B, out)``."""
        for conv in self.convs:
            x = functional.avg_pool2d(functional.leaky_relu(conv(x), SLOPE) * GAIN, 2)
        found: Tensor = self.out(x.flatten(1))
        return found
