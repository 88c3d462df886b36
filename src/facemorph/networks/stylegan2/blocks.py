"""Layers of StyleGAN2: equalised weights, mapping network, modulated convolutions.

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN (2020), sections 2 and
3; weights have the layout of rosinality's stylegan2-pytorch, which GIF's authors took over.

Departures from the published code, all exact up to rounding: one weight for the whole batch with
the input scaled before and the output demodulated after the convolution, instead of one weight for
each sample in a grouped convolution; depthwise filters; the gain of sqrt(2) behind the leaky ReLU
goes into the scales before it, which is the same because that function is positively homogeneous.
``facemorph.bench.plain.stylegan2`` has the published forms.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.networks.stylegan2.filters import Smoothing

SLOPE, GAIN = 0.2, math.sqrt(2)
EPSILON = 1e-8


class EqualLinear(nn.Module):
    """A linear layer whose weights have unit variance and are scaled where they are used.

    Args:
        inputs: Features that come in.
        outputs: Features that go out.
        bias: Value of the bias at the start.
        multiplier: Of the learning rate: weights are that much larger and scaled down.
        activation: Whether a leaky ReLU follows.
        gain: Factor behind the leaky ReLU: 1 or sqrt(2).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: float = 0.0,
        multiplier: float = 1.0,
        activation: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale, self.multiplier = multiplier / math.sqrt(inputs), multiplier
        self.activation, self.gain = activation, gain

    def forward(self, x: Tensor) -> Tensor:
        """``(..., inputs)`` to ``(..., outputs)``."""
        if not self.activation:
            return F.linear(x, self.weight * self.scale, self.bias * self.multiplier)
        scale, multiplier = self.scale * self.gain, self.multiplier * self.gain
        return F.leaky_relu(F.linear(x, self.weight * scale, self.bias * multiplier), SLOPE)


class PixelNorm(nn.Module):
    """Features divided by the root of their mean square."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C)`` to the same shape."""
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + EPSILON)


class MappingNetwork(nn.Module):
    """From random codes to styles: normalisation and equal linear layers, always in float32.

    Args:
        size: Features of a style.
        layers: Number of linear layers.
        gain: Factor behind each leaky ReLU; StyleGAN2 has sqrt(2), GIF's released code 1.
        inputs: Features that come in; as many as go out where None.
        multiplier: Of the learning rate.
    """

    def __init__(
        self,
        size: int,
        layers: int = 8,
        *,
        gain: float = GAIN,
        inputs: int | None = None,
        multiplier: float = 0.01,
    ) -> None:
        super().__init__()
        self.normalise = PixelNorm()
        self.layers = nn.ModuleList(
            EqualLinear(
                size if index or inputs is None else inputs,
                size,
                multiplier=multiplier,
                activation=True,
                gain=gain,
            )
            for index in range(layers)
        )

    def forward(self, codes: Tensor) -> Tensor:
        """Styles ``(B, size)`` of codes ``(B, inputs)``; float32 under autocast too."""
        with full_precision(codes):
            x = self.normalise(at_least_float(codes))
            for layer in self.layers:
                x = layer(x)
        return x


