"""Flows of many pairs at once against one by one."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import ConfigError, GeometryError
from facemorph.fields.warps.flow_batch import _Batch, fit_flows
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.thin_plate_flow import PIXEL, ThinPlateFlow
from facemorph.ops.frames import Frame
from facemorph.ops.splines import solve_thin_plate

FRAME = Frame(96, 80)


def pair(seed, count=30, noise=0.04, angle=0.0):
    generator = torch.Generator().manual_seed(seed)
    source = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 1.2 - 0.6
    turn = torch.tensor(
        [
            [torch.tensor(angle).cos(), -torch.tensor(angle).sin()],
            [torch.tensor(angle).sin(), torch.tensor(angle).cos()],
        ],
        dtype=torch.float64,
    )
    return source, source @ turn.T + noise * torch.randn(
        count, 2, generator=generator, dtype=torch.float64
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"smoothing": 1e-3},
        {"border_anchors": 0, "similarity": False},
        {"steps": 6},
        {"steps": 5},
    ],
)
def test_equal_to_single_fits(options):
    pairs = [pair(0), pair(1, 41), pair(2, 12, angle=0.6), pair(3, 30, noise=0.0)]
    flows = [ThinPlateFlow(**options) for _ in pairs]
    fit_flows(flows, pairs, FRAME)
    points = torch.rand(50, 2, dtype=torch.float64) * 2 - 1
    for flow, (source, target) in zip(flows, pairs, strict=True):
        single = ThinPlateFlow(**options).fit(source, target, FRAME)
        assert (flow.used_steps, flow.used_smoothing) == (single.used_steps, single.used_smoothing)
        for ends in ((0.0, 1.0), (0.5, 0.0), (1.0, 0.3)):
            assert float((flow(points, *ends) - single(points, *ends)).abs().max()) < 1e-9
        for end in (0.0, 1.0):  # these are in single precision
            difference = dense_map(flow, FRAME, 0.5, end) - dense_map(single, FRAME, 0.5, end)
            assert float(difference.abs().max()) < 0.05 * PIXEL


def test_a_pair_that_needs_more_is_fitted_so():
    """Two landmarks that change places fold the plain flow."""
    source, target = pair(5, 40, noise=0.02)
    swapped = target.clone()
    swapped[[3, 4]] = target[[4, 3]]
    flows = [ThinPlateFlow(), ThinPlateFlow()]
    fit_flows(flows, [(source, swapped), pair(6)], FRAME)
    single = ThinPlateFlow().fit(source, swapped, FRAME)
    assert (flows[0].used_steps, flows[0].used_smoothing) == (
        single.used_steps,
        single.used_smoothing,
    )
    assert (single.used_steps, single.used_smoothing) != (4, 0.0)
    assert torch.equal(flows[0](source, 0.0, 1.0), single(source, 0.0, 1.0))


def test_systems_of_different_size_in_one_batch():
    """The branch for GPUs, on the CPU at a size that its batched LU can do."""
    pairs = [pair(0, 8), pair(1, 13)]
    flows = [ThinPlateFlow(smoothing=1e-4) for _ in pairs]
    for flow, (source, target) in zip(flows, pairs, strict=True):
        flow.begin(source, target, FRAME)
    batch = _Batch(flows)
    knots = 0.7 * batch.start + 0.3 * batch.goal
    together, apart = batch.solve_together(knots), batch.solve_one_by_one(knots)
    assert float((together - apart).abs().max()) < 1e-7 * float(apart.abs().max())
    values = batch.goal - batch.start
    for index, count in enumerate(batch.counts):
        weights = torch.cat([apart[index, :count], apart[index, batch.most :]])
        assert torch.equal(
            weights, solve_thin_plate(knots[index, :count], values[index, :count], 1e-4)
        )
        assert float(apart[index, count : batch.most].abs().sum()) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    pairs = [pair(seed, 180) for seed in range(4)]
    flows = [ThinPlateFlow() for _ in pairs]
    fit_flows(flows, pairs, FRAME, "cuda")
    for flow, (source, target) in zip(flows, pairs, strict=True):
        single = ThinPlateFlow().fit(source, target, FRAME)
        difference = dense_map(flow, FRAME, 0.5, 0.0).cpu() - dense_map(single, FRAME, 0.5, 0.0)
        assert float(difference.abs().max()) < 0.05 * PIXEL


def test_wrong_batches():
    with pytest.raises(ConfigError, match="one set of options"):
        fit_flows([ThinPlateFlow(), ThinPlateFlow(steps=8)], [pair(0), pair(1)], FRAME)
    with pytest.raises(ConfigError, match="1 pairs"):
        fit_flows([ThinPlateFlow(), ThinPlateFlow()], [pair(0)], FRAME)
    source, _ = pair(0)
    with pytest.raises(GeometryError, match="mirror"):
        fit_flows([ThinPlateFlow()], [(source, source * torch.tensor([-1.0, 1.0]))], FRAME)
