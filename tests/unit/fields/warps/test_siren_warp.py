"""Warps by sine networks: the identity of the residual one, jets, durations, types."""

import pytest
import torch

from facemorph.errors import DataError
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp, with_duration
from facemorph.fields.warps.warp import TrainableWarp, Warp
from facemorph.ops.frames import Frame
from facemorph.ops.jets import autograd_jet

KINDS = [SirenWarp, ResidualSirenWarp]


def rows(count=12, dtype=torch.float64):
    return torch.rand(count, 3, dtype=dtype) * 2 - 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hidden", [(8,), (9, 7), (6, 6, 6)])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_jets_are_those_of_autograd(kind, hidden, order):
    warp, x = kind(hidden, 6.0).double(), rows()
    plain = autograd_jet(lambda p: warp.advance(p).value, x, order)
    for one, two in zip(warp.advance(x, order=order), plain, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [0.01, 1.0, 1e4])
def test_the_residual_warp_at_duration_zero_is_the_identity_for_any_weights(scale):
    warp, points = ResidualSirenWarp(output_scale=scale), torch.rand(500, 2) * 2 - 1
    for time in (0.0, 0.3, 1.0):
        assert torch.equal(warp(points, time, time), points)
    jet = warp.advance(with_duration(points, 0.0), order=2)
    assert torch.equal(jet.value, points)
    assert torch.equal(jet.jacobian[:, :, :2], torch.eye(2).expand(500, 2, 2))
    assert not jet.hessian[:, :, :2, :2].any()


def test_the_residual_warp_starts_near_the_identity_and_the_plain_one_does_not():
    points = torch.rand(500, 2) * 2 - 1
    assert float((ResidualSirenWarp()(points, 0.0, 1.0) - points).detach().abs().max()) < 0.05
    assert float((SirenWarp()(points, 0.0, 0.0) - points).detach().abs().max()) > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_duration_counts(kind):
    warp, points = kind(), torch.rand(20, 2)
    torch.testing.assert_close(warp(points, 0.0, 0.5), warp(points, 0.25, 0.75), rtol=0, atol=0)
    torch.testing.assert_close(
        warp(points, 0.0, 0.5), warp.advance(with_duration(points, 0.5)).value, rtol=0, atol=0
    )


@pytest.mark.parametrize("kind", KINDS)
def test_protocols_sizes_and_types(kind):
    assert isinstance(kind(), Warp)
    assert isinstance(kind(), TrainableWarp)
    assert sum(p.numel() for p in kind().parameters()) == 17282
    assert kind().double()(rows()[:, :2], 0.0, 1.0).dtype == torch.float64
    with pytest.raises(DataError, match="wrong shape"):
        kind()(torch.rand(5, 3), 0.0, 1.0)
    with pytest.raises(DataError, match="wrong shape"):
        kind().advance(torch.rand(5, 2))


def test_rows_with_durations():
    points = torch.rand(4, 2)
    assert torch.equal(with_duration(points, 0.5)[:, 2], torch.full((4,), 0.5))
    assert torch.equal(with_duration(points, torch.tensor(0.25))[:, 2], torch.full((4,), 0.25))
    durations = torch.rand(4, dtype=torch.float64)
    made = with_duration(points, durations)
    assert made.dtype == torch.float32
    assert torch.equal(made, torch.cat([points, durations.float()[:, None]], 1))
    assert torch.equal(with_duration(points, durations)[:, :2], points)


@pytest.mark.parametrize("frame", [Frame(64, 64), Frame(40, 80)])
def test_dense_maps_through_the_lattice_of_129_nodes(frame):
    warp = ResidualSirenWarp((32, 32), 12.0, output_scale=1.0)
    with torch.no_grad():
        fast, exact = dense_map(warp, frame, 0.0, 0.5), dense_map(warp, frame, 0.0, 0.5, nodes=None)
    assert float((fast - exact).norm(dim=-1).max()) * 256 < 0.1
