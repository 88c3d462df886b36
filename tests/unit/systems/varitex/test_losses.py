"""VariTex's losses, each against its equation written out."""

from __future__ import annotations

import pytest
import torch
from helpers.networks import TwoLayers
from torch.distributions import Normal, kl_divergence

from facemorph.errors import ConfigError, DataError
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.networks.discriminators import PatchDiscriminator
from facemorph.networks.features.vgg import LAYERS_19, VGG
from facemorph.systems.varitex.discriminator import VariTexDiscriminator
from facemorph.systems.varitex.encoder import Posterior
from facemorph.systems.varitex.generator import VariTexGenerator, VariTexOutput
from facemorph.systems.varitex.losses import (
    ADVERSARIAL,
    NAMES,
    VariTexLoss,
    divergence,
    published_perceptual,
)
from facemorph.systems.varitex.spaces import normalised, pictures_of

PUBLISHED = dict(zip(NAMES, (1, 1, 1, 0.1, 2, 1, 0), strict=True))
SIDE = 16


@pytest.fixture
def setting():
    """What a generator might have made, the target, and the networks."""
    output = VariTexOutput(
        colours=torch.randn(2, 3, SIDE, SIDE),
        mask_scores=torch.randn(2, 1, SIDE, SIDE),
        texture=torch.randn(2, 4, 8, 8),
        face=torch.randn(2, 4, SIDE, SIDE),
        additive=torch.randn(2, 4, SIDE, SIDE),
        uv_mask=torch.rand(2, 1, SIDE, SIDE) > 0.4,
    )
    posterior = Posterior(torch.randn(2, 6), torch.randn(2, 6))
    picture, mask = torch.rand(2, 3, SIDE, SIDE), torch.rand(2, 1, SIDE, SIDE) > 0.5
    discriminator = VariTexDiscriminator(width=4, layers=3).eval()
    distance = PerceptualDistance(TwoLayers(), "absolute", {"first": 0.25, "second": 1.0})
    return output, posterior, picture, mask, discriminator, distance


def weights(**given):
    return {f"{name}_weight": given.get(name, 0.0) for name in NAMES}


