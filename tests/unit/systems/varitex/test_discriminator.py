"""VariTex's discriminator: published count and sizes, gradients, a layer by its equation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from facemorph.errors import ConfigError, DataError
from facemorph.networks.spectral import SpectralConvolution
from facemorph.systems.varitex.discriminator import VariTexDiscriminator


def test_published_count_and_sizes():
    with torch.device("meta"):
        network = VariTexDiscriminator()
        outputs = network(torch.zeros(1, 3, 256, 256))
    counts = [sum(one.numel() for one in scale.parameters()) for scale in network.scales]
    assert counts == [2_763_841, 2_763_841]
    assert [[tuple(one.shape[1:3]) for one in output.features] for output in outputs] == [
        [(64, 129), (128, 65), (256, 33), (512, 34)],
        [(64, 65), (128, 33), (256, 17), (512, 18)],
    ]
    assert [tuple(output.scores.shape) for output in outputs] == [(1, 1, 35, 35), (1, 1, 19, 19)]


def test_a_layer_by_its_equation():
    network, images = (
        VariTexDiscriminator(width=4, layers=2, scales=1).eval(),
        torch.randn(2, 3, 16, 16),
    )
    (output,) = network(images)
    layers = network.scales[0]
    first = F.leaky_relu(F.conv2d(images, layers[0][0].weight, layers[0][0].bias, 2, 2), 0.2)
    torch.testing.assert_close(output.features[0], first)
    weight = layers[1][0].weight
    made = F.conv2d(first, weight / torch.linalg.matrix_norm(weight.flatten(1), 2), None, 1, 2)
    mean, variance = made.mean((2, 3), keepdim=True), made.var((2, 3), keepdim=True, unbiased=False)
    second = F.leaky_relu((made - mean) / (variance + 1e-5).sqrt(), 0.2)
    torch.testing.assert_close(output.features[1], second, atol=1e-2, rtol=1e-2)
    expected = F.conv2d(output.features[1], layers[2].weight, layers[2].bias, 1, 2)
    torch.testing.assert_close(output.scores, expected)


def test_the_second_scale_sees_half_of_the_size():
    network, images = VariTexDiscriminator(width=4, layers=3).eval(), torch.randn(2, 3, 17, 24)
    network.scales[1].load_state_dict(network.scales[0].state_dict())
    smaller = F.avg_pool2d(images, 3, 2, 1, count_include_pad=False)
    expected = network(smaller)[0].scores
    torch.testing.assert_close(network(images)[1].scores, expected)


@pytest.mark.parametrize("kind", ["instance", "batch", "none"])
def test_gradients_reach_every_weight(kind):
    """Regression: a norm without a spectral one cannot be asked for, so that none is missing."""
    network = VariTexDiscriminator(width=4, layers=3, normalisation=kind)
    outputs = network(torch.randn(2, 3, 16, 16))
    sum(one.scores.square().mean() for one in outputs).backward()
    assert all(bool(one.grad.abs().max() > 0) for one in network.parameters())
    spectral = [one for one in network.modules() if isinstance(one, SpectralConvolution)]
    assert len(spectral) == 4
    assert all(one.bias is None for one in spectral)


def test_conditions_are_further_channels():
    network = VariTexDiscriminator(channels_in=6, width=4, layers=2)
    assert network(torch.randn(1, 6, 16, 16))[0].scores.shape[:2] == (1, 1)


def test_evaluation_changes_nothing():
    network = VariTexDiscriminator(width=4).eval()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    network(torch.randn(2, 3, 16, 16))
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"width": 0}, "width"),
        ({"layers": 0}, "layers"),
        ({"scales": 0}, "scales"),
        ({"channels_in": 0}, "channels_in"),
        ({"normalisation": "group"}, "normalisation"),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ConfigError, match=named):
        VariTexDiscriminator(**options)


def test_wrong_pictures_are_named():
    network = VariTexDiscriminator(width=4)
    with pytest.raises(DataError, match="pictures"):
        network(torch.zeros(1, 4, 16, 16))
    with pytest.raises(ConfigError, match="4 pixels"):
        network(torch.zeros(1, 3, 3, 16))