class EqualConvolution(nn.Module):
    """A convolution with equalised weights and, where asked for, a bias and leaky ReLU.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        size: Side of the kernel.
        stride: Step of the kernel.
        padding: Zeros at each side; half of the kernel where None.
        activation: Whether a leaky ReLU follows.
        bias: Whether there is a bias.
        gain: Factor of the output: behind the leaky ReLU, if there is one.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        stride: int = 1,
        padding: int | None = None,
        activation: bool = True,
        bias: bool = True,
        gain: float = GAIN,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = gain / math.sqrt(inputs * size * size)
        self.padding = size // 2 if padding is None else padding
        self.stride, self.activation, self.gain = stride, activation, gain

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        bias = None if self.bias is None else self.bias * self.gain
        y = F.conv2d(x, self.weight * self.scale, bias, self.stride, self.padding)
        return F.leaky_relu(y, SLOPE) if self.activation else y


class ModulatedConvolution(nn.Module):
    """A convolution whose weights a style scales, for each input channel.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        size: Side of the kernel, odd.
        style: Features of a style.
        demodulate: Whether each output channel is divided by the length of its scaled weights.
        up: Whether the output has twice the size.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        style: int,
        *,
        demodulate: bool = True,
        up: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.modulation = EqualLinear(style, inputs, bias=1.0)
        self.scale = 1 / math.sqrt(inputs * size * size)
        self.demodulate, self.up = demodulate, up
        self.smoothing = Smoothing() if up else None

    def scales(self, style: Tensor) -> tuple[Tensor, Tensor | None]:
        """Factors of the input's ``(B, inputs)`` and of the output's channels ``(B, outputs)``.

        Float32 under autocast too: squares and their root lose too much in bfloat16.
        """
        with full_precision(style):
            factors = self.modulation(at_least_float(style)) * self.scale
            if not self.demodulate:
                return factors, None
            squares = at_least_float(self.weight).square().sum((2, 3))
            return factors, torch.rsqrt(factors.square() @ squares.t() + EPSILON)

    def convolve(self, x: Tensor, factors: Tensor) -> Tensor:
        """The convolution of the scaled input, without demodulation."""
        if self.weight.shape[-1] == 1:
            # A matrix for each sample spares a scaled copy of the features.
            matrices = self.weight[:, :, 0, 0] * factors[:, None]
            return (matrices.to(x.dtype) @ x.flatten(2)).unflatten(2, x.shape[2:])
        x = x * factors.to(x.dtype)[:, :, None, None]
        if self.smoothing is None:
            return F.conv2d(x, self.weight, padding=self.weight.shape[-1] // 2)
        y = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
        return self.smoothing.blur(y, 1, gain=4)

    def forward(
        self, x: Tensor, style: Tensor, addition: Tensor | None = None, gain: float = 1.0
    ) -> Tensor:
        """Convolve.

        Args:
            x: ``(B, inputs, H, W)``.
            style: ``(B, style)``.
            addition: Added to the output; of its shape, or ``(outputs, 1, 1)``.
            gain: Factor of the output before the addition.

        Returns:
            ``(B, outputs, H, W)``, or twice the size.
        """
        factors, lengths = self.scales(style)
        y = self.convolve(x, factors if lengths is not None else factors * gain)
        if lengths is None:
            return y if addition is None else y + addition.to(y.dtype)
        lengths = (lengths * gain).to(y.dtype)[:, :, None, None]
        if addition is None:
            return y * lengths
        return torch.addcmul(addition.to(y.dtype), y, lengths)  # one pass instead of two


class StyledConvolution(nn.Module):
    """Modulated convolution, injected conditions, bias and leaky ReLU times sqrt(2).

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        style: Features of a style.
        up: Whether the output has twice the size.
        injection: What makes an addition to the convolution's output, called with a condition, a
            bias ``(outputs,)`` that it adds, and a gain of both.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style: int,
        *,
        up: bool = False,
        injection: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(inputs, outputs, 3, style, up=up)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.injection = injection

    def forward(self, x: Tensor, style: Tensor, condition: Tensor | None = None) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``.

        Args:
            x: Features.
            style: ``(B, style)``.
            condition: ``(B, C, H', W')`` for the injection.
        """
        if self.injection is None:
            addition = (self.bias * GAIN)[:, None, None]
        else:
            addition = self.injection(condition, self.bias, GAIN)
        return F.leaky_relu(self.convolution(x, style, addition, GAIN), SLOPE)


class ToRGB(nn.Module):
    """Features to a picture that is added to the enlarged picture of the scale below.

    Args:
        inputs: Channels of the features.
        style: Features of a style.
        channels: Channels of the picture.
        skip: Whether there is a scale below.
    """

    def __init__(self, inputs: int, style: int, channels: int = 3, *, skip: bool = True) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(inputs, channels, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.smoothing = Smoothing() if skip else None

    def forward(self, x: Tensor, style: Tensor, below: Tensor | None = None) -> Tensor:
        """Picture ``(B, channels, H, W)`` in float32 at least.

        Args:
            x: Features ``(B, inputs, H, W)``.
            style: ``(B, style)``.
            below: Picture of half the size; sums of pictures stay in float32 under autocast.
        """
        picture = at_least_float(self.convolution(x, style)) + self.bias[:, None, None]
        if below is None or self.smoothing is None:
            return picture
        with full_precision(below):
            return picture + self.smoothing.up(below)


def full_precision(tensor: Tensor) -> AbstractContextManager[object]:
    """A context without autocast on a tensor's device."""
    kind = tensor.device.type
    if not torch.amp.is_autocast_available(kind):  # tensors without memory, for shapes
        return nullcontext()
    return torch.autocast(kind, enabled=False)


def at_least_float(tensor: Tensor) -> Tensor:
    """The tensor in float32, or float64 where it is of that."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
