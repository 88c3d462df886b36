"""GDPW's losses, each against its equation written out."""

from __future__ import annotations

import pytest
import torch
from helpers.networks import TwoLayers
from torch import nn
from torch.nn import functional as F

from facemorph.errors import ConfigError, DataError
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.networks.features.vgg import LAYERS_19, VGG
from facemorph.systems.gdpw.discriminator import GDPWDiscriminator
from facemorph.systems.gdpw.generator import GDPWGenerator
from facemorph.systems.gdpw.guidance import Guidance
from facemorph.systems.gdpw.losses import (
    NAMES,
    GDPWLoss,
    published_perceptual,
    scale_flow,
    style_distance,
    warped_pairs,
)
from facemorph.systems.gdpw.warping import smoothed_at_stride, warp

PUBLISHED = dict(zip(NAMES, (10, 10, 0, 1, 10, 10, 0, 1, 10, 0), strict=True))


@pytest.fixture
def setting():
    """Output of a small generator with both pictures, and the networks."""
    network = GDPWGenerator("geom_disp", (3, 4, 5)).eval()
    source, target = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    output = network(source, Guidance(0.2 * torch.randn(2, 2, 16, 16)))
    features = TwoLayers()
    distance = PerceptualDistance(features, "absolute", {"first": 1.0, "second": 1.0})
    discriminator = GDPWDiscriminator(width=4, layers=2).eval()
    return output, source, target, discriminator, distance


def weights(**given):
    return {f"{name}_weight": given.get(name, 0.0) for name in NAMES}


def features_apart(network, pairs):
    """Mean absolute differences, summed over pairs and layers."""
    total = 0.0
    for mine, other in pairs:
        found, wanted = network(mine), network(other)
        total = total + sum((found[name] - wanted[name]).abs().mean() for name in found)
    return total


def grams_apart(network, pairs):
    """By single entries of the Gram matrices."""
    total = 0.0
    for mine, other in pairs:
        found, wanted = network(mine), network(other)
        for name, one in found.items():
            size = one[0].numel()
            difference = torch.einsum("bchw,bdhw->bcd", one, one) - torch.einsum(
                "bchw,bdhw->bcd", wanted[name], wanted[name]
            )
            total = total + (difference / size).abs().mean()
    return total


def expected_terms(output, source, target, discriminator, network):
    """All terms without their weights, from the paper's equations."""
    pyramid = [
        (smoothed_at_stride(output.picture, s), smoothed_at_stride(target, s)) for s in (1, 2, 4, 8)
    ]
    warps = []
    for stride, flow in output.flows.items():
        small, wanted = (F.avg_pool2d(one, stride) for one in (source, target))
        warps.append((warp(small, flow), wanted))
    real = discriminator(target)
    terms = {
        "reconstruction": (output.picture - target).abs().mean(),
        "perceptual": features_apart(network, pyramid),
        "style": grams_apart(network, pyramid),
        "warp_perceptual": features_apart(network, warps),
        "warp_style": grams_apart(network, warps),
        "scale_flow": ((F.avg_pool2d(output.flows[1], 2) - output.flows[2]) ** 2).mean(),
    }
    for prefix, picture in (("", output.picture), ("warp_", output.warped)):
        fake = discriminator(picture)
        terms[f"{prefix}adversarial"] = ((1 - fake.scores) ** 2).mean()
        terms[f"{prefix}feature_matching"] = sum(
            (one - other).abs().mean()
            for one, other in zip(fake.features, real.features, strict=True)
        )
    return terms


@pytest.mark.parametrize("name", NAMES)
def test_each_term_by_its_equation(setting, name):
    output, source, target, discriminator, distance = setting
    loss = GDPWLoss(distance, **weights(**{name: 3.0}))
    found = loss.generator(output, source, target, discriminator)
    assert set(found) == {name, "total"}
    expected = expected_terms(output, source, target, discriminator, distance.network)[name]
    torch.testing.assert_close(found[name], 3 * expected)
    torch.testing.assert_close(found["total"], 3 * expected)
    assert float(expected.detach()) > 0


def test_published_weights(setting):
    output, source, target, discriminator, distance = setting
    loss = GDPWLoss(distance)
    assert loss.weights == PUBLISHED
    found = loss.generator(output, source, target, discriminator)
    terms = expected_terms(output, source, target, discriminator, distance.network)
    expected = sum(PUBLISHED[name] * one for name, one in terms.items())
    torch.testing.assert_close(found["total"], expected)
    assert set(found) == {name for name, weight in PUBLISHED.items() if weight} | {"total"}


def test_discriminator_by_its_equation(setting):
    output, _, target, discriminator, distance = setting
    real = discriminator(target).scores
    judged = {"result": output.picture, "warp": output.warped}
    found = GDPWLoss(distance).discriminator(output, target, discriminator)
    hinged = GDPWLoss(distance, "hinge").discriminator(output, target, discriminator)
    for name, picture in judged.items():
        fake = discriminator(picture).scores
        torch.testing.assert_close(found[name], ((1 - real) ** 2 + fake**2).mean())
        expected = ((1 - real).clamp(min=0) + (1 + fake).clamp(min=0)).mean()
        torch.testing.assert_close(hinged[name], expected)
    torch.testing.assert_close(found["total"], found["result"] + found["warp"])


