"""A generator of the size that one core can train: GDPW's idea, begun from the geometric flow.

As in the paper (Zhong et al., BMVC 2022), features of the source are warped level by level, by
flows that each level refines. What differs: the flow *starts*
from that of the fitted head under the portrait warp, and levels add to it, so that
training is not spent on finding the face; the picture itself is warped beside its features;
convolutions have no normalisation; a low-frequency correction takes up differences of light; and
the result is made of the photograph in its own size, warped by the flow of the small one, so that
it is as sharp as the photograph.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from facemorph.errors import ConfigError
from facemorph.geometry.portraits.head_flow import MAPS, HeadFlow
from facemorph.geometry.portraits.warped_numba import warped_photograph
from facemorph.ops.filters import enlarged
from facemorph.ops.frames import edge_grid
from facemorph.ops.shapes import check_shape

SLOPE = 0.1
GUIDES = MAPS + 3  # maps of the target, what the source shows, and the flow in x and y
FLOW_GAIN = 4.0  # of the flow among the inputs, which is small in halves of the side
STEP = 0.1  # of a flow's refinement at the coarsest level; half of it at each finer one
CORRECTION = 0.4  # largest change of colour that the low-frequency correction makes
COLOURED = -2.5  # bias of the share of own colour: hardly any at first


class SmallOutput(NamedTuple):
    """What the generator made.

    Attributes:
        picture: ``(B, 3, H, W)`` in about [0, 1], of the photograph's size.
        warped: ``(B, 3, H, W)`` the photograph warped, and nothing else.
        share: ``(B, 1, S, S)`` in [0, 1], of own colour in the picture.
        correction: ``(B, 3, S, S)`` what is added to the colours.
        flow: ``(B, 2, S, S)`` in halves of the side.
    """

    picture: Tensor
    warped: Tensor
    share: Tensor
    correction: Tensor
    flow: Tensor


class Block(nn.Module):
    """A convolution, and a residual one where wanted.

    Args:
        channels: In.
        out: Filters.
        residual: Whether the second is there.
    """

    def __init__(self, channels: int, out: int, residual: bool = True) -> None:
        super().__init__()
        self.first = _convolution(channels, out)
        self.second = _convolution(out, out, 0.5) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """``(B, channels, H, W)`` to ``(B, out, H, W)``."""
        x = functional.leaky_relu(self.first(x), SLOPE)
        if self.second is not None:
            x = functional.leaky_relu(x + self.second(x), SLOPE)
        return x


class SmallGenerator(nn.Module):
    """A photograph moved to another pose and expression.

    Args:
        channels: Of each level, the finest first; each has half of the side of the one before.
        resolution: Side S of what the network sees.

    Raises:
        ConfigError: There are fewer than two levels, or the resolution does not halve so often.
    """

    def __init__(
        self, channels: Sequence[int] = (16, 32, 48, 80, 128), resolution: int = 128
    ) -> None:
        super().__init__()
        if len(channels) < 2:
            raise ConfigError(
                "a generator needs two levels at least",
                where="system.generator.channels",
                found=len(channels),
            )
        if resolution % 2 ** (len(channels) - 1):
            raise ConfigError(
                "the resolution does not halve that often",
                where="system.generator.resolution",
                expected=f"a multiple of {2 ** (len(channels) - 1)}",
                found=resolution,
            )
        self.resolution, self.channels = resolution, tuple(channels)
        before = (None, *channels[:-1])
        self.encoder = nn.ModuleList(
            Block(3 + MAPS, new, residual=False) if old is None else Block(old, new)
            for old, new in zip(before, channels, strict=True)
        )
        self.bottom = Block(2 * channels[-1] + GUIDES, channels[-1])
        self.decoder = nn.ModuleList(
            Block(coarse + fine + GUIDES + 3, fine) for fine, coarse in itertools.pairwise(channels)
        )
        self.flows = nn.ModuleList(_silent(width, 2) for width in channels)
        self.correction = _silent(channels[min(1, len(channels) - 2)], 3)
        self.colour = _silent(channels[0], 4)
        with torch.no_grad():
            nn.init.normal_(self.colour.weight, std=0.01)
            if self.colour.bias is not None:
                self.colour.bias[3] = COLOURED

    def encode(self, source: Tensor, maps: Tensor) -> list[Tensor]:
        """Features of a source at each level, the finest first: the same for all its frames.

        Args:
            source: ``(B, 3, S, S)`` in [0, 1].
            maps: ``(B, MAPS, S, S)`` of its head.

        Raises:
            DataError: A shape does not fit.
        """
        side = self.resolution
        check_shape(source, f"B 3 {side} {side}", "source")
        check_shape(maps, f"{len(source)} {MAPS} {side} {side}", "maps of the source")
        features, x = [], torch.cat([2 * source - 1, maps], 1)
        for level, block in enumerate(self.encoder):
            x = block(functional.avg_pool2d(x, 2) if level else x)
            features.append(x)
        return features

    def forward(
        self, source: Tensor, maps: Tensor, head: HeadFlow, photograph: Tensor | None = None
    ) -> SmallOutput:
        """`encode` and `decode`."""
        return self.decode(self.encode(source, maps), source, head, photograph)

    def decode(
        self,
        features: Sequence[Tensor],
        source: Tensor,
        head: HeadFlow,
        photograph: Tensor | None = None,
    ) -> SmallOutput:
        """The source moved.

        Args:
            features: Of `encode`.
            source: ``(B, 3, S, S)`` in [0, 1].
            head: Where the head goes, of B rows; its teeth in the photograph's size.
            photograph: ``(B, 3, H, W)`` the same in its own size, which the result is made of;
                the source where None.

        Raises:
            DataError: A shape does not fit.
        """
        sizes = f"{len(source)} 2 {self.resolution} {self.resolution}"
        check_shape(head.flow, sizes, "flow of the head")
        guides = [_last(torch.cat([head.maps, head.visible, FLOW_GAIN * head.flow], 1))]
        flows, pictures = [head.flow], [_last(2 * source - 1)]
        for _ in features[1:]:
            for levels in (guides, flows, pictures):
                levels.append(functional.avg_pool2d(levels[-1], 2))
        bent = _last(warp_clamped(features[-1], flows[-1]))
        x = self.bottom(torch.cat([features[-1], bent, guides[-1]], 1))
        added = STEP * self.flows[-1](x)
        correction = torch.zeros_like(source)
        for step, level in enumerate(reversed(range(len(self.decoder))), 1):
            added = functional.interpolate(
                added, scale_factor=2, mode="bilinear", align_corners=False
            )
            both = torch.cat([features[level], pictures[level]], 1)
            bent = _last(warp_clamped(both, flows[level] + added))
            coarse = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = self.decoder[level](torch.cat([coarse, bent, guides[level]], 1))
            added = added + STEP * 0.5**step * self.flows[level](x)
            if level == min(1, len(self.decoder) - 1):
                correction = CORRECTION * torch.tanh(self.correction(x))
        large = source if photograph is None else photograph
        return self._composed(x, correction, head.flow + added, large, head.teeth)

    def _composed(
        self,
        x: Tensor,
        correction: Tensor,
        flow: Tensor,
        large: Tensor,
        teeth: Tensor,
    ) -> SmallOutput:
        """The photograph warped, corrected, and with the network's own colour where it has one,
        with lines between the teeth.
        """
        found = torch.sigmoid(self.colour(x))
        share = found[:, 3:]
        correction = functional.interpolate(
            correction, flow.shape[2:], mode="bilinear", align_corners=False
        )
        # One resampling for all, as this is a large part of the time of a frame.
        fine = torch.cat([flow, share, found[:, :3] * share + correction], 1)
        larger = large.shape[2:] != fine.shape[2:]
        if (
            larger
            and len(large) == 1
            and large.device.type == "cpu"
            and not torch.is_grad_enabled()
        ):
            picture, warped = warped_photograph(fine, large, teeth)
            return SmallOutput(picture, warped, share, correction, flow)
        if larger:
            fine = enlarged(fine, (large.shape[2], large.shape[3]))
        # Bilinear sampling would blur the photograph that the network does not see in full.
        warped = warp_clamped(large, fine[:, :2], "bicubic" if larger else "bilinear")
        own = warped * (1 - fine[:, 2:3].clamp(0, 1))
        picture = torch.addcmul(own, fine[:, 3:], teeth)
        return SmallOutput(picture, warped, share, correction, flow)


def warp_clamped(values: Tensor, flow: Tensor, mode: str = "bilinear") -> Tensor:
    """Values ``(B, C, H, W)`` sampled where the flow ``(B, 2, H, W)`` points, in halves of the
    side; the border beyond. ``bicubic`` values may pass their range a little.
    """
    grid = edge_grid(flow.shape[2], flow.shape[3], flow) + flow.permute(0, 2, 3, 1)
    return functional.grid_sample(values, grid, mode, padding_mode="border", align_corners=False)


def _last(values: Tensor) -> Tensor:
    """The same with channels last in memory, as the convolutions' weights are: what is joined
    need not be turned before each of them.
    """
    return values.contiguous(memory_format=torch.channels_last)


def _convolution(channels: int, out: int, gain: float = 1.0) -> nn.Conv2d:
    layer = nn.Conv2d(channels, out, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, SLOPE)
    with torch.no_grad():
        layer.weight.mul_(gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _silent(channels: int, out: int) -> nn.Conv2d:
    """A convolution that gives zero at first."""
    layer = nn.Conv2d(channels, out, 3, padding=1)
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
