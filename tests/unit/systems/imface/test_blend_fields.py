"""Blend fields and hyper-networks: published counts, plain twins, and products against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facemorph.systems.imface.blend_fields import (
    BlendField,
    FusionNetwork,
    LocalNetworks,
    SharedLocalNetworks,
    sine_network,
    sine_products,
)
from facemorph.systems.imface.hyper_networks import FusedHyperNetwork, HyperNetwork, sine_shapes


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def random_tensors(shapes, batch, generator, dtype=torch.float64):
    return [
        torch.randn(batch, *shape, generator=generator, dtype=dtype) / (10 * shape[-1])
        for shape in shapes
    ]


@pytest.mark.parametrize(
    ("outputs", "numbers", "parameters"),
    [
        (6, 55_454, 7_483_806),
        (7, 56_099, 7_567_011),
        (3, 53_519, 7_234_191),
        (4, 54_164, 7_317_396),
    ],
)
def test_published_counts_of_the_hyper_networks(outputs, numbers, parameters):
    """Deformations and reference fields of both published variants: SE(3) 6 and 7 values,
    translation 3 and 4.
    """
    shapes = sine_shapes(15, 5 * outputs)
    assert len(shapes) == 10
    assert sum(int(torch.tensor(shape).prod()) for shape in shapes) == numbers
    assert count(HyperNetwork(128, shapes)) == parameters
    assert count(FusedHyperNetwork(128, shapes)) == 2 * (128 * 128 + 128) + 129 * numbers


def test_published_count_of_the_fusion_network():
    assert count(FusionNetwork(5)) == 18_191


def test_fusion_is_the_plain_stack():
    network = FusionNetwork(5)
    for norm in network.norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    plain = nn.Sequential(
        network.layers[0],
        network.norms[0],
        nn.LeakyReLU(),
        network.layers[1],
        network.norms[1],
        nn.LeakyReLU(),
        network.layers[2],
        network.norms[2],
        nn.Softmax(-1),
    )
    x = torch.randn(7, 3)
    weights, kept = network(x)
    assert torch.allclose(weights, plain(x), atol=1e-6)
    cotangent = torch.randn(7, 5)
    _, products = torch.func.vjp(plain, x)
    assert torch.allclose(network.products(kept, cotangent), products(cotangent)[0], atol=1e-5)


def test_sine_networks_are_the_plain_stack():
    generator = torch.Generator().manual_seed(0)
    tensors = random_tensors(sine_shapes(3, 4, 16, 2), 2, generator)
    x = torch.randn(2, 9, 3, generator=generator, dtype=torch.float64)

    def plain(x):
        for weight, bias in zip(tensors[:-2:2], tensors[1:-2:2], strict=True):
            x = torch.sin(30 * (torch.einsum("bni,boi->bno", x, weight) + bias[:, None]))
        return torch.einsum("bni,boi->bno", x, tensors[-2]) + tensors[-1][:, None]

    found, tape = sine_network(x, tensors)
    assert torch.allclose(found, plain(x), atol=1e-12)
    cotangent = torch.randn(2, 9, 4, generator=generator, dtype=torch.float64)
    _, products = torch.func.vjp(plain, x)
    assert torch.allclose(sine_products(tape, cotangent), products(cotangent)[0], atol=1e-10)


def test_shared_local_networks_are_one_network_of_all_relative_positions():
    generator = torch.Generator().manual_seed(1)
    local = SharedLocalNetworks(5, 6)
    tensors = random_tensors(sine_shapes(local.inputs, local.all_outputs, 16, 1), 2, generator)
    x = torch.randn(2, 8, 3, generator=generator, dtype=torch.float64)
    landmarks = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    relative = (x[:, :, None] - landmarks[:, None]).flatten(2)
    expected, _ = sine_network(relative, tensors)
    assert torch.allclose(local(x, landmarks, tensors)[0].flatten(2), expected, atol=1e-12)


def test_local_networks_see_their_own_landmark_only():
    generator = torch.Generator().manual_seed(2)
    local = LocalNetworks(3, 2)
    shapes = [(3, *shape) for shape in sine_shapes(local.inputs, local.all_outputs, 16, 1)]
    tensors = random_tensors(shapes, 2, generator)
    x = torch.randn(2, 8, 3, generator=generator, dtype=torch.float64)
    landmarks = torch.randn(2, 3, 3, generator=generator, dtype=torch.float64)
    found = local(x, landmarks, tensors)[0]
    assert found.shape == (2, 8, 3, 2)
    for number in range(3):
        alone, _ = sine_network(
            x - landmarks[:, number : number + 1], [tensor[:, number] for tensor in tensors]
        )
        assert torch.allclose(found[:, :, number], alone, atol=1e-12)
    moved = landmarks.clone()
    moved[:, 1] += 1
    other = local(x, moved, tensors)[0]
    assert torch.equal(other[:, :, [0, 2]], found[:, :, [0, 2]])
    assert not torch.equal(other[:, :, 1], found[:, :, 1])


@pytest.mark.parametrize("kind", [SharedLocalNetworks, LocalNetworks])
def test_products_of_a_blend_field_are_those_of_autograd(kind):
    generator = torch.Generator().manual_seed(3)
    local = kind(5, 4)
    shapes = sine_shapes(local.inputs, local.all_outputs, 16, 2)
    shapes = shapes if kind is SharedLocalNetworks else [(5, *shape) for shape in shapes]
    tensors = random_tensors(shapes, 2, generator)
    field = BlendField(local, 16).double()
    x = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    landmarks = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    cotangent = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    _, products = torch.func.vjp(lambda x: field(x, landmarks, tensors)[0], x)
    _, tape = field(x, landmarks, tensors)
    assert torch.allclose(field.products(tape, cotangent), products(cotangent)[0], atol=1e-10)


def test_one_backward_pass_through_products_is_the_double_backward():
    """The gradient of a loss on the gradient, along weights and points."""
    generator = torch.Generator().manual_seed(4)
    local = SharedLocalNetworks(2, 1)
    tensors = [
        tensor.requires_grad_()
        for tensor in random_tensors(
            sine_shapes(local.inputs, local.all_outputs, 12, 1), 1, generator
        )
    ]
    field = BlendField(local, 8).double()
    x = torch.randn(1, 5, 3, generator=generator, dtype=torch.float64)
    landmarks = torch.randn(1, 2, 3, generator=generator, dtype=torch.float64)
    value, tape = field(x, landmarks, tensors)
    ours = torch.autograd.grad(
        (field.products(tape, torch.ones_like(value)).norm(dim=-1) - 1).abs().sum(),
        [*tensors[:-1], *field.parameters()],
        allow_unused=True,
    )
    again = x.clone().requires_grad_()
    value, _ = field(again, landmarks, tensors)
    along = torch.autograd.grad(value.sum(), again, create_graph=True)[0]
    plain = torch.autograd.grad(
        (along.norm(dim=-1) - 1).abs().sum(),
        [*tensors[:-1], *field.parameters()],
        allow_unused=True,
    )
    for one, other in zip(ours, plain, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert torch.allclose(one, other, atol=1e-9)


def test_codes_make_weights_that_start_small_and_differ():
    torch.manual_seed(0)
    shapes = sine_shapes(15, 30)
    for kind in (HyperNetwork, FusedHyperNetwork):
        network = kind(128, shapes)
        codes = torch.randn(2, 128) * 0.01
        tensors = network(codes)
        assert [tuple(tensor.shape[1:]) for tensor in tensors] == [tuple(shape) for shape in shapes]
        assert float(tensors[2].detach().abs().max()) < 1.5 / 128  # the start of a sine network
        assert not torch.equal(tensors[0][0], tensors[0][1])