def test_hinge_of_the_generator(setting):
    output, source, target, discriminator, _ = setting
    loss = GDPWLoss(adversarial="hinge", **weights(adversarial=2.0, warp_adversarial=1.0))
    found = loss.generator(output, source, target, discriminator)
    expected = -2 * discriminator(output.picture).scores.mean()
    torch.testing.assert_close(found["adversarial"], expected)
    expected = -discriminator(output.warped).scores.mean()
    torch.testing.assert_close(found["warp_adversarial"], expected)


def test_steps_give_gradients_to_their_own_network():
    network = GDPWGenerator("geom_disp", (3, 4, 5))
    discriminator = GDPWDiscriminator(width=4, layers=2)
    source, target = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    output = network(source, Guidance(0.2 * torch.randn(2, 2, 16, 16)))
    loss = GDPWLoss(PerceptualDistance(TwoLayers(), "absolute"))
    loss.discriminator(output, target, discriminator)["total"].backward()
    assert all(one.grad is None for one in network.parameters())
    assert all(one.grad is not None for one in discriminator.parameters())
    for one in discriminator.parameters():
        one.grad = None
        one.requires_grad_(False)
    loss.generator(output, source, target, discriminator)["total"].backward()
    assert all(one.grad is None for one in discriminator.parameters())
    moving = [one for one in network.parameters() if one.requires_grad]
    assert all(one.grad is not None for one in moving)
    assert not [one for one in loss.parameters() if one.requires_grad]


def test_the_discriminator_sees_only_what_is_judged(setting):
    output, source, target, discriminator, _ = setting
    calls = []

    def counting(images):
        calls.append(images)
        return discriminator(images)

    GDPWLoss(**weights(reconstruction=1.0)).generator(output, source, target, counting)
    assert not calls
    alone = GDPWLoss(**weights(adversarial=1.0))
    assert set(alone.discriminator(output, target, counting)) == {"result", "total"}
    assert len(calls) == 2
    calls.clear()
    GDPWLoss(**weights(adversarial=1.0, warp_feature_matching=1.0)).generator(
        output, source, target, counting
    )
    assert len(calls) == 3  # real once, result, warp
    with pytest.raises(ConfigError, match="discriminator"):
        GDPWLoss(**weights(reconstruction=1.0)).discriminator(output, target, counting)


def test_warped_pairs_leave_out_the_coarsest(setting):
    output, source, target, _, _ = setting
    assert set(warped_pairs(source, target, output)) == {1, 2}
    flows = {**output.flows, 32: torch.zeros(2, 2, 1, 1), 16: torch.zeros(2, 2, 1, 1)}
    pairs = warped_pairs(source, target, output._replace(flows=flows))
    assert set(pairs) == {1, 2, 16}
    assert pairs[1][0] is output.warped
    torch.testing.assert_close(pairs[16][0][..., 0, 0], source.mean((2, 3)))


def test_warped_pairs_use_the_networks_grid(setting):
    output, source, target, _, _ = setting
    still = output._replace(flows={1: torch.zeros(2, 2, 16, 16), 2: torch.zeros(2, 2, 8, 8)})
    small = F.avg_pool2d(source, 2)
    torch.testing.assert_close(warped_pairs(source, target, still)[2][0], small)
    found = warped_pairs(source, target, still._replace(published_grid=True))[2][0]
    torch.testing.assert_close(found[..., 0, 0], small[..., 0, 0] / 4)


def test_equal_flows_are_consistent():
    flow = torch.ones(1, 2, 8, 8)
    assert float(scale_flow({1: flow, 2: flow[..., ::2, ::2], 4: flow[..., ::4, ::4]})) == 0
    assert float(scale_flow({1: flow, 4: 3 * flow[..., ::4, ::4]})) == pytest.approx(4)
    assert float(scale_flow({1: flow})) == 0


def test_style_of_shifted_pictures():
    """Without padding, Gram matrices do not see where things are."""
    network = nn.Conv2d(3, 4, 1)
    images = torch.rand(1, 3, 8, 8)
    named = lambda one: {"only": network(one)}  # noqa: E731
    assert float(style_distance(named, images, images.flip(3)).detach()) < 1e-6
    assert float(style_distance(named, images, 1 - images).detach()) > 1e-3


def test_published_distance_adds_five_layers_up():
    network = VGG(19, LAYERS_19)
    distance = published_perceptual(network)
    x, y = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        found = distance(x, y)
        terms = [(network(x)[name] - network(y)[name]).abs().mean((1, 2, 3)) for name in LAYERS_19]
    torch.testing.assert_close(found, torch.stack(terms).sum(0))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "perceptual"),
        ({**weights(reconstruction=-1.0)}, "reconstruction_weight"),
        ({**weights(reconstruction=1.0), "adversarial": "logistic"}, "logistic"),
        ({**weights(reconstruction=1.0), "pyramid": 0}, "pyramid"),
        (weights(), "all weights"),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ConfigError, match=named):
        GDPWLoss(**options)


def test_wrong_shapes_are_named(setting):
    output, source, target, discriminator, _ = setting
    loss = GDPWLoss(**weights(reconstruction=1.0))
    with pytest.raises(DataError, match="target"):
        loss.generator(output, source, target[:1], discriminator)
    with pytest.raises(DataError, match="source"):
        loss.generator(output, source[..., :8], target, discriminator)
