"""Plain twin of GIF's networks: StyleGAN2's equations one after the other, in the published layout.

Slow and simple on purpose: what ``facemorph.systems.gif.generator`` and
``facemorph.networks.discriminators`` are compared with and timed against. Each sample has weights
of its own in a grouped convolution, the filter sees ``(B C, 1, H, W)`` with inserted zeros, and
tensors have the names of GIF's released checkpoints, so that this stands for such a file in tests
of the converter. Written from the equations (Karras et al. 2020; Ghosh et al. 2020), not from that
code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SQRT2 = math.sqrt(2)


def plain_filter(x: Tensor, kernel: Tensor, up: int, down: int, pad: tuple[int, int]) -> Tensor:
    """Zeros inserted, padded, filtered and every ``down``-th value taken, of ``(B, C, H, W)``."""
    batch, channels, height, width = x.shape
    wide = x.new_zeros(batch, channels, height * up, width * up)
    if up == 1:
        wide = x
    else:
        wide[:, :, ::up, ::up] = x
    wide = F.pad(wide, (*pad, *pad)).flatten(0, 1)[:, None]
    filtered = F.conv2d(wide, kernel.flip(0, 1)[None, None])
    return filtered[:, 0].unflatten(0, (batch, channels))[:, :, ::down, ::down]


class PlainFilter(nn.Module):
    """The filter [1, 3, 3, 1] as the published files have it: with a buffer ``kernel``."""

    kernel: Tensor

    def __init__(self, pad: tuple[int, int], up: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0])
        square = line[:, None] * line[None]
        self.register_buffer("kernel", square / square.sum() * gain)
        self.pad, self.up = pad, up

    def forward(self, x: Tensor) -> Tensor:
        """Filter each channel."""
        return plain_filter(x, self.kernel, self.up, 1, self.pad)


class PlainLinear(nn.Module):
    """Equalised linear layer; ``slope`` where a leaky ReLU follows."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: float = 0.0,
        multiplier: float = 1.0,
        slope: float | None = None,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias)))
        self.multiplier, self.slope, self.gain = multiplier, slope, gain

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs)`` to ``(B, outputs)``."""
        weight = self.weight * self.multiplier / math.sqrt(self.weight.shape[1])
        y = x @ weight.t() + self.bias * self.multiplier
        return y if self.slope is None else F.leaky_relu(y, self.slope) * self.gain


class PlainNorm(nn.Module):
    """Division by the root mean square."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C)`` to the same shape."""
        return x / (x.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()


class PlainActivation(nn.Module):
    """Bias, leaky ReLU and a factor of sqrt(2), one pass each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to the same shape."""
        return F.leaky_relu(x + self.bias, 0.2) * SQRT2


class PlainModulated(nn.Module):
    """Modulated convolution with weights for each sample."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        style: int,
        demodulate: bool = True,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, size, size))
        self.modulation = PlainLinear(style, inputs, bias=1)
        self.demodulate, self.up = demodulate, up
        if up:
            self.blur = PlainFilter((1, 1), gain=4)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        batch, inputs, height, width = x.shape
        outputs, size = self.weight.shape[1], self.weight.shape[-1]
        scale = 1 / math.sqrt(inputs * size * size)
        weights = scale * self.weight * self.modulation(style)[:, None, :, None, None]
        if self.demodulate:
            lengths = (weights.pow(2).sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
            weights = weights / lengths
        folded = x.reshape(1, batch * inputs, height, width)
        if not self.up:
            y = F.conv2d(folded, weights.flatten(0, 1), padding=size // 2, groups=batch)
            return y.view(batch, outputs, height, width)
        turned = weights.transpose(1, 2).flatten(0, 1)
        y = F.conv_transpose2d(folded, turned, stride=2, groups=batch)
        return self.blur(y.view(batch, outputs, *y.shape[2:]))


class PlainInjection(nn.Module):
    """GIF's three convolutions of the condition."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.noise_conv = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * channels, 4 * channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4 * channels, outputs, 3, padding=1),
        )

    def forward(self, condition: Tensor) -> Tensor:
        """``(B, channels, H, W)`` to ``(B, outputs, H, W)``."""
        added: Tensor = self.noise_conv(condition)
        return added


