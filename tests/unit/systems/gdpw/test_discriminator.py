"""GDPW's discriminator: published count and sizes, gradients, a layer by its equation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from facemorph.errors import ConfigError, DataError
from facemorph.systems.gdpw.discriminator import GDPWDiscriminator


def test_published_count_and_sizes():
    with torch.device("meta"):
        network = GDPWDiscriminator()
        output = network(torch.zeros(1, 3, 256, 256))
    assert sum(one.numel() for one in network.parameters()) == 695_201
    assert [tuple(one.shape[1:]) for one in output.features] == [
        (32, 128, 128),
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
    ]
    assert output.scores.shape == (1, 1, 17, 17)


def test_widths_end_at_512():
    with torch.device("meta"):
        network = GDPWDiscriminator(layers=6)
    assert [one.convolution.out_channels for one in network.layers] == [32, 64, 128, 256, 512, 512]


def test_a_layer_by_its_equation():
    network, images = GDPWDiscriminator(width=4, layers=1).eval(), torch.rand(2, 3, 16, 16)
    convolution, norm = network.layers[0].convolution, network.layers[0].normalisation
    original = convolution.weight
    largest = torch.linalg.matrix_norm(original.detach().flatten(1), 2)
    made = F.conv2d(images, original / largest, convolution.bias, padding=2)
    made = (made - norm.running_mean[:, None, None]) / (
        norm.running_var[:, None, None] + norm.eps
    ).sqrt()
    made = torch.where(made > 0, made, 0.1 * made).unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))
    output = network(images)
    torch.testing.assert_close(output.features[0], made, atol=1e-3, rtol=1e-3)
    expected = F.conv2d(output.features[0], network.score.weight, network.score.bias, padding=2)
    torch.testing.assert_close(output.scores, expected)


def test_gradients_reach_pictures_and_weights():
    network = GDPWDiscriminator(width=4, layers=3)
    images = torch.rand(2, 3, 32, 32, requires_grad=True)
    network(images).scores.square().mean().backward()
    assert float(images.grad.abs().max()) > 0
    for name, one in network.named_parameters():
        if not name.endswith("convolution.bias"):  # a batch norm takes them out
            assert float(one.grad.abs().max()) > 0, name


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="layers"):
        GDPWDiscriminator(layers=0)
    with pytest.raises(DataError, match="pictures"):
        GDPWDiscriminator(width=2)(torch.zeros(1, 4, 32, 32))