def expected_terms(output, posterior, picture, mask, discriminator, network):
    """All terms without their weights, from the paper's equations and the released settings."""
    x, y = normalised(picture), output.colours
    real, fake = discriminator(x), discriminator(y)
    seen = output.uv_mask.expand_as(x)
    prior = Normal(torch.zeros(2, 6), torch.ones(2, 6))
    codes = Normal(posterior.mean, posterior.deviation)
    probable = output.mask_scores.sigmoid()
    wanted = mask.float()
    found, features = network(pictures_of(y)), network(picture)
    apart = {name: (found[name] - features[name]).abs().mean() for name in found}
    matches = [
        sum((a - b).abs().mean() for a, b in zip(mine.features, other.features, strict=True))
        for mine, other in zip(fake, real, strict=True)
    ]
    entropy = wanted * probable.log() + (1 - wanted) * (1 - probable).log()
    return {
        "adversarial": sum(((one.scores - 1) ** 2).mean() for one in fake) / 2,
        "feature_matching": sum(matches) / 2,
        "reconstruction": ((y - x) ** 2).mean(),
        "divergence": kl_divergence(prior, codes).mean(),
        "perceptual": 0.25 * apart["first"] + apart["second"],
        "segmentation": -entropy.mean(),
        "texture": (output.face[:, :3] - x)[seen].square().mean(),
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_term_by_its_equation(setting, name):
    *given, discriminator, distance = setting
    found = VariTexLoss(distance, **weights(**{name: 3.0})).generator(*given, discriminator, step=0)
    assert set(found) == {name, "total"}
    expected = expected_terms(*given, discriminator, distance.network)[name]
    torch.testing.assert_close(found[name], 3 * expected)
    torch.testing.assert_close(found["total"], 3 * expected)
    assert float(expected.detach()) > 0


def test_published_weights(setting):
    *given, discriminator, distance = setting
    loss = VariTexLoss(distance)
    assert loss.weights == PUBLISHED
    found = loss.generator(*given, discriminator, step=0)
    terms = expected_terms(*given, discriminator, distance.network)
    expected = sum(PUBLISHED[name] * one for name, one in terms.items())
    torch.testing.assert_close(found["total"], expected)
    assert set(found) == {name for name, weight in PUBLISHED.items() if weight} | {"total"}


def test_discriminator_by_its_equations(setting):
    output, _, picture, _, discriminator, _ = setting
    pairs = [
        (mine.scores, other.scores)
        for mine, other in zip(
            discriminator(normalised(picture)), discriminator(output.colours), strict=True
        )
    ]
    expected = {
        "least_squares": lambda x, y: 0.5 * (((x - 1) ** 2).mean() + (y**2).mean()),
        "logistic": lambda x, y: 0.5 * ((1 + (-x).exp()).log().mean() + (1 + y.exp()).log().mean()),
        "hinge": lambda x, y: 0.5 * ((1 - x).clamp(min=0).mean() + (1 + y).clamp(min=0).mean()),
        "wasserstein": lambda x, y: 0.5 * (y.mean() - x.mean()),
    }
    for kind in ADVERSARIAL:
        loss = VariTexLoss(None, kind, **weights(adversarial=3.0))
        found = loss.discriminator(output.colours, picture, discriminator)
        wanted = 3 * sum(expected[kind](*pair) for pair in pairs) / 2
        torch.testing.assert_close(found["adversarial"], wanted)
        assert set(found) == {"adversarial", "total"}


def test_adversarial_kinds_of_the_generator(setting):
    *given, discriminator, _ = setting
    scores = [one.scores for one in discriminator(given[0].colours)]
    expected = {
        "least_squares": lambda y: ((y - 1) ** 2).mean(),
        "logistic": lambda y: (1 + (-y).exp()).log().mean(),
        "hinge": lambda y: -y.mean(),
        "wasserstein": lambda y: -y.mean(),
    }
    for kind in ADVERSARIAL:
        loss = VariTexLoss(None, kind, **weights(adversarial=1.0))
        found = loss.generator(*given, discriminator, step=0)["adversarial"]
        torch.testing.assert_close(found, sum(expected[kind](one) for one in scores) / 2)


@pytest.mark.parametrize("direction", ["reverse", "forward"])
def test_divergences_are_torchs(direction):
    posterior = Posterior(torch.randn(3, 4), torch.randn(3, 4))
    prior = Normal(torch.zeros(3, 4), torch.ones(3, 4))
    codes = Normal(posterior.mean, posterior.deviation)
    pair = (prior, codes) if direction == "reverse" else (codes, prior)
    torch.testing.assert_close(divergence(posterior, direction), kl_divergence(*pair))


def test_the_released_divergence_is_the_reverse_of_a_vaes():
    """Regression: it costs most where codes are too narrow, the other where they are too wide."""
    zero = torch.zeros(1, 1)
    narrow, wide = Posterior(zero, zero - 4), Posterior(zero, zero + 4)
    reverse = [float(divergence(one, "reverse")) for one in (narrow, wide)]
    forward = [float(divergence(one, "forward")) for one in (narrow, wide)]
    assert reverse == pytest.approx(forward[::-1])
    assert reverse[0] > 10 * reverse[1]


def test_warm_up_of_the_divergence(setting):
    *given, discriminator, _ = setting
    always = VariTexLoss(**weights(divergence=1.0))
    whole = always.generator(*given, discriminator, step=0)["divergence"]
    rising = VariTexLoss(warm_up=10, **weights(divergence=1.0))
    shares = [
        float(rising.generator(*given, discriminator, step=step)["divergence"] / whole)
        for step in (0, 4, 10, 99)
    ]
    assert shares == pytest.approx([0, 0.4, 1, 1])


def test_free_bits_cost_nothing(setting):
    """Numbers whose mean divergence is below get no gradients; the others keep theirs."""
    output, _, *given, discriminator, _ = setting
    mean = torch.tensor([[0.1, 3.0], [-0.1, -3.0]], requires_grad=True)
    posterior = Posterior(mean, torch.zeros(2, 2))
    loss = VariTexLoss(direction="forward", free_bits=0.5, **weights(divergence=1.0))
    found = loss.generator(output, posterior, *given, discriminator, step=0)["divergence"]
    assert float(found.detach()) == pytest.approx((0.5 + 4.5) / 2)
    found.backward()
    assert mean.grad[:, 0].tolist() == [0, 0]
    assert float(mean.grad[:, 1].abs().min()) > 0


def test_steps_give_gradients_to_their_own_network():
    network = VariTexGenerator(
        SIDE, 8, 4, 3, 3, (4, 6), (5, 4), (5, 4, 4), renderer_width=4, renderer_levels=2
    )
    discriminator = VariTexDiscriminator(width=4, layers=3)
    picture, mask = torch.rand(2, 3, SIDE, SIDE), torch.rand(2, 1, SIDE, SIDE) > 0.5
    output, posterior = network(picture, torch.rand(2, 2, SIDE, SIDE), mask, torch.randn(2, 6))
    loss = VariTexLoss(PerceptualDistance(TwoLayers(), "absolute"), texture_weight=1.0)
    loss.discriminator(output.colours, picture, discriminator)["total"].backward()
    assert all(one.grad is None for one in network.parameters())
    assert all(one.grad is not None for one in discriminator.parameters())
    for one in discriminator.parameters():
        one.grad = None
        one.requires_grad_(False)
    terms = loss.generator(output, posterior, picture, mask, discriminator, step=0)
    assert set(terms) == {*NAMES, "total"}
    terms["total"].backward()
    assert all(one.grad is None for one in discriminator.parameters())
    assert all(one.grad is not None for one in network.parameters())
    assert not [one for one in loss.parameters() if one.requires_grad]


def test_real_pictures_keep_no_graph(setting):
    """Regression: the released code keeps the real branch's graph in the generator's step."""
    *given, discriminator, _ = setting
    kept = []

    def noting(colours):
        outputs = discriminator(colours)
        kept.append([one.scores.requires_grad for one in outputs])
        return outputs

    loss = VariTexLoss(**weights(adversarial=1.0, feature_matching=1.0))
    loss.generator(*given, noting, step=0)
    assert kept == [[False, False], [True, True]]


def test_the_discriminator_is_called_only_where_it_counts(setting):
    *given, _, _ = setting

    def refused(colours):
        raise AssertionError

    loss = VariTexLoss(**weights(reconstruction=1.0))
    assert not loss.judges
    loss.generator(*given, refused, step=0)
    for only in (loss, VariTexLoss(**weights(feature_matching=1.0))):
        with pytest.raises(ConfigError, match="adversarial_weight"):
            only.discriminator(given[0].colours, given[2], refused)


def test_conditional_discriminators_fit(setting):
    """The shared one sees conditions by way of the function that is given."""
    *given, _, _ = setting
    conditions = torch.rand(2, 3, SIDE, SIDE)
    network = PatchDiscriminator(6, 4, 2)
    loss = VariTexLoss(None, "logistic", **weights(adversarial=1.0, feature_matching=1.0))

    def judged(colours):
        return network(torch.cat([colours, conditions], 1))

    terms = loss.generator(*given, judged, step=0)
    assert set(terms) == {"adversarial", "feature_matching", "total"}
    found = loss.discriminator(given[0].colours, given[2], judged)
    found["total"].backward()
    assert all(one.grad is not None for one in network.parameters())


def test_no_mesh_in_sight_costs_no_texture(setting):
    output, *given, discriminator, _ = setting
    hidden = output._replace(uv_mask=torch.zeros_like(output.uv_mask))
    loss = VariTexLoss(**weights(texture=1.0))
    assert float(loss.generator(hidden, *given, discriminator, step=0)["total"]) == 0


def test_published_distance_weighs_five_layers():
    network = VGG(19, LAYERS_19)
    distance = published_perceptual(network)
    x, y = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        found = distance(x, y)
        apart = [(network(x)[name] - network(y)[name]).abs().mean((1, 2, 3)) for name in LAYERS_19]
    factors = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    expected = sum(factor * one for factor, one in zip(factors, apart, strict=True))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "perceptual"),
        (weights(reconstruction=-1.0), "reconstruction_weight"),
        ({**weights(reconstruction=1.0), "adversarial": "original"}, "original"),
        ({**weights(reconstruction=1.0), "direction": "both"}, "both"),
        ({**weights(divergence=1.0), "warm_up": -1}, "warm_up"),
        ({**weights(divergence=1.0), "free_bits": -0.1}, "free_bits"),
        (weights(), "all weights"),
    ],
)
def test_wrong_options_are_named(options, named):
    with pytest.raises(ConfigError, match=named):
        VariTexLoss(**options)


def test_wrong_shapes_are_named(setting):
    output, posterior, picture, mask, discriminator, _ = setting
    loss = VariTexLoss(**weights(reconstruction=1.0))
    with pytest.raises(DataError, match="picture"):
        loss.generator(output, posterior, picture[:1], mask, discriminator, step=0)
    with pytest.raises(DataError, match="mask"):
        loss.generator(output, posterior, picture, mask[..., :8], discriminator, step=0)
