"""The flows of FLOWING against independent computations: scipy, the group on the lifted space, the
losses.
"""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from facemorph.fields.warps.conjugate_flow import NeuralConjugateFlow
from facemorph.fields.warps.neural_ode import NeuralODEWarp
from facemorph.ops.jets import Jet
from facemorph.systems.ifmorph.flowing_losses import ConjugateFlowLoss, NeuralODELoss


@pytest.fixture
def ode():
    return NeuralODEWarp((12, 10), 6.0, output_scale=0.7).double()


@pytest.fixture
def conjugate():
    return NeuralConjugateFlow((9,), 5.0, couplings=2, generator_scale=5.0).double()


def points(count=15):
    return torch.rand(count, 2, dtype=torch.float64) * 1.6 - 0.8


@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1.0), (1.0, 0.0), (0.5, 0.0), (0.2, 0.7)])
def test_the_ode_against_scipy(ode, t0, t1):
    xy = points()

    def velocity(_, flat):
        with torch.no_grad():
            return ode.velocity(torch.from_numpy(flat.reshape(-1, 2))).value.numpy().ravel()

    exact = (
        solve_ivp(velocity, (t0, t1), xy.numpy().ravel(), rtol=1e-11, atol=1e-12)
        .y[:, -1]
        .reshape(-1, 2)
    )
    errors = []
    for steps in (8, 16, 32):
        ode.steps = steps
        with torch.no_grad():
            errors.append(np.abs(ode(xy, t0, t1).numpy() - exact).max())
    assert errors[0] < 1e-3
    assert errors[1] < errors[0] / 8  # order four: a sixteenth, but for the higher terms
    assert errors[2] < errors[1] / 8


def by_hand(flow, xy, duration):
    """Both copies of one point, from the definition, with scipy's matrix exponential."""

    def coupled(coupling, one, two, sign):
        order = [(0, 1), (1, 0)] if sign > 0 else [(1, 0), (0, 1)]
        halves = [one, two]
        for changed, other in order:
            network = coupling.networks[changed]
            weights = [layer.weight.detach().numpy() for layer in network.layers]
            biases = [layer.bias.detach().numpy() for layer in network.layers]
            hidden = np.sin(5.0 * (weights[0] @ halves[other] + biases[0]))
            halves[changed] = halves[changed] + sign * 0.1 * (weights[1] @ hidden + biases[1])
        return halves

    first = second = xy
    for coupling in flow.couplings:
        first, second = coupled(coupling, first, second, 1)
    generator = np.zeros((5, 5))
    generator[:4, :4], generator[:4, 4] = flow.matrix.detach().numpy(), flow.offset.detach().numpy()
    moved = expm(duration * generator) @ np.concatenate([first, second, [1.0]])
    first, second = moved[:2], moved[2:4]
    for coupling in reversed(flow.couplings):
        first, second = coupled(coupling, first, second, -1)
    return np.concatenate([first, second])


def test_the_conjugate_flow_by_hand(conjugate):
    xyt = torch.cat([points(), torch.rand(15, 1, dtype=torch.float64) * 2 - 1], 1)
    found = conjugate.lifted(xyt).value.detach().numpy()
    for row, copies in zip(xyt.numpy(), found, strict=True):
        np.testing.assert_allclose(copies, by_hand(conjugate, row[:2], row[2]), atol=1e-12)


def test_on_the_lifted_space_the_conjugate_flow_is_exact(conjugate):
    """H^-1 exp(tA) H: inverse and composition to rounding, for any weights."""

    def flow(copies, duration):
        first, second = copies[:, :2], copies[:, 2:]
        for coupling in conjugate.couplings:
            first, second = (jet.value for jet in coupling(Jet(first), Jet(second)))
        moved = conjugate.affine(
            torch.cat([first, second], 1), torch.full((len(copies),), duration).double()
        )
        return conjugate.lower(moved).value

    copies = torch.rand(20, 4, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        there = flow(copies, 0.8)
        assert float((there - copies).abs().max()) > 0.01
        torch.testing.assert_close(flow(there, -0.8), copies, rtol=0, atol=1e-12)
        torch.testing.assert_close(flow(flow(copies, 0.3), 0.5), there, rtol=0, atol=1e-12)
        # On the plane, where the mean of the copies is taken, it is not one.
        xy = points()
        back = conjugate(conjugate(xy, 0.0, 1.0), 1.0, 0.0)
        assert float((back - xy).abs().max()) > 1e-6


def test_the_loss_of_the_ode_by_hand(ode):
    still, source, target = points(7), points(5), points(5)
    terms = NeuralODELoss(3.0, 0.5)(ode, still, torch.zeros(0, 3), source, target)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda p: ode.velocity(p[None]).value[0]))(still)
    smooth = sum(float((j**2).sum()) for j in jacobians) / 7
    gap = (
        sum(
            float(((ode(p[None], 0.0, 0.5) - ode(q[None], 1.0, 0.5)) ** 2).sum())
            for p, q in zip(source, target, strict=True)
        )
        / 5
    )
    assert float(terms["matching"]) == pytest.approx(gap, rel=1e-12)
    assert float(terms["smoothness"]) == pytest.approx(smooth, rel=1e-12)
    assert float(terms["total"]) == pytest.approx(3 * gap + 0.5 * smooth, rel=1e-12)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_loss_of_the_conjugate_flow_by_hand(conjugate, share):
    source, target = points(4), points(4)
    moving = torch.cat([points(6), torch.rand(6, 1, dtype=torch.float64) * 2 - 1], 1)
    times = (0.0, 0.5, 1.0)
    terms = ConjugateFlowLoss(2.0, 3.0, 5.0, times, share)(
        conjugate, points(3), moving, source, target
    )

    def copies(point, duration):
        return by_hand(conjugate, point.numpy(), duration).reshape(2, 2)

    gaps, spreads = [], []
    for time in times:
        for p, q in zip(source, target, strict=True):
            ahead, behind = copies(p, time), copies(q, time - 1)
            gaps.append((ahead.mean(0) - behind.mean(0)) ** 2)
            spreads += [ahead.var(0, ddof=1), behind.var(0, ddof=1)]
    own = [copies(row[:2], float(row[2])).var(0, ddof=1) for row in moving]
    data, diagonal = np.mean(gaps), np.mean(spreads) + share * np.mean(own)
    bending = np.mean([float((second(conjugate, row) ** 2).mean()) for row in moving])
    assert float(terms["data"]) == pytest.approx(data, rel=1e-9)
    assert float(terms["diagonal"]) == pytest.approx(diagonal, rel=1e-9)
    assert float(terms["thin_plate"]) == pytest.approx(bending, rel=1e-9)
    assert float(terms["total"]) == pytest.approx(
        (400 * 2 * data + 3 * diagonal + 5 * bending) / 9, rel=1e-9
    )


def second(flow, row):
    """Second derivatives ``(2, 3, 3)`` of both outputs at one row."""
    return torch.stack(
        [
            torch.autograd.functional.hessian(lambda r, c=c: flow.advance(r[None]).value[0, c], row)
            for c in range(2)
        ]
    )
