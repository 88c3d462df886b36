"""The paper's loss against two twins: the plain one of the bench, and one written here by hand."""

import numpy as np
import pytest
import torch

from facemorph.bench.plain.morphing_loss import plain_neural_morphing_loss
from facemorph.faces.pair import FacePair
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp, with_duration
from facemorph.ops.jets import Jet
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.losses import NeuralMorphingLoss

TERMS = ("data", "identity", "inverse", "thin_plate", "total")
DEFAULT_TIMES = (0.25, 0.5, 0.75)
EXPERIMENT_TIMES = (0.16, 0.32, 0.5, 0.66, 0.82)


def make(kind=SirenWarp, dtype=torch.float64, hidden=(12, 10), omega=6.0):
    torch.manual_seed(5)
    return kind(hidden, omega).to(dtype)


def landmarks(dtype=torch.float64, count=9):
    source = torch.rand(count, 2, dtype=torch.float64) - 0.5
    return source.to(dtype), (source + 0.1 * torch.randn(count, 2, dtype=torch.float64)).to(dtype)


def paper_batch(dtype=torch.float64, num_samples=98):
    """Sampling of the paper: a fixed grid, durations with one exact 0 among them."""
    pair = FacePair(
        torch.zeros(3, 32, 32),
        torch.zeros(3, 32, 32),
        torch.zeros(5, 2),
        torch.zeros(5, 2),
        "points5",
    )
    data = LandmarkPair.of(pair, sampling="grid", num_samples=num_samples)
    batch = data.make_batch(torch.Generator().manual_seed(2), 0)
    assert int((batch["moving"][:, 2] == 0).sum()) == 1
    return batch["still"].to(dtype), batch["moving"].to(dtype)


def random_batch(dtype=torch.float64, count=30):
    return (torch.rand(count, 2, dtype=torch.float64) * 2 - 1).to(dtype), (
        torch.rand(count, 3, dtype=torch.float64) * 2 - 1
    ).to(dtype)


def plain(warp, still, moving, source, target, times):
    rows = torch.cat([with_duration(still, 0.0), moving])
    return plain_neural_morphing_loss(lambda p: warp.advance(p).value, rows, source, target, times)


def by_hand(warp, still, moving, source, target, times, detach):
    """From the specification of the authors' code: every row on its own, the Hessian by
    torch.func.
    """

    def psi(point, time):
        time = time if isinstance(time, torch.Tensor) else point.new_tensor(time)
        return warp.advance(torch.cat([point, time.reshape(1)])[None]).value[0]

    def stop(tensor):
        return tensor.detach() if detach else tensor

    rows = torch.cat([with_duration(still, 0.0), moving])
    identity, inverse, bending = [], [], []
    for row in rows:
        x, t = row[:2], row[2]
        moved = psi(x, t)
        hessian = torch.func.hessian(lambda r: psi(r[:2], r[2]))(row)
        bending.append((hessian**2).sum() / hessian.numel())
        if t == 0:
            identity.append(((moved - x) ** 2).sum())
        else:
            back, onward = psi(stop(moved), -t), psi(stop(moved), 1 - t)
            inverse.append(((back - x) ** 2).sum() + ((onward - psi(x, 1.0)) ** 2).sum())
    data = 0
    for p, q in zip(source, target, strict=True):
        data = data + 100 * ((psi(p, 1.0) - q) ** 2 + (psi(q, -1.0) - p) ** 2).sum()
        for t in times:
            ahead, behind = psi(p, t), psi(q, t - 1)
            data = data + 50 * ((ahead - behind) ** 2).sum()
            data = data + 20 * ((psi(stop(ahead), -t) - p) ** 2).sum()
            data = data + 20 * ((psi(stop(behind), 1 - t) - q) ** 2).sum()
    number = 2 * len(rows)
    terms = {
        "data": data / (2 * len(source)),
        "identity": sum(identity) / number,
        "inverse": sum(inverse) / number,
        "thin_plate": sum(bending) / len(rows),
    }
    terms["total"] = (
        1e4 * terms["data"]
        + 1e3 * terms["identity"]
        + 1e4 * terms["inverse"]
        + 1e3 * terms["thin_plate"]
    )
    return terms


def gradients(warp, value):
    found = torch.autograd.grad(
        value, list(warp.parameters()), allow_unused=True, retain_graph=True
    )
    return torch.cat(
        [
            torch.zeros_like(p).flatten() if g is None else g.flatten()
            for g, p in zip(found, warp.parameters(), strict=True)
        ]
    )


