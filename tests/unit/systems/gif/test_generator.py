"""GIF's generator: published counts and start, the plain twin, conditions, styles, precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from facemorph.errors import ConfigError, DataError
from facemorph.systems.gif.generator import (
    ConditionInjection,
    GIFGenerator,
    condition_pyramid,
    truncate,
)

WIDTHS = {4: 16, 8: 12, 16: 8}


def count(module):
    return sum(one.numel() for one in module.parameters())


def small(**changes):
    options = {"resolution": 16, "widths": WIDTHS, "num_codes": 9, "style_size": 10}
    return GIFGenerator(**{**options, "mapping_layers": 2, **changes})


def inputs(batch=2, channels=6, size=16):
    return torch.arange(batch), torch.rand(batch, channels, size, size) * 2 - 1


def test_published_counts():
    with torch.device("meta"):
        network = GIFGenerator()
    assert count(network) == 31_243_505
    assert count(network.mapping) == 2_101_248
    assert network.constant.numel() == 8_192
    assert count(network.layers[0].injection) == 114_380
    assert count(network.pictures[0]) == 264_195
    assert network.num_layers == 13
    assert tuple(network.codes.shape) == (69_158, 512)
    assert "codes" not in dict(network.named_parameters())
    with torch.device("meta"):
        assert count(GIFGenerator(condition_channels=3).layers[0].injection) == (
            6 * 3 * 9 + 6 + 12 * 6 * 9 + 12 + 512 * 12 * 9 + 512
        )
        dead = count(GIFGenerator(1024)) - 31_243_505
    assert dead > 0


def test_every_size_is_made():
    for resolution in (16, 32, 64):
        network = small(resolution=resolution, widths=(64, 6))
        assert network(*inputs()).shape == (2, 3, resolution, resolution)


def test_shapes_without_memory():
    """The largest size, where only shapes are computed."""
    with torch.device("meta"):
        network = GIFGenerator(1024, num_codes=4)
        pictures = network(torch.randn(2, 512), torch.zeros(2, 6, 256, 256))
    assert pictures.shape == (2, 3, 1024, 1024)


def test_injection_starts_as_published():
    injection = ConditionInjection(6, 64)
    weights = torch.cat(
        [one.flatten() for name, one in injection.named_parameters() if "weight" in name]
    )
    assert float(weights.detach().std()) == pytest.approx(0.01, rel=0.05)
    for name, one in injection.named_parameters():
        if "bias" in name:
            assert one.tolist() == pytest.approx([1e-4] * len(one))


def test_injection_by_its_equation():
    injection, condition = ConditionInjection(3, 5), torch.randn(2, 3, 8, 8)
    for parameter in injection.parameters():
        torch.nn.init.normal_(parameter)
    bias = torch.randn(5)
    x = condition
    for layer in (injection.first, injection.second):
        x = F.conv2d(x, layer.weight, layer.bias, padding=1).clamp(min=0)
    x = F.conv2d(x, injection.last.weight, injection.last.bias, padding=1)
    expected = 1.5 * (x + bias[:, None, None])
    torch.testing.assert_close(injection(condition, bias, 1.5), expected, rtol=1e-5, atol=1e-3)


def test_pyramid_without_antialias_is_point_samples():
    """At a sixteenth of the size the four pixels around each cell's centre are averaged."""
    conditions = torch.randn(1, 2, 64, 64)
    found = condition_pyramid(conditions, [4, 64], antialias=False)
    centres = torch.arange(4) * 16 + 7
    expected = sum(
        conditions[:, :, centres + down][:, :, :, centres + right]
        for down in (0, 1)
        for right in (0, 1)
    )
    torch.testing.assert_close(found[0], expected / 4)
    assert found[1] is conditions


def test_pyramid_with_antialias_sees_all_pixels():
    conditions = torch.zeros(1, 1, 64, 64, requires_grad=True)
    for antialias, share in ((True, 1.0), (False, 1 / 64)):
        (small_one,) = condition_pyramid(conditions, [4], antialias)
        (gradient,) = torch.autograd.grad(small_one.sum(), conditions)
        assert float((gradient != 0).float().mean()) == pytest.approx(share)


def test_pyramid_is_made_once(monkeypatch):
    calls = []
    real = F.interpolate
    monkeypatch.setattr(F, "interpolate", lambda *a, **k: calls.append(a[1]) or real(*a, **k))
    small()(*inputs(size=32))
    assert calls == [(4, 4), (8, 8), (16, 16)]


def test_conditions_and_codes_matter():
    network, (numbers, conditions) = small(), inputs()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    pictures = network(numbers, conditions)
    assert not torch.allclose(pictures, network(numbers, -conditions))
    assert not torch.allclose(pictures, network(numbers + 1, conditions))
    torch.testing.assert_close(pictures, network(network.codes[numbers], conditions))
    torch.testing.assert_close(pictures[1:], network(numbers[1:], conditions[1:]))


