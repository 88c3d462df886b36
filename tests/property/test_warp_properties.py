"""Properties of the warps: inverse, composition, identity, storage, for random landmark sets."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facemorph.errors import GeometryError
from facemorph.fields.warps.classic_warps import PiecewiseAffine, ThinPlateSpline
from facemorph.fields.warps.similarity_path import SimilarityPath
from facemorph.fields.warps.siren_warp import ResidualSirenWarp
from facemorph.fields.warps.thin_plate_flow import PIXEL, ThinPlateFlow, merge_close_landmarks
from facemorph.ops.frames import Frame

quick = settings(max_examples=12, deadline=None)
seeds, times = st.integers(0, 10**6), st.floats(0, 1)
sizes = st.tuples(st.integers(40, 200), st.integers(40, 200))


def random_pair(count, seed, shift=0.04):
    generator = torch.Generator().manual_seed(seed)
    source = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 1.2 - 0.6
    source, _ = merge_close_landmarks(source, source, 0.15)
    return source, source + shift * torch.randn(
        source.shape, generator=generator, dtype=torch.float64
    ).clamp(-1, 1)


def flattens(source, target):
    """Whether the best affine map leaves less than a tenth of an area, or turns it over, as jitter
    does with three landmarks nearly on a line.
    """
    ones = torch.ones(len(source), 1, dtype=torch.float64)
    affine = torch.linalg.lstsq(torch.cat([source, ones], 1), target).solution
    return float(torch.linalg.det(affine[:2])) < 0.1


def random_points(seed, count=80):
    return (
        torch.rand(count, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        * 1.8
        - 0.9
    )


@quick
@given(
    count=st.integers(3, 30),
    seed=seeds,
    size=sizes,
    t0=times,
    t1=times,
    degrees=st.floats(-180, 180),
)
def test_the_flow_is_its_own_inverse_between_any_two_times(count, seed, size, t0, t1, degrees):
    source, target = random_pair(count, seed)
    angle = math.radians(degrees)
    matrix = [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    target = target @ torch.tensor(matrix, dtype=torch.float64)
    try:
        flow = ThinPlateFlow(smoothing=1e-3).fit(source, target, Frame(*size))
    except GeometryError:
        if not flattens(source, target):
            raise
        return
    points = random_points(seed)
    assert float((flow(flow(points, t0, t1), t1, t0) - points).norm(dim=1).max()) < 1.5 * PIXEL


@quick
@given(count=st.integers(3, 30), seed=seeds, t0=times, middle=times, t1=times)
def test_the_flow_composes(count, seed, t0, middle, t1):
    flow = ThinPlateFlow(smoothing=1e-3).fit(*random_pair(count, seed), Frame(64, 64))
    points = random_points(seed)
    via = flow(flow(points, t0, middle), middle, t1)
    assert float((via - flow(points, t0, t1)).norm(dim=1).max()) < 1.5 * PIXEL


@pytest.mark.parametrize("kind", [ThinPlateFlow, ThinPlateSpline, PiecewiseAffine])
@quick
@given(count=st.integers(1, 30), seed=seeds, size=sizes, t0=times, t1=times)
def test_a_state_dict_holds_all_of_a_warp(kind, count, seed, size, t0, t1):
    warp = kind().fit(*random_pair(count, seed), Frame(*size))
    again = kind()
    again.load_state_dict(warp.state_dict())
    points = random_points(seed)
    assert torch.equal(again(points, t0, t1), warp(points, t0, t1))


@quick
@given(
    seed=seeds,
    time=times,
    hidden=st.lists(st.integers(1, 20), min_size=1, max_size=3),
    scale=st.floats(0, 100),
)
def test_the_residual_warp_is_the_identity_at_equal_times(seed, time, hidden, scale):
    torch.manual_seed(seed)
    warp = ResidualSirenWarp(hidden, output_scale=scale)
    points = random_points(seed).float()
    assert torch.equal(warp(points, time, time), points)


@quick
@given(seed=seeds, degrees=st.floats(-179, 179), scale=st.floats(0.2, 5), t=times, s=times)
def test_similarity_paths_are_one_parameter_groups(seed, degrees, scale, t, s):
    points = random_points(seed)
    angle = math.radians(degrees)
    rotation = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    goal = scale * points @ rotation.double().T + torch.tensor([0.3, -0.2], dtype=torch.float64)
    path = SimilarityPath.fit(points, goal)
    assert path.angle == pytest.approx(angle, abs=1e-5)
    torch.testing.assert_close(path.at(1.0, points), goal, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        path.at(s, path.at(t, points)), path.at(s + t, points), rtol=1e-6, atol=1e-6
    )
    torch.testing.assert_close(path.at(-t, path.at(t, points)), points, rtol=1e-6, atol=1e-6)