def relative(one, two):
    return float(((one - two).norm() / two.norm()).detach())


@pytest.mark.parametrize("kind", [SirenWarp, ResidualSirenWarp])
@pytest.mark.parametrize("times", [DEFAULT_TIMES, EXPERIMENT_TIMES, (), (0.5,)], ids=len)
@pytest.mark.parametrize("sampling", [paper_batch, random_batch])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_values_and_gradients_of_the_plain_twin(kind, times, sampling, dtype, tolerance):
    warp = make(kind, dtype)
    batch, pair = sampling(dtype), landmarks(dtype)
    ours = NeuralMorphingLoss(intermediate_times=times)(warp, *batch, *pair)
    expected = plain(warp, *batch, *pair, times)
    assert set(ours) == set(expected) == set(TERMS)
    for name in TERMS:
        scale = float(expected[name].detach().abs().clamp_min(1e-12))
        assert abs(float((ours[name] - expected[name]).detach())) <= tolerance * scale + 1e-15, name
        one, two = gradients(warp, ours[name]), gradients(warp, expected[name])
        norm = float(two.norm())
        assert float((one - two).norm()) <= 10 * tolerance * norm + 1e-12, name


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("times", [DEFAULT_TIMES, ()], ids=len)
def test_values_and_gradients_of_the_equations_by_hand(detach, times):
    warp, batch, pair = make(hidden=(6, 5)), paper_batch(num_samples=32), landmarks(count=4)
    ours = NeuralMorphingLoss(intermediate_times=times, detach_composition=detach)(
        warp, *batch, *pair
    )
    expected = by_hand(warp, *batch, *pair, times, detach)
    for name in TERMS:
        assert relative(ours[name], expected[name]) < 1e-10, name
        assert relative(gradients(warp, ours[name]), gradients(warp, expected[name])) < 1e-9, name


def test_stopped_compositions_change_gradients_and_not_values():
    warp, batch, pair = make(), paper_batch(), landmarks()
    stopped, through = (
        NeuralMorphingLoss(detach_composition=d)(warp, *batch, *pair) for d in (True, False)
    )
    for name in TERMS:
        assert torch.equal(stopped[name], through[name])
    for name in ("data", "inverse"):
        assert relative(gradients(warp, stopped[name]), gradients(warp, through[name])) > 0.01
    for name in ("identity", "thin_plate"):
        assert torch.equal(gradients(warp, stopped[name]), gradients(warp, through[name]))


def test_the_peers_own_size_of_network_and_batch():
    warp = SirenWarp().double()
    batch, pair = paper_batch(num_samples=200), landmarks(count=20)
    ours = NeuralMorphingLoss()(warp, *batch, *pair)
    expected = plain(warp, *batch, *pair, DEFAULT_TIMES)
    for name in TERMS:
        assert relative(ours[name], expected[name]) < 1e-10
    assert relative(gradients(warp, ours["total"]), gradients(warp, expected["total"])) < 1e-10


@pytest.mark.parametrize("name", ["data", "identity", "inverse", "thin_plate"])
def test_ablations(name):
    warp, batch, pair = make(), paper_batch(), landmarks()
    whole = NeuralMorphingLoss()(warp, *batch, *pair)
    without = NeuralMorphingLoss(**{f"{name}_weight": 0.0})(warp, *batch, *pair)
    weight = {"data": 1e4, "identity": 1e3, "inverse": 1e4, "thin_plate": 1e3}[name]
    assert torch.equal(without[name], whole[name])  # still reported
    torch.testing.assert_close(without["total"], whole["total"] - weight * whole[name])
    only = NeuralMorphingLoss(
        **{
            f"{other}_weight": 0.0
            for other in ("data", "identity", "inverse", "thin_plate")
            if other != name
        }
    )(warp, *batch, *pair)
    torch.testing.assert_close(only["total"], weight * whole[name])
    torch.testing.assert_close(
        gradients(warp, only["total"]), weight * gradients(warp, whole[name])
    )


class QuadraticWarp:
    """x' = x + t a(x, t) with known second derivatives, both outputs quadratic in (x, y, t)."""

    def __init__(self, forms):
        self.forms = forms  # (2, 3, 3) symmetric

    def advance(self, xyt, *, order=0):
        forms = self.forms.to(xyt)
        value = xyt[:, :2] + 0.5 * torch.einsum("cij,ni,nj->nc", forms, xyt, xyt)
        jacobian = torch.eye(2, 3).to(xyt) + torch.einsum("cij,nj->nci", forms, xyt)
        return Jet(value, jacobian, forms.expand(len(xyt), 2, 3, 3))


