"""Discriminators: StyleGAN2's residual one, and one of patches at several scales."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.networks.stylegan2.blocks import (
    EPSILON,
    GAIN,
    EqualConvolution,
    EqualLinear,
    at_least_float,
    full_precision,
)
from facemorph.networks.stylegan2.filters import Smoothing
from facemorph.networks.stylegan2.widths import PUBLISHED, SMALLEST, Widths, channel_widths
from facemorph.ops.shapes import check_shape


class ResidualBlock(nn.Module):
    """Two convolutions to half of the size, and a smoothed shortcut; their sum over sqrt(2).

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        # The sum's division by sqrt(2) is in the gains of both branches.
        self.first = EqualConvolution(inputs, inputs, 3)
        self.second = EqualConvolution(inputs, outputs, 3, stride=2, padding=0, gain=1.0)
        self.shortcut = EqualConvolution(
            inputs, outputs, 1, activation=False, bias=False, gain=1 / GAIN
        )
        self.smoothing = Smoothing()

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H / 2, W / 2)``."""
        y = self.second(self.smoothing.blur(self.first(x), 2))
        return y + self.shortcut(self.smoothing.down(x))


def minibatch_deviation(x: Tensor, group: int) -> Tensor:
    """Mean standard deviation over the members of each group, as one more channel.

    Float32 under autocast too. The members of a group are every (B / group)-th sample, as in the
    published code: processes that take every n-th row of a batch, and micro-batches likewise, then
    have the groups that one process with all of it has.

    Args:
        x: ``(B, C, H, W)``.
        group: Samples of a group; a smaller batch is one group.

    Returns:
        ``(B, C + 1, H, W)``.

    Raises:
        ConfigError: The batch cannot be divided by the group.
    """
    batch = len(x)
    group = min(batch, group)
    if batch % group:
        raise ConfigError(
            "the batch cannot be divided into groups",
            where="system.discriminator.group",
            expected=f"a batch that {group} divides",
            found=batch,
            remedy="Change the batch size or the group; drop_last=true leaves out a rest.",
        )
    with full_precision(x):
        groups = at_least_float(x).unflatten(0, (group, -1))
        deviation = (groups.var(0, unbiased=False) + EPSILON).sqrt().mean((1, 2, 3))
    channel = deviation.to(x.dtype).repeat(group)[:, None, None, None]
    return torch.cat([x, channel.expand(-1, 1, *x.shape[2:])], 1)


class StyleGAN2Discriminator(nn.Module):
    """Scores of pictures, with conditions as further channels or as a vector.

    Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN (2020), the
    residual discriminator, with GIF's last layers (Ghosh et al. 2020: no gain behind the last
    leaky ReLU); for vectors the projection of Miyato and Koyama, cGANs with Projection
    Discriminator (2018), of a network of two layers. With 9 channels at 256 pixels it has the
    published 28,864,897 weights. It has no buffers that training changes.

    Args:
        resolution: Side of the pictures, a power of two from 16 to 1024.
        channels_in: Channels of pictures and conditions together.
        widths: Channels of each resolution, or ``(base, most)``: base over the resolution, but not
            more than ``most``.
        group: Samples over which the standard deviation is taken; see `minibatch_deviation`.
        vector: Size of a vector that the scores depend on; None for none.

    Raises:
        ConfigError: The resolution, a width or another number cannot be.
    """

    def __init__(
        self,
        resolution: int,
        channels_in: int,
        widths: Widths = PUBLISHED,
        group: int = 4,
        vector: int | None = None,
    ) -> None:
        super().__init__()
        where = "system.discriminator"
        table = channel_widths(resolution, widths, where)
        numbers = {"channels_in": channels_in, "group": group}
        for name, value in (numbers if vector is None else {**numbers, "vector": vector}).items():
            if value < 1:
                raise ConfigError(
                    "this must be positive", where=f"{where}.{name}", expected=">= 1", found=value
                )
        self.resolution, self.channels_in, self.group = resolution, channels_in, group
        last = table[SMALLEST]
        self.entry = EqualConvolution(channels_in, table[resolution], 1)
        sizes = sorted(table, reverse=True)
        self.blocks = nn.ModuleList(
            ResidualBlock(table[size], table[size // 2]) for size in sizes[:-1]
        )
        self.last = EqualConvolution(last + 1, last, 3)
        self.hidden = EqualLinear(last * SMALLEST**2, last, activation=True)
        self.score = EqualLinear(last, 1)
        self.projection: nn.Module | None = None
        if vector is not None:
            self.projection = nn.Sequential(
                EqualLinear(vector, last, activation=True, gain=GAIN), EqualLinear(last, last)
            )

    def forward(self, images: Tensor, vector: Tensor | None = None) -> Tensor:
        """Scores ``(B,)`` in float32 at least; large for real pictures.

        Args:
            images: ``(B, channels_in, H, W)``, pictures and conditions in [-1, 1].
            vector: ``(B, vector)`` where the network was made for one.

        Raises:
            DataError: A shape is wrong.
            ConfigError: The batch cannot be divided by the group, or a vector is missing or given
                to a network without.
        """
        side = self.resolution
        check_shape(images, f"B {self.channels_in} {side} {side}", "pictures with conditions")
        if (vector is None) != (self.projection is None):
            raise ConfigError(
                "the discriminator and its conditions do not fit",
                where="system.discriminator.vector",
                expected="no vector" if self.projection is None else "a vector",
                found="none" if vector is None else tuple(vector.shape),
            )
        x = self.entry(images)
        for block in self.blocks:
            x = block(x)
        x = self.last(minibatch_deviation(x, self.group)).flatten(1)
        with full_precision(x):
            features = self.hidden(at_least_float(x))
            scores: Tensor = self.score(features).squeeze(1)
            if self.projection is None or vector is None:
                return scores
            directions = self.projection(at_least_float(vector))
            products = (features * directions).sum(1)
            return scores + products / math.sqrt(directions.shape[1])


class PatchOutput(NamedTuple):
    """What one scale says.

    Attributes:
        scores: ``(B, 1, H, W)``, one for each patch.
        features: Outputs of the layers before, the largest first, for feature matching.
    """

    scores: Tensor
    features: list[Tensor]


class PatchDiscriminator(nn.Module):
    """Scores of overlapping patches, at several scales of the picture.

    Source: Wang et al., High-Resolution Image Synthesis and Semantic Manipulation with Conditional
    GANs (pix2pixHD, 2018), layout of convolutions. Departures: equalised weights and the gain
    sqrt(2) of StyleGAN2 take the place of instance normalisation, so that R1 can be used (a
    normalised gradient says little of the picture), samples do not depend on each other, and
    nothing changes by a mere forward pass, as spectral normalisation would.

    Args:
        channels_in: Channels of pictures and conditions together.
        width: Channels of the first layer; they double up to eight times that.
        layers: Convolutions of stride 2.
        scales: Number of scales, each of half the size of the one before.

    Raises:
        ConfigError: A number is not positive.
    """

    def __init__(self, channels_in: int, width: int = 64, layers: int = 3, scales: int = 2) -> None:
        super().__init__()
        given = {"channels_in": channels_in, "width": width, "layers": layers, "scales": scales}
        for name, value in given.items():
            if value < 1:
                raise ConfigError(
                    "this must be positive",
                    where=f"system.discriminator.{name}",
                    expected=">= 1",
                    found=value,
                )
        self.channels_in, self.num_scales = channels_in, scales
        self.least_side = 2 ** (layers + scales - 1)
        self.scales = nn.ModuleList(
            nn.ModuleList(_patch_layers(channels_in, width, layers)) for _ in range(scales)
        )

    def forward(self, images: Tensor) -> list[PatchOutput]:
        """Scores and features of each scale, the finest first.

        Args:
            images: ``(B, channels_in, H, W)``, at least ``2 ** (layers + scales - 1)`` a side.

        Raises:
            DataError: The number of channels is wrong.
            ConfigError: The pictures are too small for so many scales and layers.
        """
        check_shape(images, f"B {self.channels_in} H W", "pictures with conditions")
        return judged_at_scales(self.scales, images, self.least_side)


def judged_at_scales(scales: nn.ModuleList, images: Tensor, least_side: int) -> list[PatchOutput]:
    """What networks say of a picture, each of half the size of the one before.

    Args:
        scales: Lists of layers, the last of each for the scores.
        images: ``(B, C, H, W)``.
        least_side: Of the pictures.

    Raises:
        ConfigError: The pictures are smaller.
    """
    height, width = images.shape[2:]
    if min(height, width) < least_side:
        raise ConfigError(
            "the pictures are too small for this discriminator",
            where="system.discriminator.layers",
            expected=f"{least_side} pixels a side",
            found=f"{height} x {width}",
        )
    outputs = []
    for number, layers in enumerate(scales):
        if number:
            images = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
        features, x = [], images
        for layer in layers[:-1]:  # type: ignore[index]
            x = layer(x)
            features.append(x)
        scores = layers[-1](x)  # type: ignore[index]
        outputs.append(PatchOutput(at_least_float(scores), features))
    return outputs


def _patch_layers(channels_in: int, width: int, layers: int) -> list[nn.Module]:
    """Convolutions of one scale: 4 x 4 with stride 2, then two of stride 1."""
    most, made, inputs = 8 * width, [], channels_in
    for number in range(layers + 1):
        outputs = min(width * 2**number, most)
        stride = 2 if number < layers else 1
        made.append(EqualConvolution(inputs, outputs, 4, stride=stride, padding=2))
        inputs = outputs
    made.append(EqualConvolution(inputs, 1, 4, padding=2, activation=False, gain=1.0))
    return list(made)
