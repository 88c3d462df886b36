"""Thin-plate spline and piecewise affine warps: landmarks, identity, borders, storage, bad
landmarks.
"""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from facemorph.errors import GeometryError
from facemorph.fields.warps.classic_warps import PiecewiseAffine, ThinPlateSpline
from facemorph.fields.warps.maps import dense_map, map_determinants
from facemorph.fields.warps.warp import Warp
from facemorph.ops.frames import Frame

FRAME, WIDE = Frame(96, 96), Frame(60, 100)
KINDS = [ThinPlateSpline, PiecewiseAffine]


def grid_pair(shift=0.05):
    axis = torch.linspace(-0.5, 0.5, 4, dtype=torch.float64)
    source = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
    source = source + 0.03 * torch.randn(source.shape, dtype=torch.float64)
    return source, source + shift * torch.randn(source.shape, dtype=torch.float64).clamp(-1, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_landmarks_are_met_at_every_pair_of_times(kind):
    source, target = grid_pair()
    warp = kind().fit(source, target, FRAME)
    assert isinstance(warp, Warp)
    for t0, t1 in ((0.0, 1.0), (0.5, 0.0), (0.3, 0.8), (1.0, 0.0)):
        start, goal = ((1 - t) * source + t * target for t in (t0, t1))
        assert float((warp(start, t0, t1) - goal).abs().max()) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_equal_times_and_equal_faces(kind):
    source, target = grid_pair()
    points = torch.rand(300, 2, dtype=torch.float64) * 1.8 - 0.9
    assert torch.equal(kind().fit(source, target, FRAME)(points, 0.4, 0.4), points)
    same = kind().fit(source, source, FRAME)
    assert float((same(points, 0.0, 1.0) - points).abs().max()) < 1e-8


@pytest.mark.parametrize("kind", KINDS)
def test_an_affine_motion_is_met_inside_without_anchors_or_by_the_triangles(kind):
    source, _ = grid_pair()
    matrix = torch.tensor([[1.1, 0.1], [-0.05, 0.95]], dtype=torch.float64)
    warp = kind(border_anchors=1 if kind is PiecewiseAffine else 0).fit(
        source, source @ matrix.T, FRAME
    )
    points = torch.rand(200, 2, dtype=torch.float64) * 0.5 - 0.25
    assert float((warp(points, 0.0, 1.0) - points @ matrix.T).abs().max()) < 1e-6


def test_the_spline_is_that_of_scipy():
    source, target = grid_pair()
    points = torch.rand(100, 2, dtype=torch.float64) * 2 - 1
    expected = RBFInterpolator(source.numpy(), target.numpy(), kernel="thin_plate_spline")(
        points.numpy()
    )
    warp = ThinPlateSpline(border_anchors=0).fit(source, target, FRAME)
    np.testing.assert_allclose(warp(points, 0.0, 1.0), expected, atol=1e-7)


def test_smoothing_of_the_spline():
    source, target = grid_pair()
    errors = [
        float(
            (ThinPlateSpline(s).fit(source, target, FRAME)(source, 0.0, 1.0) - target).abs().mean()
        )
        for s in (0.0, 1e-3, 1e-1)
    ]
    assert errors == sorted(errors)
    assert errors[2] > errors[0] + 1e-3


def test_triangles_are_affine_and_continuous():
    source, target = grid_pair()
    warp = PiecewiseAffine().fit(source, target, FRAME)
    simplex = warp._triangles[3]
    old, new = warp.control_points(0.0)[simplex], warp.control_points(1.0)[simplex]
    share = torch.rand(50, 3, dtype=torch.float64)
    share = share / share.sum(1, keepdim=True)
    assert float((warp(share @ old, 0.0, 1.0) - share @ new).abs().max()) < 1e-9
    # The whole map is continuous: no step larger than the steepest triangle allows.
    positions = dense_map(warp, FRAME, 0.0, 1.0)
    assert float((positions[:, 1:] - positions[:, :-1]).norm(dim=-1).max()) < 4 * 2 / 96


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frame", [FRAME, WIDE, Frame(100, 60)])
def test_the_border_stays(kind, frame):
    source, target = grid_pair()
    source, target = source * 0.6, target * 0.6
    warp = kind(border_anchors=2).fit(source, target, frame)
    anchors = frame.border_anchors(2)
    assert float((warp(anchors, 0.2, 0.9) - anchors).abs().max()) < 1e-6
    positions = dense_map(warp, frame, 0.5, 0.0)
    assert positions.shape == (frame.height, frame.width, 2)
    assert float(
        (map_determinants(positions.double()) * frame.half_extent**2).mean()
    ) == pytest.approx(1, abs=0.1)


def test_outside_of_the_frame_triangles_do_nothing():
    source, target = grid_pair()
    far = torch.tensor([[1.5, 0.0], [-2.0, 3.0]], dtype=torch.float64)
    assert torch.equal(PiecewiseAffine().fit(source, target, FRAME)(far, 0.0, 1.0), far)


def test_gradients_in_the_landmarks():
    source, target = grid_pair()
    source, target = source[:5].requires_grad_(), target[:5].requires_grad_()
    points = torch.rand(3, 2, dtype=torch.float64) * 0.4
    for kind in KINDS:
        assert torch.autograd.gradcheck(
            lambda a, b, kind=kind: kind().fit(a, b, FRAME)(points, 0.5, 0.0),
            (source, target),
            atol=1e-5,
        )


@pytest.mark.parametrize("kind", KINDS)
def test_duplicates_collinear_and_single_landmarks(kind):
    line = torch.stack([torch.zeros(5), torch.linspace(-0.5, 0.5, 5)], 1).double()
    for source in (line, line[:1], torch.cat([line, line])):
        target = source + torch.tensor([0.05, 0.0], dtype=torch.float64)
        warp = kind().fit(source, target, FRAME)
        assert float((warp(source, 0.0, 1.0) - target).abs().max()) < 1e-5
        assert bool(dense_map(warp, FRAME, 0.5, 0.0).isfinite().all())


@pytest.mark.parametrize("kind", KINDS)
def test_types_and_precision(kind):
    source, target = grid_pair()
    warp = kind().fit(source.float(), target.float(), FRAME)
    assert warp.source.dtype == torch.float64
    points = torch.rand(50, 2)
    assert warp(points, 0.0, 1.0).dtype == torch.float32
    before = warp(points.double(), 0.0, 1.0)
    moved = warp.half()
    assert torch.equal(moved(points.double(), 0.0, 1.0), before)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_landmarks(kind):
    source, target = grid_pair()
    with pytest.raises(GeometryError, match="as many"):
        kind().fit(source, target[1:], FRAME)
    source[2] = math.nan
    with pytest.raises(GeometryError, match=r"indices \[2\]"):
        kind().fit(source, target, FRAME)
    with pytest.raises(GeometryError, match="no landmarks yet"):
        kind()(target, 0.0, 1.0)


@pytest.mark.parametrize("anchors", [0, -1])
def test_triangles_need_the_corners(anchors):
    with pytest.raises(GeometryError, match="corners"):
        PiecewiseAffine(border_anchors=anchors)


@pytest.mark.parametrize("kind", [ThinPlateSpline, PiecewiseAffine])
def test_mirrored_faces_are_refused(kind):
    source = torch.rand(12, 2, dtype=torch.float64) - 0.5
    with pytest.raises(GeometryError, match="mirror images"):
        kind().fit(source, source * torch.tensor([-1.0, 1.0]), Frame(64, 64))
