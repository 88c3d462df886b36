"""Blocks of StyleGAN2: filters and modulated convolutions against the plain twin, precision,
initial scales, and channel widths.
"""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.bench.plain.stylegan2 import (
    PlainFilter,
    PlainLinear,
    PlainModulated,
    PlainToRGB,
    plain_filter,
)
from facemorph.errors import ConfigError
from facemorph.networks.stylegan2.blocks import (
    GAIN,
    EqualConvolution,
    EqualLinear,
    MappingNetwork,
    ModulatedConvolution,
    PixelNorm,
    StyledConvolution,
    ToRGB,
)
from facemorph.networks.stylegan2.filters import Smoothing
from facemorph.networks.stylegan2.widths import channel_widths

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def bfloat16():
    return torch.autocast("cpu", dtype=torch.bfloat16)


def test_filter_by_hand():
    """An impulse becomes the filter's outer product."""
    x = torch.zeros(1, 2, 9, 9)
    x[0, 0, 4, 4] = 1
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    blurred = Smoothing().blur(x, 2)
    torch.testing.assert_close(blurred[0, 0, 3:7, 3:7], torch.outer(line, line))
    assert float(blurred[0, 0].sum()) == pytest.approx(1.0)
    assert not blurred[0, 1].any()


@pytest.mark.parametrize("size", [(8, 6), (9, 5)])
def test_filters_equal_the_plain_form(size):
    x = torch.randn(2, 3, *size)
    smoothing, kernel = Smoothing(), PlainFilter((0, 0)).kernel
    for padding, gain in ((1, 4.0), (2, 1.0)):
        torch.testing.assert_close(
            smoothing.blur(x, padding, gain),
            plain_filter(x, kernel * gain, 1, 1, (padding, padding)),
            **TOLERANCE,
        )
    torch.testing.assert_close(
        smoothing.up(x), plain_filter(x, kernel * 4, 2, 1, (2, 1)), **TOLERANCE
    )
    if size[0] % 2 == 0:
        torch.testing.assert_close(
            smoothing.down(x), plain_filter(x, kernel, 1, 2, (1, 1)), **TOLERANCE
        )


def test_filters_keep_constants_inside():
    x = torch.ones(1, 1, 8, 8)
    for y in (Smoothing().up(x), Smoothing().down(x)):
        torch.testing.assert_close(y[..., 1:-1, 1:-1], torch.ones_like(y[..., 1:-1, 1:-1]))


def same_weights(ours, plain):
    with torch.no_grad():
        for name, one in (("weight", ours.weight), ("modulation.weight", ours.modulation.weight)):
            plain.get_parameter(name).copy_(one.view_as(plain.get_parameter(name)))
        ours.modulation.bias.copy_(torch.randn_like(ours.modulation.bias))
        plain.modulation.bias.copy_(ours.modulation.bias)


@pytest.mark.parametrize(
    ("size", "demodulate", "up"), [(3, True, False), (3, True, True), (1, False, False)]
)
def test_modulated_convolution_equals_the_plain_twin(size, demodulate, up):
    """Values, gradients by everything, and the gradient of a gradient's length."""
    ours = ModulatedConvolution(6, 5, size, 7, demodulate=demodulate, up=up)
    plain = PlainModulated(6, 5, size, 7, demodulate, up)
    same_weights(ours, plain)
    x, style = torch.randn(3, 6, 8, 8), torch.randn(3, 7)
    found = []
    for network in (ours, plain):
        inputs = [x.clone().requires_grad_(), style.clone().requires_grad_()]
        y = network(*inputs)
        gradients = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        length = sum(one.square().sum() for one in gradients)
        second = torch.autograd.grad(length, [network.weight, network.modulation.weight, *inputs])
        found.append([y, *gradients, *(one.reshape(-1) for one in second)])
    for mine, other in zip(*found, strict=True):
        scale = float(other.detach().abs().max())
        torch.testing.assert_close(mine / scale, other / scale, **TOLERANCE)


def test_modulated_convolution_adds_and_scales():
    network = ModulatedConvolution(4, 5, 3, 6)
    x, style, addition = torch.randn(2, 4, 8, 8), torch.randn(2, 6), torch.randn(2, 5, 8, 8)
    torch.testing.assert_close(
        network(x, style, addition, 1.5), 1.5 * network(x, style) + addition, **TOLERANCE
    )