def test_thin_plate_of_a_known_quadratic_map_by_finite_differences():
    rng = np.random.default_rng(0)
    forms = rng.normal(size=(2, 3, 3))
    forms = forms + forms.transpose(0, 2, 1)
    warp = QuadraticWarp(torch.from_numpy(forms))

    def moved(row):
        return row[:2] + 0.5 * np.einsum("cij,i,j->c", forms, row, row)

    row, step, total = np.array([0.2, -0.3, 0.4]), 1e-3, 0.0
    for i in range(3):
        for j in range(3):
            a, b = np.eye(3)[i] * step, np.eye(3)[j] * step
            second = (
                moved(row + a + b) - moved(row + a - b) - moved(row - a + b) + moved(row - a - b)
            ) / (4 * step**2)
            total += (second**2).sum()
    terms = NeuralMorphingLoss()(warp, *random_batch(), *landmarks())
    # mean over 2 x 9 entries
    assert float(terms["thin_plate"]) == pytest.approx(total / 18, rel=1e-6)
    assert float(terms["thin_plate"]) == pytest.approx((forms**2).mean(), rel=1e-12)


def test_the_perfect_warp_of_equal_faces_costs_nothing():
    warp = ResidualSirenWarp((8,), output_scale=0.0).double()
    source, _ = landmarks()
    terms = NeuralMorphingLoss()(warp, *random_batch(), source, source)
    for name in TERMS:
        assert float(terms[name].detach()) == pytest.approx(0, abs=1e-25), name


def test_known_values_of_a_translation():
    """T(x, t) = x + t d: data, identity and inverse are all zero; a wrong shift e costs what it
    must.
    """

    class Shift:
        def __init__(self, shift):
            self.shift = shift

        def advance(self, xyt, *, order=0):
            return Jet(xyt[:, :2] + xyt[:, 2:] * self.shift, None, xyt.new_zeros(len(xyt), 2, 3, 3))

    source, _ = landmarks()
    shift, wrong = (
        torch.tensor([[0.3, -0.1]], dtype=torch.float64),
        torch.tensor([[0.02, 0.04]], dtype=torch.float64),
    )
    good = NeuralMorphingLoss()(Shift(shift), *paper_batch(), source, source + shift)
    assert float(good["total"]) == pytest.approx(0, abs=1e-20)
    bad = NeuralMorphingLoss()(Shift(shift + wrong), *paper_batch(), source, source + shift)
    # Ends: 2 e^2 of 100; meeting points: e^2 of 50, three times; the way back is exact. Mean over 2
    # outputs.
    assert float(bad["data"]) == pytest.approx((200 + 150) * float(wrong.square().mean()), rel=1e-9)
    assert float(bad["identity"]) == 0
    assert float(bad["inverse"]) == pytest.approx(0, abs=1e-25)


def test_the_identity_term_counts_half_of_the_rows_and_the_exact_zero():
    class Offset:
        def advance(self, xyt, *, order=0):
            return Jet(xyt[:, :2] + 0.1, None, xyt.new_zeros(len(xyt), 2, 3, 3))

    still, moving = paper_batch(num_samples=98)
    terms = NeuralMorphingLoss()(Offset(), still, moving, *landmarks())
    rows = len(still) + len(moving)
    assert float(terms["identity"]) == pytest.approx(0.01 * (len(still) + 1) / rows, rel=1e-9)


def test_warps_without_second_derivatives_are_refused():
    class Flat:
        def advance(self, xyt, *, order=0):
            return Jet(xyt[:, :2])

    with pytest.raises(NotImplementedError, match="second derivatives"):
        NeuralMorphingLoss()(Flat(), *random_batch(), *landmarks())


def test_one_evaluation_of_the_trunk_for_all_samples():
    """Defect 14 of the authors' code: the forward pass over all samples is done twice."""
    warp = make()
    counted, advance = [], warp.advance

    def counting(rows, *, order=0):
        counted.append((len(rows), order))
        return advance(rows, order=order)

    warp.advance = counting
    still, moving = paper_batch()
    NeuralMorphingLoss()(warp, still, moving, *landmarks(count=9))
    assert [size for size, order in counted if order == 2] == [len(still) + len(moving)]
    assert sorted(size for size, order in counted if order == 0) == sorted(
        [3 * len(moving), 2 * 9 + 2 * 3 * 9, 2 * 3 * 9]
    )
