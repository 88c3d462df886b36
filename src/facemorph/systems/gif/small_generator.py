"""A generator of the size that one core can train: GIF's idea, re-cut for few operations.

As in GIF, renders of the 3-D model enter at every scale and a style decides on the person. What
differs, each measured (docs/gif.md): the output is the render plus a correction; texture
coordinates are among the conditions, so that a style can say where on the skin something is; and
what `StyledRenderer` does differently.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facemorph.networks.styled_renderer import SLOPE, StyledRenderer, small_linear
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.ops.shapes import check_shape

RENDER = 3  # the first channels of the conditions: what the output starts from
TURNS = (0.5, 1.0, 3.0)  # of the waves that stand for texture coordinates


class SmallGenerator(StyledRenderer):
    """Pictures of codes and conditions.

    Args:
        code: Length of a person's code.
        channels: Of each scale, from 4 pixels on: six of them make 128 pixels.
        style: Length of a style.
        pyramid: Channels of the conditions' pyramid.

    Raises:
        ConfigError: There is no scale.
    """

    CONDITIONS = 9  # render 3, normals 3, mask 1, texture coordinates 2

    def __init__(
        self,
        code: int = 64,
        channels: Sequence[int] = (96, 96, 96, 64, 32, 16),
        style: int = 96,
        pyramid: int = 16,
    ) -> None:
        super().__init__(style, channels, self.CONDITIONS - 2 + 4 * len(TURNS), pyramid)
        self.code = code
        self.mapping = nn.Sequential(
            small_linear(code, style),
            nn.LeakyReLU(SLOPE),
            small_linear(style, style),
            nn.LeakyReLU(SLOPE),
        )

    def forward(self, codes: Tensor, conditions: Tensor) -> Tensor:
        """Pictures ``(B, 3, S, S)`` in about [0, 1], unclamped.

        Args:
            codes: ``(B, code)``.
            conditions: ``(B, 9, S, S)``: render in [0, 1], normals, mask and texture coordinates,
                all 0 outside of the head, see `ConditionRenderer`.
        """
        return self.synthesize(self.mapping(codes), conditions)

    def synthesize(self, styles: Tensor, conditions: Tensor) -> Tensor:
        """Pictures of styles ``(B, style)``, or one for each layer ``(B, num_styles, style)``."""
        side = self.resolution
        check_shape(conditions, f"B {self.CONDITIONS} {side} {side}", "conditions")
        found = self.corrections(styles, waves(conditions))
        return found + at_least_float(conditions[:, :RENDER])


def waves(conditions: Tensor) -> Tensor:
    """Conditions with sines and cosines in the place of the texture coordinates, which a network
    of convolutions reads more easily.
    """
    mask, uv = conditions[:, 6:7], conditions[:, 7:]
    angles = torch.cat([uv * (2 * math.pi * turns) for turns in TURNS], 1)
    return torch.cat([conditions[:, :7], angles.sin() * mask, angles.cos() * mask], 1)
