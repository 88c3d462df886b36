"""Discriminators: published counts, the plain twin, groups, precision, conditions, R1."""

from __future__ import annotations

import pytest
import torch

from facemorph.bench.plain.stylegan2 import PlainDiscriminator
from facemorph.errors import ConfigError, DataError
from facemorph.losses.adversarial import r1_penalty
from facemorph.networks.discriminators import (
    PatchDiscriminator,
    StyleGAN2Discriminator,
    minibatch_deviation,
)

WIDTHS = {4: 16, 8: 12, 16: 8}
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def count(module):
    return sum(one.numel() for one in module.parameters())


def pair():
    """Our discriminator and the plain twin with the same random weights, biases too."""
    ours = StyleGAN2Discriminator(16, 5, WIDTHS)
    plain = PlainDiscriminator(list(WIDTHS.values()), 5)
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
            mine.copy_(torch.randn_like(mine) * 0.7)
            other.copy_(mine.view_as(other))
    return ours, plain


def test_published_counts():
    with torch.device("meta"):
        network = StyleGAN2Discriminator(256, 9)
    assert count(network) == 28_864_897
    assert count(network.entry) == 1_280
    assert [count(block) for block in network.blocks] == [475_520, 1_901_312, *[4_981_760] * 4]
    assert count(network.last) == 2_364_416
    assert count(network.hidden) + count(network.score) == 4_195_329
    assert not network.state_dict().keys() - dict(network.named_parameters()).keys()


@pytest.mark.parametrize("batch", [2, 4, 8])
def test_equals_the_plain_twin(batch):
    ours, plain = pair()
    images = torch.randn(batch, 5, 16, 16)
    torch.testing.assert_close(ours(images), plain(images)[:, 0], **TOLERANCE)


def test_two_processes_have_the_groups_of_one():
    ours, _ = pair()
    images = torch.randn(8, 5, 16, 16)
    together = ours(images)
    for rank in range(2):
        torch.testing.assert_close(ours(images[rank::2]), together[rank::2], **TOLERANCE)


def test_gradients_and_r1_equal_the_plain_twin():
    ours, plain = pair()
    images = torch.randn(4, 5, 16, 16)
    found = []
    for network in (ours, plain):
        picture = images[:, :3].clone().requires_grad_()
        scores = network(torch.cat([picture, images[:, 3:]], 1)).flatten()
        penalty = r1_penalty(scores, picture)
        by_image = torch.autograd.grad(scores.sum(), picture, retain_graph=True)[0]
        network.zero_grad()
        (scores.square().mean() + penalty).backward()
        found.append(
            [penalty.detach(), by_image, *(one.grad.flatten() for one in network.parameters())]
        )
    for mine, other in zip(*found, strict=True):
        scale = float(other.abs().max()) + 1e-3
        torch.testing.assert_close(mine / scale, other / scale, **TOLERANCE)


def test_double_backward_by_finite_differences():
    network = StyleGAN2Discriminator(16, 1, {4: 2, 8: 2, 16: 2}, group=2).double()
    images = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    weight = network.blocks[0].second.weight

    def penalty():
        picture = images.clone().requires_grad_()
        return r1_penalty(network(picture), picture)

    (gradient,) = torch.autograd.grad(penalty(), weight)
    step, values = 1e-6, []
    for sign in (1, -1, 0):
        with torch.no_grad():
            weight[0, 1, 1, 1] += sign * step
        values.append(float(penalty().detach()))
        with torch.no_grad():
            weight[0, 1, 1, 1] -= sign * step
    assert float(gradient[0, 1, 1, 1]) == pytest.approx(
        (values[0] - values[1]) / (2 * step), rel=1e-4
    )


def test_minibatch_deviation_by_hand():
    x = torch.randn(4, 3, 2, 2)
    found = minibatch_deviation(x, 2)
    assert found.shape == (4, 4, 2, 2)
    torch.testing.assert_close(found[:, :3], x)
    for start in (0, 1):
        halves = (x[start] - x[start + 2]).abs() / 2
        torch.testing.assert_close(
            found[start::2, 3], halves.mean().expand(2, 2, 2), rtol=1e-4, atol=1e-4
        )