def test_table_frozen_or_trained():
    assert "codes" in small().state_dict()
    network = small(train_codes=True)
    network(*inputs()).sum().backward()
    touched = network.codes.grad.abs().sum(1) > 0
    assert touched.tolist() == [True, True] + [False] * 7


def test_styles_of_each_layer():
    network, (numbers, conditions) = small(), inputs()
    styles = network.styles(numbers)
    assert network.num_layers == 5
    one_each = styles[:, None].repeat(1, 5, 1)
    expected = network.synthesis(styles, conditions)
    torch.testing.assert_close(network.synthesis(one_each, conditions), expected)
    one_each = one_each.detach().requires_grad_()
    network.synthesis(one_each, conditions).square().sum().backward()
    assert (one_each.grad.abs().sum((0, 2)) > 0).all()
    with pytest.raises(DataError, match="styles has the wrong shape"):
        network.synthesis(one_each[:, :4], conditions)


def test_mapping_gain():
    torch.manual_seed(1)
    plain = small()
    torch.manual_seed(1)
    gained = small(mapping_gain="sqrt2")
    codes = torch.randn(3, 10)
    # with biases of zero the network is homogeneous in the gain: once for each of two layers
    torch.testing.assert_close(gained.styles(codes), 2 * plain.styles(codes))
    torch.testing.assert_close(
        small(mapping_gain=1.41421).mapping.layers[0].gain, math.sqrt(2), rtol=0, atol=0
    )
    for wrong in (2.0, "root"):
        with pytest.raises(ConfigError, match="expected 1 or sqrt2") as error:
            small(mapping_gain=wrong)
        assert error.value.where == "system.generator.mapping_gain"


def test_truncation():
    network, (numbers, conditions) = small(), inputs()
    mean = network.mean_style()
    torch.testing.assert_close(mean, network.styles(torch.arange(9)).mean(0))
    torch.testing.assert_close(
        network(numbers, conditions, truncation=0.0),
        network.synthesis(mean.expand(2, -1), conditions),
    )
    styles = network.styles(numbers)
    half = mean + (styles - mean) / 2
    torch.testing.assert_close(
        network(numbers, conditions, truncation=0.5, mean_style=mean),
        network.synthesis(half, conditions),
    )
    torch.testing.assert_close(truncate(styles[:, None], mean, 1.0)[:, 0], styles)


def test_vector_form():
    network = small(vector=7)
    assert network.layers[0].injection is None
    numbers, vector = torch.arange(2), torch.randn(2, 7)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    styles = network.styles(numbers, vector)
    # w = MLP([n(z), n(MLP(parameters))]), layer by layer
    features = network.parameter_features(vector)
    z = network.codes[numbers]
    x = torch.cat([one / one.square().mean(1, keepdim=True).sqrt() for one in (z, features)], 1)
    for layer in network.mapping.layers:
        weight, bias = layer.weight * 0.01 / layer.weight.shape[1] ** 0.5, layer.bias * 0.01
        x = F.leaky_relu(x @ weight.t() + bias, 0.2)
    torch.testing.assert_close(styles, x, rtol=1e-4, atol=1e-6)
    assert network(numbers, vector).shape == (2, 3, 16, 16)
    mean = torch.stack([network.mean_style(one) for one in vector])
    torch.testing.assert_close(network(numbers, vector, truncation=0.0), network.synthesis(mean))
    with pytest.raises(ConfigError, match="expected a vector"):
        network.styles(numbers)
    with pytest.raises(ConfigError, match="expected no pictures"):
        network.synthesis(styles, torch.zeros(2, 6, 16, 16))
    with pytest.raises(ConfigError, match="expected pictures as conditions"):
        small().synthesis(styles)
    with pytest.raises(ConfigError, match="expected no vector"):
        small().styles(numbers, vector)


def test_bfloat16_stays_near_and_pictures_are_float32():
    network, (numbers, conditions) = small(), inputs()
    exact = network(numbers, conditions)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        styles, pictures = network.styles(numbers), network(numbers, conditions)
    torch.testing.assert_close(styles, network.styles(numbers), rtol=0, atol=0)
    assert pictures.dtype == torch.float32
    assert float(((pictures - exact).norm() / exact.norm()).detach()) < 0.02


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"resolution": 20}, "resolution"),
        ({"resolution": 2048}, "resolution"),
        ({"widths": {4: 8, 8: 8}}, "widths"),
        ({"condition_channels": 0}, "condition_channels"),
        ({"num_codes": 0}, "num_codes"),
        ({"style_size": 0}, "style_size"),
        ({"mapping_layers": 0}, "mapping_layers"),
        ({"vector": 0}, "vector"),
    ],
)
def test_wrong_configs_name_their_key(changes, key):
    with pytest.raises(ConfigError) as error:
        small(**changes)
    assert error.value.where == f"system.generator.{key}"


def test_wrong_shapes():
    network, (numbers, conditions) = small(), inputs()
    with pytest.raises(DataError, match="conditions has the wrong shape"):
        network(numbers, conditions[:, :3])
    with pytest.raises(DataError, match="codes has the wrong shape"):
        network(torch.zeros(2, 4), conditions)
