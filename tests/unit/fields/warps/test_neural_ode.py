"""Neural ODE and neural conjugate flow: identity, inverse, jets, losses, and how they are
trained.
"""

import math

import pytest
import torch

from facemorph.errors import ConfigError
from facemorph.faces.pair import prepare_pair
from facemorph.fields.warps.conjugate_flow import NeuralConjugateFlow, add_jets, mean_of_copies
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.neural_ode import NeuralODEWarp
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, with_duration
from facemorph.fields.warps.warp import TrainableWarp, Warp
from facemorph.ops.frames import Frame
from facemorph.ops.jets import Jet, autograd_jet
from facemorph.systems.ifmorph.flowing_losses import (
    ConjugateFlowLoss,
    LiftedWarp,
    NeuralODELoss,
    VelocityWarp,
)
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.losses import NeuralMorphingLoss
from facemorph.systems.ifmorph.system import NeuralWarp

MAKERS = {
    "ode": lambda: NeuralODEWarp((16, 16), 8.0, output_scale=1.0),
    "conjugate": lambda: NeuralConjugateFlow((12,), 6.0, generator_scale=4.0),
}
LOSSES = {"ode": NeuralODELoss, "conjugate": ConjugateFlowLoss}


def points(count=40, dtype=torch.float64):
    return torch.rand(count, 2, dtype=dtype) * 1.6 - 0.8


@pytest.fixture(params=MAKERS)
def name(request):
    return request.param


@pytest.fixture
def warp(name):
    return MAKERS[name]().double()


def test_identity_at_equal_times(warp):
    xy = points()
    for time in (0.0, 0.3, 1.0):
        assert torch.equal(warp(xy, time, time), xy)
    assert float((warp(xy, 0.0, 1.0) - xy).detach().norm(dim=1).max()) > 0.01


def test_only_the_duration_counts(warp):
    xy = points()
    torch.testing.assert_close(warp(xy, 0.0, 0.5), warp(xy, 0.5, 1.0), rtol=0, atol=1e-12)


def test_protocols_and_types(name):
    warp = MAKERS[name]()
    assert isinstance(warp, Warp)
    assert isinstance(warp, VelocityWarp) == (name == "ode")
    assert isinstance(warp, TrainableWarp) == isinstance(warp, LiftedWarp) == (name == "conjugate")
    assert warp(points(dtype=torch.float32), 0.0, 1.0).dtype == torch.float32
    assert len(warp(torch.zeros(0, 2), 0.0, 1.0)) == 0


def test_training_begins_near_the_identity():
    xy = points(200, torch.float32)
    assert float((NeuralODEWarp()(xy, 0.0, 1.0) - xy).detach().abs().max()) < 0.05
    assert float((NeuralConjugateFlow()(xy, 0.0, 1.0) - xy).detach().abs().max()) < 0.1


def test_the_ode_is_invertible_and_composes():
    warp, xy = MAKERS["ode"]().double(), points()
    fine = NeuralODEWarp((16, 16), 8.0, steps=64).double()
    fine.load_state_dict(warp.state_dict())
    with torch.no_grad():
        for one, bar in ((warp, 2e-3), (fine, 2e-7)):
            assert float((one(one(xy, 0.0, 1.0), 1.0, 0.0) - xy).norm(dim=1).max()) < bar
            assert (
                float((one(one(xy, 0.0, 0.4), 0.4, 1.0) - one(xy, 0.0, 1.0)).norm(dim=1).max())
                < bar
            )


def test_steps_follow_the_duration():
    warp, seen = NeuralODEWarp((4,), steps=8), []
    network = warp.network.forward
    warp.network.forward = lambda xy, *, order=0: seen.append(1) or network(xy, order=order)
    for duration, steps in ((0.0, 0), (0.125, 1), (-0.5, 4), (0.51, 5), (1.0, 8)):
        seen.clear()
        warp.transport(points(3, torch.float32), duration)
        assert len(seen) == 4 * steps


def test_the_matrix_exponential_is_computed_once_for_each_time(monkeypatch):
    warp, sizes = NeuralConjugateFlow((4,)), []
    real = torch.matrix_exp
    monkeypatch.setattr(torch, "matrix_exp", lambda m: sizes.append(len(m)) or real(m))
    warp(points(500, torch.float32), 0.0, 0.5)
    times = torch.tensor([0.25, 0.5, 0.75]).repeat(100)
    warp.lifted(with_duration(points(300, torch.float32), times), order=2)
    assert sizes == [1, 3]


def test_coupling_and_its_way_back_are_exact():
    warp, xy = MAKERS["conjugate"]().double(), points()
    lifted = warp.lift(xy)
    assert float((lifted.value - torch.cat([xy, xy], 1)).detach().abs().max()) > 0.01
    torch.testing.assert_close(warp.lower(lifted).value, torch.cat([xy, xy], 1), rtol=0, atol=1e-12)
    jet = warp.lower(warp.lift(xy, order=2))  # of the identity, twice
    torch.testing.assert_close(
        jet.jacobian, torch.eye(2).double().repeat(2, 1).expand(40, 4, 2), rtol=0, atol=1e-12
    )
    assert float(jet.hessian.detach().abs().max()) < 1e-9


