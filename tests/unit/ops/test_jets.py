"""Jets of sine networks: shapes, orders, types, errors, chain rule, training and compilation."""

import pytest
import torch

from facemorph.errors import DataError, GeometryError
from facemorph.fields.siren import Siren
from facemorph.fields.warps.siren_warp import SirenWarp
from facemorph.ops.jets import (
    Jet,
    autograd_jet,
    compose,
    pairs_of,
    seed,
    sine_network_jet,
    unpack_symmetric,
)


def network(inputs=3, outputs=2, hidden=(7, 5), omega=4.0, omega_hidden=3.0, dtype=torch.float64):
    return Siren(inputs, outputs, hidden, omega, omega_hidden).to(dtype)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("hidden", [(6,), (6, 5), (6, 5, 4), (6, 5, 4, 3)])
def test_shapes_and_what_lies_above_the_order(order, hidden):
    jet = network(3, 2, hidden)(torch.rand(11, 3, dtype=torch.float64), order=order)
    assert jet.value.shape == (11, 2)
    assert (jet.jacobian is None) == (order < 1)
    assert (jet.hessian is None) == (order < 2)
    if order >= 1:
        assert jet.jacobian.shape == (11, 2, 3)
    if order == 2:
        assert jet.hessian.shape == (11, 2, 3, 3)


def test_lower_orders_are_the_same_numbers():
    field, x = network(), torch.rand(9, 3, dtype=torch.float64)
    jets = [field(x, order=order) for order in (0, 1, 2)]
    assert torch.equal(jets[0].value, jets[1].value)
    assert torch.equal(jets[0].value, jets[2].value)
    torch.testing.assert_close(jets[1].jacobian, jets[2].jacobian, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_that_of_the_weights(dtype):
    jet = network(dtype=dtype)(torch.rand(4, 3, dtype=dtype), order=2)
    assert {part.dtype for part in jet} == {dtype}


def test_single_precision_is_near_double():
    field, x = (
        network(omega=24.0, omega_hidden=24.0),
        torch.rand(50, 3, dtype=torch.float64) * 2 - 1,
    )
    exact = field(x, order=2)
    rough = field.float()(x.float(), order=2)
    for name in Jet._fields:
        one, two = getattr(exact, name), getattr(rough, name).double()
        assert float(((one - two).norm() / one.norm()).detach()) < 1e-4, name


def test_no_points_give_empty_jets():
    jet = network()(torch.zeros(0, 3, dtype=torch.float64), order=2)
    assert jet.hessian.shape == (0, 2, 3, 3)


@pytest.mark.parametrize("order", [-1, 3, 1.5])
def test_other_orders_are_refused(order):
    with pytest.raises(GeometryError, match="up to the second"):
        network()(torch.rand(2, 3, dtype=torch.float64), order=order)


@pytest.mark.parametrize("shape", [(3,), (4, 2), (2, 4, 3)])
def test_points_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="wrong shape"):
        network()(torch.rand(shape, dtype=torch.float64))


def test_weights_of_another_depth_are_refused():
    weights = [torch.rand(4, 3), torch.rand(2, 4)]
    with pytest.raises(ValueError, match="zip"):
        sine_network_jet(torch.rand(1, 3), weights, [torch.rand(4), torch.rand(2)], [1.0, 1.0], 2)


def test_the_seed_is_the_identity():
    x = torch.rand(5, 3)
    jet = seed(x, 2)
    assert torch.equal(jet.value, x)
    assert torch.equal(jet.jacobian, torch.eye(3).expand(5, 3, 3))
    assert not jet.hessian.any()
    assert seed(x, 0).jacobian is None
    assert seed(x, 1).hessian is None


def test_packing_of_symmetric_matrices():
    assert pairs_of(3) == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    full = torch.rand(4, 2, 3, 3)
    full = full + full.mT
    packed = torch.stack([full[..., p, q] for p, q in pairs_of(3)])
    assert torch.equal(unpack_symmetric(packed, 3), full)


@pytest.mark.parametrize("order", [1, 2])
def test_chain_rule_of_two_networks(order):
    inner, outer = network(3, 2), network(2, 4, (6,))
    x = torch.rand(8, 3, dtype=torch.float64)
    first = inner(x, order=order)
    ours = compose(outer(first.value, order=order), first)
    plain = autograd_jet(lambda points: outer(inner(points).value).value, x, order)
    for one, two in zip(ours, plain, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-11)


