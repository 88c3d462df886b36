"""Jets of sine networks against torch.func, nested autograd and finite differences."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from facemorph.fields.siren import Siren
from facemorph.ops.jets import autograd_jet, sine_network_jet

HIDDEN = [(9,), (9, 7), (8, 7, 6), (8, 7, 6, 5)]


class PlainSines(nn.Module):
    """Written from the equation alone: sin(w (W x + b)) layer by layer, for one point."""

    def __init__(self, sizes, omegas):
        super().__init__()
        self.omegas = omegas
        self.weights = nn.ParameterList(
            torch.randn(b, a, dtype=torch.float64) / a for a, b in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.randn(b, dtype=torch.float64) for b in sizes[1:])

    def forward(self, x):
        for weight, bias, omega in zip(self.weights, self.biases, self.omegas, strict=False):
            x = torch.sin(omega * (x @ weight.T + bias))
        return x @ self.weights[-1].T + self.biases[-1]


def make(hidden, inputs=3, outputs=2, omegas=(3.0, 2.0, 4.0, 1.5)):
    return PlainSines([inputs, *hidden, outputs], list(omegas[: len(hidden)]))


def ours(net, x, order=2):
    return sine_network_jet(x, list(net.weights), list(net.biases), net.omegas, order)


def relative(one, two):
    return float(((one - two).abs().max() / two.abs().max().clamp_min(1e-3)).detach())


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("inputs", [1, 2, 3])
@pytest.mark.parametrize("outputs", [1, 3])
def test_against_torch_func(hidden, inputs, outputs):
    net = make(hidden, inputs, outputs)
    x = torch.rand(6, inputs, dtype=torch.float64) * 2 - 1
    jet = ours(net, x)
    jacobian = torch.func.vmap(torch.func.jacrev(net))(x)
    hessian = torch.func.vmap(torch.func.hessian(net))(x)
    assert relative(jet.value, net(x)) < 1e-12
    assert relative(jet.jacobian, jacobian) < 1e-12
    assert relative(jet.hessian, hessian) < 1e-12


@pytest.mark.parametrize("hidden", HIDDEN)
def test_against_nested_autograd(hidden):
    net = make(hidden)
    x = torch.rand(20, 3, dtype=torch.float64) * 2 - 1
    jet, plain = ours(net, x), autograd_jet(net, x, 2)
    for one, two in zip(jet, plain, strict=True):
        assert relative(one, two) < 1e-12


def test_against_finite_differences():
    net, step = make((8, 7)), 1e-4
    x = torch.rand(4, 3, dtype=torch.float64)
    jet = ours(net, x)
    axes = np.eye(3) * step
    with torch.no_grad():
        for i in range(3):
            ahead, behind = (net(x + sign * torch.from_numpy(axes[i])) for sign in (1, -1))
            np.testing.assert_allclose(
                jet.jacobian[..., i].detach(), (ahead - behind) / (2 * step), atol=1e-5
            )
            for j in range(3):
                corners = [
                    net(x + a * torch.from_numpy(axes[i]) + b * torch.from_numpy(axes[j]))
                    for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))
                ]
                mixed = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
                np.testing.assert_allclose(jet.hessian[..., i, j].detach(), mixed, atol=2e-4)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("kind", ["frobenius", "laplacian", "mixed"])
def test_weight_gradients_of_losses_on_the_hessian(hidden, kind):
    net = make(hidden)
    x = torch.rand(7, 3, dtype=torch.float64)

    def loss(jet):
        if kind == "frobenius":
            return jet.hessian.square().mean()
        if kind == "laplacian":
            return jet.hessian.diagonal(dim1=-2, dim2=-1).sum(-1).square().sum()
        return (jet.hessian[..., 0, 1] * jet.jacobian[..., 2]).sum() + (jet.value**3).sum()

    parameters = list(net.parameters())
    found = torch.autograd.grad(loss(ours(net, x)), parameters, allow_unused=True)
    expected = torch.autograd.grad(loss(autograd_jet(net, x, 2)), parameters, allow_unused=True)
    for one, two in zip(found, expected, strict=True):
        if two is None:
            assert one is None or not one.any()
        else:
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_gradients_in_the_points():
    net = make((8, 7))
    x = torch.rand(7, 3, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(ours(net, x).hessian.square().sum(), x)
    (expected,) = torch.autograd.grad(autograd_jet(net, x, 2).hessian.square().sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_the_module_is_the_plain_network():
    field = Siren(2, 3, (8, 8, 8), 20.0, 10.0).double()
    plain = make((8, 8, 8), 2, 3, (20.0, 10.0, 10.0))
    with torch.no_grad():
        for index, layer in enumerate(field.layers):
            plain.weights[index].copy_(layer.weight)
            plain.biases[index].copy_(layer.bias)
    x = torch.rand(30, 2, dtype=torch.float64) * 2 - 1
    torch.testing.assert_close(field(x).value, plain(x), rtol=0, atol=1e-13)


def test_one_sine_by_hand():
    """sin(2 (3 x + 1)): derivative 6 cos, second derivative -36 sin."""
    one = torch.ones(1, 1, dtype=torch.float64)
    x = torch.tensor([[0.3]], dtype=torch.float64)
    jet = sine_network_jet(x, [3 * one, 5 * one], [one[0], 0.5 * one[0]], [2.0], 2)
    phase = 2 * (3 * 0.3 + 1)
    assert float(jet.value) == pytest.approx(5 * np.sin(phase) + 0.5, abs=1e-14)
    assert float(jet.jacobian) == pytest.approx(30 * np.cos(phase), abs=1e-13)
    assert float(jet.hessian) == pytest.approx(-180 * np.sin(phase), abs=1e-12)