def test_demodulated_output_has_unit_variance():
    network = ModulatedConvolution(64, 32, 3, 8)
    for factor in (0.01, 1.0, 100.0):  # whatever the styles' scale
        y = network(torch.randn(2, 64, 16, 16), factor * torch.randn(2, 8))
        assert 0.9 < float(y[..., 1:-1, 1:-1].detach().std()) < 1.1


def test_demodulation_is_of_float32_under_autocast():
    network, style = ModulatedConvolution(32, 8, 3, 16), torch.randn(2, 16)
    exact = network.scales(style)
    with bfloat16():
        found = network.scales(style)
        y = network(torch.randn(2, 32, 4, 4), style)
    for mine, other in zip(found, exact, strict=True):
        assert mine.dtype == torch.float32
        torch.testing.assert_close(mine, other, rtol=0, atol=0)
    assert y.dtype == torch.bfloat16


def test_styled_convolution_by_its_equation():
    network = StyledConvolution(4, 6, 5, up=True)
    torch.nn.init.normal_(network.bias)
    x, style = torch.randn(2, 4, 4, 4), torch.randn(2, 5)
    y = network.convolution(x, style) + network.bias[:, None, None]
    expected = torch.where(y > 0, y, 0.2 * y) * math.sqrt(2)
    torch.testing.assert_close(network(x, style), expected, **TOLERANCE)


def test_to_rgb_equals_the_plain_twin_and_sums_in_float32():
    ours, plain = ToRGB(6, 5), PlainToRGB(6, 5, first=False)
    same_weights(ours.convolution, plain.conv)
    x, style, below = torch.randn(2, 6, 8, 8), torch.randn(2, 5), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(ours(x, style, below), plain(x, style, below), **TOLERANCE)
    with bfloat16():
        picture = ours(torch.zeros_like(x).bfloat16(), style, below)
    assert picture.dtype == torch.float32
    torch.testing.assert_close(picture, Smoothing().up(below), **TOLERANCE)


@pytest.mark.parametrize("gain", [1.0, GAIN])
def test_equal_linear_equals_the_plain_twin(gain):
    ours = EqualLinear(6, 4, bias=0.3, multiplier=0.01, activation=True, gain=gain)
    plain = PlainLinear(6, 4, 0.3, 0.01, 0.2, gain)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(3, 6)
    torch.testing.assert_close(ours(x), plain(x), **TOLERANCE)
    assert float(ours.weight.std()) > 30  # of 1 / 0.01


def test_equal_convolution_by_its_equation():
    network = EqualConvolution(3, 4, 3, gain=GAIN)
    torch.nn.init.normal_(network.bias)
    x = torch.randn(1, 3, 5, 5)
    y = torch.nn.functional.conv2d(x, network.weight / math.sqrt(27), network.bias, padding=1)
    torch.testing.assert_close(
        network(x), torch.nn.functional.leaky_relu(y, 0.2) * GAIN, **TOLERANCE
    )


def test_mapping_network_normalises_and_has_the_published_scale():
    """Without the gain styles are 0.06 at the start, with it about 1 (specification of GIF)."""
    codes = torch.randn(64, 512)
    torch.testing.assert_close(
        PixelNorm()(codes), codes / codes.square().mean(1, keepdim=True).sqrt(), **TOLERANCE
    )
    for gain, least, most in ((1.0, 0.04, 0.08), (GAIN, 0.7, 1.3)):
        mapping = MappingNetwork(512, gain=gain)
        assert sum(one.numel() for one in mapping.parameters()) == 2_101_248
        styles = mapping(codes)
        assert least < float(styles.std()) < most
        torch.testing.assert_close(mapping(3 * codes), styles, **TOLERANCE)


def test_mapping_network_is_of_float32_under_autocast():
    mapping, codes = MappingNetwork(16, 4), torch.randn(3, 16)
    exact = mapping(codes)
    with bfloat16():
        found = mapping(codes)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0, atol=0)


def test_widths():
    published = channel_widths(256, (32_768, 512), "system.generator")
    assert published == {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}
    assert channel_widths(16, {"4": 8, "8": 6, "16": 4, "32": 2}, "x") == {4: 8, 8: 6, 16: 4}
    for resolution in (0, 8, 24, 2048):
        with pytest.raises(ConfigError, match=r"a power of two from 16 to 1024") as error:
            channel_widths(resolution, (64, 8), "system.generator")
        assert error.value.where == "system.generator.resolution"
    with pytest.raises(ConfigError, match="none for 8") as error:
        channel_widths(16, {4: 8, 16: 8}, "system.generator")
    assert error.value.where == "system.generator.widths"
