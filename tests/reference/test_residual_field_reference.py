"""The residual displacement field against autograd of the plain composition, one network
at a time.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facemorph.systems.imface.field import ImFaceField
from facemorph.systems.imface.residual_field import ResidualField

KINDS = ("sine", "film")


def made(network="sine", expression=True, motion="se3", local="separate", seed=0):
    """A base field and a residual field that are not at their start, in float64, points near the
    surface and codes.
    """
    torch.manual_seed(seed)
    field = ImFaceField(
        torch.randn(68, 3) * 0.3, motion=motion, local=local, code=8, hidden=16, layers=1
    ).double()
    residual = ResidualField(5, 10, network, hidden=12, layers=2).double()
    nn.init.normal_(field.template.tensors[-2], std=0.02)
    nn.init.normal_(residual.networks.tensors[-2], std=0.3)
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 60, 3, generator=generator, dtype=torch.float64) - 0.5
    identity, shown, detail = (
        torch.randn(2, size, generator=generator, dtype=torch.float64) for size in (8, 8, 10)
    )
    return field, residual, x, identity, shown if expression else None, detail


def plain_values(field, residual, x, identity, expression, detail, network):
    """The composition as it is written, by autograd alone; networks evaluated one landmark at a
    time.
    """
    base = field(x, identity, expression, gradient=False)
    normal = torch.autograd.grad(base.distance.sum(), x, retain_graph=True)[0]
    normal = (normal / normal.norm(dim=-1, keepdim=True)).detach()
    parts = torch.stack(
        [
            plain_network(
                residual.networks,
                network,
                place,
                base.template - field.template.landmarks[:, place : place + 1],
                detail[:, 2 * place : 2 * place + 2],
            )
            for place in range(5)
        ],
        -1,
    )
    weights = residual.blend.fusion(base.template)[0]
    value = (weights * parts).sum(-1)
    delta = 0.05 * torch.tanh(value) / (1 + (base.distance / 0.02) ** 4)
    return delta, field(
        x + delta[..., None] * normal, identity, expression, gradient=False
    ).distance


def plain_network(networks, kind, place, relative, code):
    """Network number `place` at relative positions (B, N, 3) for its part of the code (B, C):
    values (B, N).
    """
    tensors = [tensor[0, place] for tensor in networks.tensors]
    layers = list(zip(tensors[::2], tensors[1::2], strict=True))
    x = relative
    if kind == "sine":
        x = torch.cat([x, code[:, None].expand(-1, x.shape[1], -1)], -1)
        for weight, bias in layers[:-1]:
            x = torch.sin(30 * nn.functional.linear(x, weight, bias))
    else:
        stages = []
        for weight, bias in zip(networks.weights, networks.biases, strict=True):
            layer = nn.Linear(weight.shape[2], weight.shape[1]).double()
            layer.weight, layer.bias = nn.Parameter(weight[place]), nn.Parameter(bias[place, 0])
            stages += [layer, nn.LeakyReLU(0.2)]
        said = nn.Sequential(*stages[:-1])(code)
        frequencies, phases = (
            (15 * said[:, : said.shape[1] // 2] + 30),
            said[:, said.shape[1] // 2 :],
        )
        width = len(layers[0][1])
        for index, (weight, bias) in enumerate(layers[:-1]):
            part = slice(index * width, (index + 1) * width)
            x = torch.sin(
                frequencies[:, None, part] * nn.functional.linear(x, weight, bias)
                + phases[:, None, part]
            )
    return nn.functional.linear(x, *layers[-1])[..., 0]


@pytest.mark.parametrize("network", KINDS)
@pytest.mark.parametrize("expression", [True, False])
@pytest.mark.parametrize(("motion", "local"), [("se3", "separate"), ("translation", "shared")])
def test_values_and_gradients_are_those_of_the_plain_composition(
    network, expression, motion, local
):
    field, residual, x, *codes = made(network, expression, motion, local)
    x = x.requires_grad_()
    delta, distance = plain_values(field, residual, x, *codes, network)
    expected = torch.autograd.grad(distance.sum(), x)[0]
    found = residual(field, x.detach(), *codes)
    assert float(delta.detach().abs().max()) > 1e-3  # details are there, and their share changes
    assert float((found.displacement - delta).detach().abs().max()) < 1e-10
    assert float((found.distance - distance).detach().abs().max()) < 1e-10
    assert float((found.gradient - expected).detach().abs().max()) < 1e-8
    quick = residual(field, x.detach(), *codes, gradient=False)
    assert quick.gradient is None
    assert torch.equal(quick.distance, found.distance)


def test_training_on_gradients_takes_one_backward_pass():
    """The eikonal loss's gradient for every parameter and code, against autograd's double
    backward.
    """
    field, residual, x, identity, expression, detail = made()
    leaves = [
        *residual.parameters(),
        *field.parameters(),
        *(code.requires_grad_() for code in (identity, expression, detail)),
    ]
    # Landmark networks and hyper-networks too: all of the base is trained in the cross-fade.
    ours = torch.autograd.grad(
        (residual(field, x, identity, expression, detail).gradient.norm(dim=-1) - 1).abs().mean(),
        leaves,
        allow_unused=True,
    )
    again = x.clone().requires_grad_()
    _, distance = plain_values(field, residual, again, identity, expression, detail, "sine")
    along = torch.autograd.grad(distance.sum(), again, create_graph=True)[0]
    plain = torch.autograd.grad((along.norm(dim=-1) - 1).abs().mean(), leaves, allow_unused=True)
    for pair in zip(ours, plain, strict=True):
        one, other = (torch.zeros(1) if item is None else item for item in pair)
        assert float((one - other).abs().max()) < 1e-7 * max(1.0, float(other.abs().max()))