def test_chain_rule_takes_the_lower_order():
    inner, outer = network(3, 2), network(2, 4)
    x = torch.rand(3, 3, dtype=torch.float64)
    first = inner(x, order=1)
    both = compose(outer(first.value, order=2), first)
    assert both.jacobian is not None
    assert both.hessian is None
    assert compose(outer(first.value, order=0), first).jacobian is None


def test_composition_with_the_identity_changes_nothing():
    field, x = network(), torch.rand(6, 3, dtype=torch.float64)
    jet = field(x, order=2)
    after, before = compose(jet, seed(x, 2)), compose(seed(jet.value, 2), jet)
    for name in Jet._fields:
        torch.testing.assert_close(getattr(after, name), getattr(jet, name), rtol=0, atol=1e-14)
        torch.testing.assert_close(getattr(before, name), getattr(jet, name), rtol=0, atol=1e-14)


def test_autograd_jet_of_a_function_that_ignores_its_input():
    jet = autograd_jet(lambda x: x.new_ones(len(x), 2), torch.rand(3, 2), 2)
    assert jet.hessian.shape == (3, 2, 2, 2)
    assert not jet.jacobian.any()
    assert not jet.hessian.any()


def test_autograd_jet_works_without_gradient_mode():
    with torch.no_grad():
        jet = autograd_jet(lambda x: (x**3).sum(1, keepdim=True), torch.tensor([[2.0, 1.0]]), 2)
    torch.testing.assert_close(jet.jacobian[0, 0], torch.tensor([12.0, 3.0]))
    torch.testing.assert_close(jet.hessian[0, 0].diagonal(), torch.tensor([12.0, 6.0]))


@pytest.mark.parametrize("hidden", [(5,), (5, 4), (4, 4, 3)])
def test_gradcheck_of_value_jacobian_and_hessian(hidden):
    field = network(2, 2, hidden, 2.0, 2.0)
    x = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    layers = list(field.layers)
    weights = [layer.weight.detach().requires_grad_() for layer in layers]
    biases = [layer.bias.detach().requires_grad_() for layer in layers]

    def jets(points, *parameters):
        half = len(weights)
        return tuple(
            sine_network_jet(points, parameters[:half], parameters[half:], field.omegas, 2)
        )

    assert torch.autograd.gradcheck(jets, (x, *weights, *biases), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_jets_and_their_weight_gradients(backend):
    field, x = network(3, 2, (12, 10), 10.0, 8.0, torch.float32), torch.rand(20, 3)

    def energy(points):
        jet = field(points, order=2)
        return (
            jet.hessian.square().mean() + jet.jacobian.square().mean() + jet.value.square().mean()
        )

    plain = energy(x)
    expected = torch.autograd.grad(plain, list(field.parameters()))
    torch._dynamo.reset()
    fast = torch.compile(energy, backend=backend, fullgraph=True)(x)
    found = torch.autograd.grad(fast, list(field.parameters()))
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5 * float(two.abs().max()) + 1e-7)


def test_hidden_frequency_defaults_to_the_first():
    assert Siren(2, 3, (4, 4, 4), 30.0).omegas == [30.0, 30.0, 30.0]
    assert Siren(2, 3, (4, 4, 4), 40.0, 30.0).omegas == [40.0, 30.0, 30.0]


def test_published_size_of_the_warp():
    assert (
        sum(p.numel() for p in SirenWarp().parameters())
        == 3 * 128 + 128 + 128 * 128 + 128 + 128 * 2 + 2
        == 17282
    )


def test_initial_weights_are_in_the_published_ranges():
    field = Siren(3, 2, (400, 400), 24.0, 12.0)
    first, second, last = field.layers
    bound = (6 / 400) ** 0.5 / 12
    for tensor, limit in (
        (first.weight, 1 / 3),
        (second.weight, bound),
        (last.weight, bound),
        (first.bias, 3**-0.5),
        (second.bias, 0.05),
        (last.bias, 0.05),
    ):
        assert float(tensor.detach().abs().max()) <= limit
        if tensor.numel() > 100:
            assert float(tensor.detach().abs().max()) > 0.95 * limit
            assert abs(float(tensor.detach().mean())) < 0.1 * limit
