"""Properties of jets: the fast one is the plain one for any network, and they compose."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facemorph.fields.siren import Siren
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp
from facemorph.ops.jets import Jet, autograd_jet, compose

quick = settings(max_examples=25, deadline=None)
widths = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def network(inputs, outputs, hidden, omega, seed):
    torch.manual_seed(seed)
    return Siren(inputs, outputs, hidden, omega, 0.7 * omega).double()


def assert_equal_jets(one: Jet, two: Jet, tolerance: float) -> None:
    for first, second in zip(one, two, strict=True):
        scale = float(second.detach().abs().max().clamp_min(1.0))
        assert float((first - second).detach().abs().max()) <= tolerance * scale


@quick
@given(
    inputs=st.integers(1, 4),
    outputs=st.integers(1, 4),
    hidden=widths,
    omega=st.floats(0.5, 30),
    points=st.integers(1, 12),
    seed=st.integers(0, 10**6),
)
def test_the_fast_jet_is_the_plain_one(inputs, outputs, hidden, omega, points, seed):
    field = network(inputs, outputs, hidden, omega, seed)
    x = torch.rand(points, inputs, dtype=torch.float64) * 2 - 1
    assert_equal_jets(field(x, order=2), autograd_jet(lambda p: field(p).value, x, 2), 1e-12)


@quick
@given(inputs=st.integers(1, 4), hidden=widths, seed=st.integers(0, 10**6))
def test_hessians_are_symmetric_to_the_bit(inputs, hidden, seed):
    field = network(inputs, 2, hidden, 5.0, seed)
    hessian = field(torch.rand(5, inputs, dtype=torch.float64), order=2).hessian
    assert torch.equal(hessian, hessian.mT)


@quick
@given(first=widths, second=widths, seed=st.integers(0, 10**6))
def test_the_chain_rule(first, second, seed):
    inner, outer = network(3, 2, first, 3.0, seed), network(2, 3, second, 3.0, seed + 1)
    x = torch.rand(4, 3, dtype=torch.float64)
    jet = inner(x, order=2)
    assert_equal_jets(
        compose(outer(jet.value, order=2), jet),
        autograd_jet(lambda p: outer(inner(p).value).value, x, 2),
        1e-11,
    )


@quick
@given(hidden=widths, seed=st.integers(0, 10**6), residual=st.booleans())
def test_rows_do_not_see_each_other(hidden, seed, residual):
    torch.manual_seed(seed)
    warp = (ResidualSirenWarp if residual else SirenWarp)(hidden, 10.0).double()
    rows = torch.rand(6, 3, dtype=torch.float64) * 2 - 1
    together = warp.advance(rows, order=2)
    for index in range(6):
        assert_equal_jets(
            Jet(*(part[index : index + 1] for part in together)),
            warp.advance(rows[index : index + 1], order=2),
            1e-12,
        )


@quick
@given(hidden=widths, seed=st.integers(0, 10**6))
def test_the_residual_warp_by_the_product_rule(hidden, seed):
    torch.manual_seed(seed)
    warp = ResidualSirenWarp(hidden, 10.0, output_scale=1.0).double()
    rows = torch.rand(6, 3, dtype=torch.float64) * 2 - 1
    assert_equal_jets(
        warp.advance(rows, order=2), autograd_jet(lambda p: warp.advance(p).value, rows, 2), 1e-12
    )
