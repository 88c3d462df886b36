"""Pictures made of a style and of maps that enter at every scale, for few operations.

What differs from StyleGAN2, each measured (docs/gif.md): a style is normalised to unit power
instead of demodulating every filter, whose filters have unit length instead; convolutions come
before the upsampling; a scale injects its maps by one 1x1 convolution of a pyramid that all scales
share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from facemorph.errors import ConfigError
from facemorph.networks.stylegan2.blocks import at_least_float

GAIN = 1.35  # keeps the power of a leaky rectified signal
SLOPE = 0.2


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
        self.modulation = small_linear(style, channels, 1.0)
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


class StyledRenderer(nn.Module):
    """Pictures of styles and maps: scale after scale, each adding to what the one before shows.

    Args:
        style: Length of a style.
        channels: Of each scale, from 4 pixels on: six of them make 128 pixels.
        maps: Channels of the maps.
        pyramid: Channels of their pyramid.
        out: Channels of the pictures.

    Raises:
        ConfigError: There is no scale.
    """

    def __init__(
        self, style: int, channels: Sequence[int], maps: int, pyramid: int, out: int = 3
    ) -> None:
        super().__init__()
        if not channels:
            raise ConfigError("a generator needs a scale", where="system.generator.channels")
        self.style, self.num_styles = style, 2 * len(channels)
        self.resolution = 4 * 2 ** (len(channels) - 1)
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.conditions = nn.Conv2d(maps, pyramid, 3, padding=1)
        before = (channels[0], *channels[:-1])
        self.first = nn.ModuleList(
            StyledConv(old, new, style, pyramid, up=index > 0)
            for index, (old, new) in enumerate(zip(before, channels, strict=True))
        )
        self.second = nn.ModuleList(StyledConv(new, new, style, pyramid) for new in channels)
        self.to_colour = nn.ModuleList(_to_colour(new, out) for new in channels)

    def corrections(self, styles: Tensor, maps: Tensor, start: Tensor | None = None) -> Tensor:
        """Pictures ``(B, out, S, S)`` around 0, in float32 at least.

        Args:
            styles: ``(B, style)``, or one for each layer ``(B, num_styles, style)``.
            maps: ``(B, maps, S, S)``.
            start: ``(B, channels[0], 4, 4)`` in the place of what is the same for all.
        """
        each = styles if styles.ndim == 3 else styles[:, None].expand(-1, self.num_styles, -1)
        pyramid = [functional.leaky_relu(self.conditions(maps), SLOPE)]
        for _ in self.first[1:]:
            pyramid.append(functional.avg_pool2d(pyramid[-1], 2))
        x = self.constant.expand(len(styles), -1, -1, -1) if start is None else start
        found = maps.new_zeros(1, dtype=torch.float32)
        layers = zip(self.first, self.second, self.to_colour, reversed(pyramid), strict=True)
        for index, (first, second, to_colour, level) in enumerate(layers):
            x = first(x, each[:, 2 * index], level)
            x = second(x, each[:, 2 * index + 1], level)
            added = at_least_float(to_colour(x))
            if index:
                added = added + functional.interpolate(
                    found, scale_factor=2, mode="bilinear", align_corners=False
                )
            found = added
        return found


def small_linear(features: int, out: int, bias: float = 0.0) -> nn.Linear:
    """A layer whose results have about unit power, around ``bias``."""
    layer = nn.Linear(features, out)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(features))
    nn.init.constant_(layer.bias, bias)
    return layer


def _to_colour(channels: int, out: int) -> nn.Conv2d:
    layer = nn.Conv2d(channels, out, 1)
    with torch.no_grad():
        layer.weight.mul_(0.15)  # corrections are small at first: the render is a good start
        if layer.bias is not None:
            layer.bias.zero_()
    return layer
