"""A generator of the size that one core can train: GIF's idea, re-cut for few operations.

As in GIF, renders of the 3-D model enter at every scale and a style decides on the person. What
differs, each measured (docs/gif.md): the output is the render plus a correction; texture
coordinates are among the conditions, so that a style can say where on the skin something is; a
style is normalised to unit power instead of demodulating every filter, whose filters have unit
length instead; convolutions come before the upsampling; a scale injects its conditions by one 1x1
convolution of a pyramid that all scales share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from facemorph.errors import ConfigError
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.ops.shapes import check_shape

RENDER = 3  # the first channels of the conditions: what the output starts from
GAIN = 1.35  # keeps the power of a leaky rectified signal
SLOPE = 0.2
TURNS = (0.5, 1.0, 3.0)  # of the waves that stand for texture coordinates


class UnitConv(nn.Module):
    """Convolution with filters of unit length, so that large steps of an optimizer stay stable.

    Args:
        channels: In.
        out: Filters.
        size: Side of a filter, odd.
        gain: Length of the filters.
    """

    def __init__(self, channels: int, out: int, size: int, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.2 * torch.randn(out, channels, size, size))
        self.bias = nn.Parameter(torch.zeros(out))
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)`` to ``(B, out, H, W)``."""
        length = self.weight.square().sum((1, 2, 3), keepdim=True)
        weight = self.weight * (self.gain * torch.rsqrt(length + 1e-8))
        return functional.conv2d(x, weight, self.bias, padding=self.weight.shape[-1] // 2)


class StyledConv(nn.Module):
    """A convolution under a style and with conditions.

    Args:
        channels: In.
        out: Filters.
        style: Length of a style.
        conditions: Channels of the pyramid of conditions.
        up: Whether the result is twice as large.
    """

    def __init__(
        self, channels: int, out: int, style: int, conditions: int, up: bool = False
    ) -> None:
        super().__init__()
        self.conv = UnitConv(channels, out, 3)
        self.modulation = _linear(style, channels, 1.0)
        self.injection = UnitConv(conditions, out, 1, 0.7)
        self.up = up

    def forward(self, x: Tensor, style: Tensor, conditions: Tensor) -> Tensor:
        """``(B, channels, H, W)`` to ``(B, out, H', W')`` with conditions ``(B, C, H', W')``."""
        scale = at_least_float(self.modulation(style))
        scale = scale * torch.rsqrt(scale.square().mean(1, keepdim=True) + 1e-4)
        x = self.conv(x * scale[:, :, None, None].to(x.dtype))
        if self.up:
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return functional.leaky_relu(x + self.injection(conditions), SLOPE) * GAIN


class SmallGenerator(nn.Module):
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
        super().__init__()
        if not channels:
            raise ConfigError("a generator needs a scale", where="system.generator.channels")
        self.code, self.num_styles = code, 2 * len(channels)
        self.resolution = 4 * 2 ** (len(channels) - 1)
        self.mapping = nn.Sequential(
            _linear(code, style), nn.LeakyReLU(SLOPE), _linear(style, style), nn.LeakyReLU(SLOPE)
        )
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        wide = self.CONDITIONS - 2 + 4 * len(TURNS)
        self.conditions = nn.Conv2d(wide, pyramid, 3, padding=1)
        before = (channels[0], *channels[:-1])
        self.first = nn.ModuleList(
            StyledConv(old, new, style, pyramid, up=index > 0)
            for index, (old, new) in enumerate(zip(before, channels, strict=True))
        )
        self.second = nn.ModuleList(StyledConv(new, new, style, pyramid) for new in channels)
        self.to_colour = nn.ModuleList(_to_colour(new) for new in channels)

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
        each = styles if styles.ndim == 3 else styles[:, None].expand(-1, self.num_styles, -1)
        pyramid = [functional.leaky_relu(self.conditions(waves(conditions)), SLOPE)]
        for _ in self.first[1:]:
            pyramid.append(functional.avg_pool2d(pyramid[-1], 2))
        x = self.constant.expand(len(conditions), -1, -1, -1)
        colour: Tensor | None = None
        layers = zip(self.first, self.second, self.to_colour, reversed(pyramid), strict=True)
        for index, (first, second, to_colour, level) in enumerate(layers):
            x = first(x, each[:, 2 * index], level)
            x = second(x, each[:, 2 * index + 1], level)
            added = at_least_float(to_colour(x))
            if colour is not None:
                added = added + functional.interpolate(
                    colour, scale_factor=2, mode="bilinear", align_corners=False
                )
            colour = added
        if colour is None:
            raise ConfigError("a generator needs a scale", where="system.generator.channels")
        return colour + at_least_float(conditions[:, :RENDER])


def waves(conditions: Tensor) -> Tensor:
    """Conditions with sines and cosines in the place of the texture coordinates, which a network
    of convolutions reads more easily.
    """
    mask, uv = conditions[:, 6:7], conditions[:, 7:]
    angles = torch.cat([uv * (2 * math.pi * turns) for turns in TURNS], 1)
    return torch.cat([conditions[:, :7], angles.sin() * mask, angles.cos() * mask], 1)


def _linear(features: int, out: int, bias: float = 0.0) -> nn.Linear:
    layer = nn.Linear(features, out)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(features))
    nn.init.constant_(layer.bias, bias)
    return layer


def _to_colour(channels: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, 3, 1)
    with torch.no_grad():
        layer.weight.mul_(0.15)  # corrections are small at first: the render is a good start
        if layer.bias is not None:
            layer.bias.zero_()
    return layer