def test_minibatch_deviation_is_of_float32_under_autocast():
    """Values that bfloat16 cannot tell from their mean by subtraction of rounded squares."""
    x = (100 + torch.randn(4, 2, 3, 3)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = minibatch_deviation(x, 4)
    exact = (x.double().var(0, unbiased=False) + 1e-8).sqrt().mean()
    assert found.dtype == torch.bfloat16
    assert float(found[0, 2, 0, 0]) == pytest.approx(float(exact), rel=5e-3)


def test_scores_are_float32_under_autocast():
    network = StyleGAN2Discriminator(16, 3, WIDTHS)
    images = torch.randn(4, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(images)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, network(images), rtol=0.1, atol=0.1)


def test_batch_that_the_group_does_not_divide():
    network = StyleGAN2Discriminator(16, 3, WIDTHS)
    with pytest.raises(ConfigError, match=r"system\.discriminator\.group") as error:
        network(torch.zeros(6, 3, 16, 16))
    assert error.value.found == 6
    assert network(torch.zeros(3, 3, 16, 16)).shape == (3,)  # a small batch is one group


def test_projection_of_a_vector():
    network = StyleGAN2Discriminator(16, 3, WIDTHS, vector=7)
    images, vector = torch.randn(2, 3, 16, 16), torch.randn(2, 7)
    scores = network(images, vector)
    with torch.no_grad():
        network.projection[1].weight.zero_()
    unconditional = network(images, vector)
    assert not torch.allclose(scores, unconditional)
    # by hand: the score of the features plus their product with the vector's direction
    features = []
    network.hidden.register_forward_hook(lambda _m, _i, output: features.append(output))
    torch.nn.init.normal_(network.projection[1].weight)
    again = network(images, vector)
    direction = network.projection(vector)
    torch.testing.assert_close(
        again, unconditional + (features[0] * direction).sum(1) / 16**0.5, **TOLERANCE
    )
    with pytest.raises(ConfigError, match="expected a vector"):
        network(images)
    with pytest.raises(ConfigError, match="expected no vector"):
        StyleGAN2Discriminator(16, 3, WIDTHS)(images, vector)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"resolution": 48}, "resolution"),
        ({"resolution": 8}, "resolution"),
        ({"widths": {4: 8, 16: 8}}, "widths"),
        ({"widths": (64, 0)}, "widths"),
        ({"widths": (64,)}, "widths"),
        ({"channels_in": 0}, "channels_in"),
        ({"group": 0}, "group"),
        ({"vector": 0}, "vector"),
    ],
)
def test_wrong_configs_name_their_key(arguments, key):
    with pytest.raises(ConfigError) as error:
        StyleGAN2Discriminator(
            **{"resolution": 16, "channels_in": 3, "widths": WIDTHS, **arguments}
        )
    assert error.value.where == f"system.discriminator.{key}"


def test_pictures_of_another_size_are_refused():
    with pytest.raises(DataError, match="pictures with conditions has the wrong shape"):
        StyleGAN2Discriminator(16, 3, WIDTHS)(torch.zeros(1, 3, 32, 32))


def test_patches_of_several_scales():
    network = PatchDiscriminator(4, width=8, layers=2, scales=3)
    images = torch.randn(2, 4, 32, 32)
    outputs = network(images)
    assert [len(one.features) for one in outputs] == [3, 3, 3]
    assert [tuple(one.scores.shape) for one in outputs] == [
        (2, 1, 11, 11),
        (2, 1, 7, 7),
        (2, 1, 5, 5),
    ]
    assert [one.shape[1] for one in outputs[0].features] == [8, 16, 32]
    # samples do not depend on each other, and a call changes nothing
    torch.testing.assert_close(outputs[0].scores[:1], network(images[:1])[0].scores, **TOLERANCE)


def test_patches_see_patches():
    network = PatchDiscriminator(1, width=4, layers=2, scales=1)
    images = torch.randn(1, 1, 64, 64, requires_grad=True)
    scores = network(images)[0].scores
    (gradient,) = torch.autograd.grad(scores[0, 0, 9, 9], images)
    touched = gradient[0, 0].abs().sum(1).nonzero()
    assert int(touched.max() - touched.min()) + 1 == 34  # 4, then 4 + 2 * 3, 10 + 4 * 3, + 4 * 3


def test_patches_take_r1():
    network = PatchDiscriminator(1, width=4, layers=1, scales=2).double()
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    total = torch.stack([one.scores.mean((1, 2, 3)) for one in network(images)]).sum(0)
    r1_penalty(total, images).backward()
    weights = [one for name, one in network.named_parameters() if name.endswith("weight")]
    assert all(float(one.grad.abs().max()) > 0 for one in weights)


def test_patches_of_pictures_that_are_too_small():
    with pytest.raises(ConfigError, match="16 pixels a side"):
        PatchDiscriminator(3, layers=3, scales=2)(torch.zeros(1, 3, 8, 32))
    with pytest.raises(ConfigError) as error:
        PatchDiscriminator(3, scales=0)
    assert error.value.where == "system.discriminator.scales"