@pytest.mark.parametrize("order", [0, 1, 2])
def test_lifted_jets_are_those_of_autograd(order):
    warp = MAKERS["conjugate"]().double()
    xyt = torch.rand(9, 3, dtype=torch.float64) * 2 - 1
    for function in (warp.lifted, warp.advance):
        plain = autograd_jet(lambda rows, function=function: function(rows).value, xyt, order)
        for one, two in zip(function(xyt, order=order), plain, strict=True):
            assert (one is None) == (two is None)
            if one is not None:
                torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_velocity_jets_are_those_of_autograd(order):
    warp, xy = MAKERS["ode"]().double(), points(9)
    plain = autograd_jet(lambda p: warp.velocity(p).value, xy, order)
    for one, two in zip(warp.velocity(xy, order=order), plain, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-11)


def test_sums_of_jets_have_the_lower_order():
    value, jacobian, hessian = torch.ones(2, 1), torch.ones(2, 1, 2), torch.ones(2, 1, 2, 2)
    total = add_jets(Jet(value, jacobian, hessian), Jet(value, jacobian), -3.0)
    assert total.hessian is None
    assert torch.equal(total.value, -2 * value)
    assert torch.equal(total.jacobian, -2 * jacobian)
    assert torch.equal(
        mean_of_copies(Jet(torch.tensor([[1.0, 2.0, 3.0, 6.0]]))).value, torch.tensor([[2.0, 4.0]])
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: NeuralODEWarp(steps=0),
        lambda: NeuralConjugateFlow(couplings=0),
        lambda: NeuralODEWarp((), 1.0),
        lambda: NeuralConjugateFlow((8,), -1.0),
        lambda: ConjugateFlowLoss(times=()),
    ],
)
def test_impossible_options(make):
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (NeuralODELoss, ResidualSirenWarp),
        (NeuralODELoss, NeuralConjugateFlow),
        (ConjugateFlowLoss, NeuralODEWarp),
        (ConjugateFlowLoss, ResidualSirenWarp),
        (NeuralMorphingLoss, NeuralODEWarp),
    ],
)
def test_a_loss_of_another_warp_is_refused(loss, kind):
    xy = points(4, torch.float32)
    with pytest.raises(ConfigError, match="cannot train this warp") as raised:
        loss()(kind(), xy, with_duration(xy, 0.5), xy, xy)
    assert "experiment" in raised.value.remedy


def test_the_paper_s_loss_trains_the_conjugate_flow_too():
    xy = points(4, torch.float32)
    total = NeuralMorphingLoss()(NeuralConjugateFlow((8,)), xy, with_duration(xy, 0.5), xy, xy)[
        "total"
    ]
    total.backward()
    assert math.isfinite(float(total.detach()))


def test_every_parameter_is_trained(name):
    warp, xy = MAKERS[name](), points(12, torch.float32)
    LOSSES[name]()(warp, xy, with_duration(xy, torch.linspace(-1, 1, 12)), xy, xy + 0.1)[
        "total"
    ].backward()
    # The velocity's last bias moves all points alike: it counts in the matching, not in the
    # Jacobian.
    assert all(p.grad is not None and bool(p.grad.any()) for p in warp.parameters())


@pytest.fixture(scope="module")
def pair(samples):
    return prepare_pair(*samples, size=64)


@pytest.mark.slow
def test_training_through_the_system(pair, name):
    """A few steps through the one system bring both landmark sets together; the inverse error is
    reported.
    """
    torch.manual_seed(0)
    warp = NeuralODEWarp((32, 32), 12.0) if name == "ode" else NeuralConjugateFlow((32,), 12.0)
    system = NeuralWarp(warp, LOSSES[name](), learning_rate=5e-3)
    data = LandmarkPair.of(pair, num_samples=64)
    system.take_pair(data)
    system.log_dict = lambda *_, **__: None
    before = system.quality(coarse=True)
    optimizer = torch.optim.Adam(warp.parameters(), lr=5e-3)
    for step in range(60):
        optimizer.zero_grad()
        system.training_step(
            data.make_batch(torch.Generator().manual_seed(step), step), step
        ).backward()
        optimizer.step()
    after = system.quality(coarse=True)
    assert after["alignment_px"] < 0.5 * before["alignment_px"]
    assert after["landmark_error_px"] < 0.5 * before["landmark_error_px"]
    assert after["fold_over_percent"] == 0
    if name == "ode":
        assert after["inverse_error_max_px"] < 0.05
    else:
        assert 0 < after["inverse_error_px"] < 5  # no flow on the plane: measured, not assumed
    assert torch.equal(system.render(0.0), pair.image_a)


@pytest.mark.parametrize("frame", [Frame(64, 64), Frame(40, 80)])
def test_dense_maps_through_the_lattice(warp, frame):
    warp = warp.float()
    with torch.no_grad():
        fast, exact = dense_map(warp, frame, 0.5, 0.0), dense_map(warp, frame, 0.5, 0.0, nodes=None)
    assert float((fast - exact).norm(dim=-1).max()) * 256 < 0.1