class PlainStyled(nn.Module):
    """Modulated convolution, the condition's addition, activation."""

    def __init__(self, inputs: int, outputs: int, style: int, condition: int, up: bool) -> None:
        super().__init__()
        self.conv = PlainModulated(inputs, outputs, 3, style, up=up)
        self.noise = PlainInjection(condition, outputs)
        self.activate = PlainActivation(outputs)

    def forward(self, x: Tensor, style: Tensor, condition: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        y: Tensor = self.activate(self.conv(x, style) + self.noise(condition))
        return y


class PlainStage(nn.Module):
    """The convolutions of one scale."""

    def __init__(self, inputs: int, outputs: int, style: int, condition: int, first: bool) -> None:
        super().__init__()
        self.st_cv1 = PlainStyled(inputs, outputs, style, condition, up=not first)
        if not first:
            self.st_cv2 = PlainStyled(outputs, outputs, style, condition, up=False)

    def forward(self, x: Tensor, style: Tensor, condition: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        x = self.st_cv1(x, style, condition)
        return self.st_cv2(x, style, condition) if hasattr(self, "st_cv2") else x


class PlainToRGB(nn.Module):
    """Features to a picture, added to the enlarged one below."""

    def __init__(self, inputs: int, style: int, first: bool) -> None:
        super().__init__()
        if not first:
            self.upsample = PlainFilter((2, 1), up=2, gain=4)
        self.conv = PlainModulated(inputs, 3, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, below: Tensor | None) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, 3, H, W)``."""
        picture = self.conv(x, style) + self.bias
        return picture if below is None else picture + self.upsample(below)


class PlainTable(nn.Module):
    """The frozen random codes of the pictures."""

    embd_weight: Tensor

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.register_buffer("embd_weight", torch.randn(count, size))


class PlainConstant(nn.Module):
    """What the first scale starts from."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))


class PlainSynthesis(nn.Module):
    """Scales up to the largest in ``widths``; those beyond ``resolution`` are dead weight."""

    def __init__(self, widths: list[int], style: int, condition: int) -> None:
        super().__init__()
        self.const_input = PlainConstant(widths[0])
        pairs = list(zip([widths[0], *widths], widths, strict=False))
        self.progression = nn.ModuleList(
            PlainStage(inputs, outputs, style, condition, number == 0)
            for number, (inputs, outputs) in enumerate(pairs)
        )
        self.to_rgb = nn.ModuleList(
            PlainToRGB(width, style, number == 0) for number, width in enumerate(widths)
        )

    def forward(self, style: Tensor, conditions: Tensor, last: int) -> Tensor:
        """Picture of the scale ``last``, made from each smaller one."""
        x = self.const_input.input.repeat(len(style), 1, 1, 1)
        picture = None
        for number in range(last + 1):
            side = 4 * 2**number
            condition = F.interpolate(
                conditions, (side, side), mode="bilinear", align_corners=False
            )
            x = self.progression[number](x, style, condition)
            picture = self.to_rgb[number](x, style, picture)
        if picture is None:
            raise ValueError("there is no scale")
        return picture


class PlainGenerator(nn.Module):
    """GIF's generator.

    Args:
        widths: Channels at 4, 8, 16 ... pixels.
        style: Features of a style.
        condition: Channels of the conditions.
        count: Rows of the table of codes.
        mapping: Layers from codes to styles.
        mapping_gain: Factor behind each of them.
    """

    def __init__(
        self,
        widths: list[int],
        style: int = 512,
        condition: int = 6,
        count: int = 10,
        mapping: int = 8,
        mapping_gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.generator = PlainSynthesis(widths, style, condition)
        self.image_embedding = PlainTable(count, style)
        self.img_embdng = self.image_embedding  # the released files have the table twice
        layers = [
            PlainLinear(style, style, multiplier=0.01, slope=0.2, gain=mapping_gain)
            for _ in range(mapping)
        ]
        self.z_to_w = nn.Sequential(PlainNorm(), *layers)

    def forward(self, numbers: Tensor, conditions: Tensor, resolution: int) -> Tensor:
        """Pictures ``(B, 3, resolution, resolution)`` of numbers of codes ``(B,)``, or of codes."""
        codes = (
            numbers if numbers.is_floating_point() else self.image_embedding.embd_weight[numbers]
        )
        last = resolution.bit_length() - 3
        picture: Tensor = self.generator(self.z_to_w(codes), conditions, last)
        return picture


class PlainConvolution(nn.Module):
    """Equalised convolution without bias."""

    def __init__(
        self, inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        fan = self.weight[0].numel()
        return F.conv2d(x, self.weight / math.sqrt(fan), None, self.stride, self.padding)


def plain_layer(inputs: int, outputs: int, size: int, activation: bool = True) -> nn.Sequential:
    """Convolution and activation at the same size."""
    layers: list[nn.Module] = [PlainConvolution(inputs, outputs, size, padding=size // 2)]
    return nn.Sequential(*layers, *([PlainActivation(outputs)] if activation else []))


class PlainResidual(nn.Module):
    """Residual block to half of the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = plain_layer(inputs, inputs, 3)
        self.conv2 = nn.Sequential(
            PlainFilter((2, 2)),
            PlainConvolution(inputs, outputs, 3, stride=2),
            PlainActivation(outputs),
        )
        self.skip = nn.Sequential(
            PlainFilter((1, 1)), PlainConvolution(inputs, outputs, 1, stride=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H / 2, W / 2)``."""
        y: Tensor = (self.conv2(self.conv1(x)) + self.skip(x)) / SQRT2
        return y


class PlainDiscriminator(nn.Module):
    """GIF's discriminator.

    Args:
        widths: Channels at 4, 8, 16 ... pixels, up to the pictures' size.
        channels: Channels of pictures and conditions.
    """

    def __init__(self, widths: list[int], channels: int) -> None:
        super().__init__()
        blocks = [PlainResidual(*pair) for pair in zip(widths[:0:-1], widths[-2::-1], strict=True)]
        self.convs = nn.Sequential(plain_layer(channels, widths[-1], 1), *blocks)
        self.final_conv = plain_layer(widths[0] + 1, widths[0], 3)
        self.final_linear = nn.Sequential(
            PlainLinear(widths[0] * 16, widths[0], slope=0.2), PlainLinear(widths[0], 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Scores ``(B, 1)``."""
        x = self.convs(images)
        group = min(4, len(x))
        count = len(x) // group
        channel = torch.zeros_like(x[:, :1])
        for number in range(count):
            members = slice(number, None, count)
            squares = (x[members] - x[members].mean(0)).pow(2).mean(0)
            channel[members] = (squares + 1e-8).sqrt().mean()
        y: Tensor = self.final_conv(torch.cat([x, channel], 1))
        return self.final_linear(y.flatten(1))
