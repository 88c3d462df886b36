"""The thin-plate flow: exactness, group laws, gradients, degenerate landmark sets, storage."""

import copy
import math
import subprocess
import sys

import pytest
import torch

from facemorph.errors import ConfigError, DataError, GeometryError
from facemorph.fields.warps.classic_warps import PiecewiseAffine, ThinPlateSpline
from facemorph.fields.warps.maps import dense_map, map_determinants
from facemorph.fields.warps.thin_plate_flow import (
    MERGE_DISTANCE,
    PIXEL,
    ThinPlateFlow,
    merge_close_landmarks,
    orientation_reversed,
)
from facemorph.fields.warps.warp import Warp
from facemorph.ops.frames import Frame

FRAME = Frame(128, 128)
WIDE = Frame(90, 150)


def random_pair(count=24, shift=0.05, seed=0):
    generator = torch.Generator().manual_seed(seed)
    source = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 1.2 - 0.6
    source, _ = merge_close_landmarks(source, source, 0.12)
    noise = torch.randn(source.shape, generator=generator, dtype=torch.float64)
    return source, source + shift * noise.clamp(-1, 1)


def turned(points, degrees, scale=1.0):
    angle = math.radians(degrees)
    rotation = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]],
        dtype=torch.float64,
    )
    return scale * points @ rotation.T


def random_points(count=300, reach=0.9):
    return (torch.rand(count, 2, dtype=torch.float64) * 2 - 1) * reach


def determinants(warp, frame, t0=0.5, t1=0.0):
    return map_determinants(dense_map(warp, frame, t0, t1).double()) * frame.half_extent**2


def fitted(source, target, frame=FRAME, **options):
    return ThinPlateFlow(**options).fit(source, target, frame)


# ------------------------------------------------------------
# exactness
@pytest.mark.parametrize("anchors", [0, 4])
def test_landmarks_travel_on_straight_lines_at_every_time(anchors):
    source, target = random_pair()
    flow = fitted(source, target, similarity=False, border_anchors=anchors)
    for time in (0.1, 0.25, 0.5, 0.8, 1.0):
        expected = (1 - time) * source + time * target
        assert float((flow(source, 0.0, time) - expected).abs().max()) < 1e-7
        assert float((flow(target, 1.0, time) - expected).abs().max()) < 1e-7


def test_landmarks_meet_at_every_time_with_the_similarity_taken_out():
    source, target = random_pair()
    target = turned(target, 35, 1.1) + 0.05
    flow = fitted(source, target)
    assert float((flow(source, 0.0, 1.0) - target).abs().max()) < 1e-7
    for time in (0.25, 0.5, 0.75):
        assert float((flow(source, 0.0, time) - flow(target, 1.0, time)).abs().max()) < 1e-7
    torch.testing.assert_close(flow.landmarks_at(0.5), flow(source, 0.0, 0.5), rtol=0, atol=0)


@pytest.mark.parametrize("similarity", [False, True])
def test_inverse_and_composition(similarity):
    flow = fitted(*random_pair(), similarity=similarity, steps=48)
    points = random_points()
    there = flow(points, 0.0, 1.0)
    assert float((there - points).abs().max()) > 0.01
    assert float((flow(there, 1.0, 0.0) - points).abs().max()) < 1e-4
    assert float((flow(flow(points, 0.0, 0.3), 0.3, 1.0) - there).abs().max()) < 1e-4


def test_the_default_steps_invert_to_a_fraction_of_a_pixel():
    flow = fitted(*random_pair())
    points = random_points()
    for start, end in ((0.0, 1.0), (0.5, 0.0), (1.0, 0.2)):
        back = flow(flow(points, start, end), end, start)
        assert float((back - points).norm(dim=1).max()) < 0.5 * PIXEL


def test_equal_times_are_the_identity_to_the_bit():
    flow = fitted(*random_pair())
    points = random_points()
    for time in (0.0, 0.4, 1.0):
        assert torch.equal(flow(points, time, time), points)
    assert torch.equal(dense_map(flow, WIDE, 0.3, 0.3), WIDE.pixel_centres())


def test_the_time_derivative_is_the_velocity_spline():
    """Against a thin-plate interpolation solved here by numpy."""
    import numpy as np

    source, target = random_pair()
    flow = fitted(source, target, similarity=False, border_anchors=0, steps=48)
    points, delta, time = random_points(50), 1e-3, 0.6
    numeric = (flow(points, 0.0, time + delta) - flow(points, 0.0, time - delta)) / (2 * delta)
    here = flow(points, 0.0, time).numpy()
    knots = ((1 - time) * source + time * target).numpy()

    def kernel(a, b):
        distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
        return np.where(distance > 0, distance**2 * np.log(np.maximum(distance, 1e-300)), 0)

    count = len(knots)
    affine = np.hstack([np.ones((count, 1)), knots])
    system = np.block([[kernel(knots, knots), affine], [affine.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.vstack([(target - source).numpy(), np.zeros((3, 2))]))
    velocity = (
        kernel(here, knots) @ weights[:count]
        + np.hstack([np.ones((50, 1)), here]) @ weights[count:]
    )
    assert np.abs(numeric.numpy() - velocity).max() < 2e-3


def test_identical_faces_give_the_identity():
    source, _ = random_pair()
    points = random_points()
    assert float((fitted(source, source)(points, 0.0, 1.0) - points).abs().max()) < 1e-12


@pytest.mark.parametrize("similarity", [False, True])
def test_a_similarity_is_met_everywhere(similarity):
    source, _ = random_pair()
    flow = fitted(
        source, turned(source, 12, 1.05) + 0.03, border_anchors=0, similarity=similarity, steps=32
    )
    points = random_points()
    expected = turned(points, 12, 1.05) + 0.03
    assert float((flow(points, 0.0, 1.0) - expected).abs().max()) < 1e-6


# ------------------------------------------------------------
# gradients
@pytest.mark.slow
@pytest.mark.parametrize("similarity", [False, True])
@pytest.mark.parametrize("anchors", [0, 1])
def test_gradcheck_in_both_landmark_sets(similarity, anchors):
    source, target = random_pair(count=5, shift=0.03)
    points = random_points(4, 0.5)

    def half_way(one, two):
        flow = ThinPlateFlow(similarity=similarity, border_anchors=anchors, lattice_nodes=9)
        return flow.fit(one, two, FRAME)(points, 0.5, 0.0)

    inputs = (source.requires_grad_(), target.requires_grad_())
    assert torch.autograd.gradcheck(half_way, inputs, eps=1e-6, atol=1e-5)


def test_gradcheck_in_the_points():
    flow = fitted(*random_pair(count=6))
    assert torch.autograd.gradcheck(
        lambda p: flow(p, 0.2, 0.9), random_points(4).requires_grad_(), atol=1e-6
    )


# ------------------------------------------------------------
# frames, maps
def test_non_square_frames():
    source = WIDE.from_pixels(torch.rand(20, 2, dtype=torch.float64) * torch.tensor([150.0, 90.0]))
    flow = fitted(source, source + 0.01, WIDE, border_anchors=0)
    positions = dense_map(flow, WIDE, 0.0, 1.0)
    assert positions.shape == (90, 150, 2)
    torch.testing.assert_close(positions, WIDE.pixel_centres() + 0.01, rtol=0, atol=1e-5)


@pytest.mark.parametrize("frame", [FRAME, WIDE, Frame(150, 90)])
def test_the_lattice_of_65_nodes_is_near_the_dense_evaluation(frame):
    flow = fitted(*random_pair(), frame)
    for start, end in ((0.5, 0.0), (0.5, 1.0), (0.25, 1.0)):
        through_lattice = dense_map(flow, frame, start, end)
        exact = dense_map(flow, frame, start, end, nodes=None)
        difference = (through_lattice - exact).norm(dim=-1) / PIXEL
        assert float(difference.max()) < 0.3
        assert float(difference.mean()) < 0.01


def test_single_precision_points():
    flow, points = fitted(*random_pair()), random_points()
    single = flow(points.float(), 0.0, 1.0)
    assert single.dtype == torch.float32
    assert float((single.double() - flow(points, 0.0, 1.0)).abs().max()) < 1e-4


def test_it_is_a_warp():
    assert isinstance(ThinPlateFlow(), Warp)


# ------------------------------------------------------------
# degenerate inputs
@pytest.mark.parametrize("anchors", [0, 4])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_and_collinear_landmarks(count, anchors):
    source = torch.tensor([[0.0, -0.5], [0.0, 0.5], [0.0, 0.1]], dtype=torch.float64)[:count]
    target = source + torch.tensor([0.1, 0.0], dtype=torch.float64)
    flow = fitted(source, target, border_anchors=anchors)
    assert float((flow(source, 0.0, 1.0) - target).abs().max()) < 1e-6
    assert bool((determinants(flow, FRAME) > 0).all())


def test_collinear_landmarks_become_harmless_with_border_anchors():
    line = torch.stack([torch.zeros(9), torch.linspace(-0.5, 0.5, 9)], 1).double()
    bent = line + torch.stack(
        [0.08 * torch.sin(6 * line[:, 1]), torch.zeros(9, dtype=torch.float64)], 1
    )
    flow = fitted(line, bent, border_anchors=2)
    points = random_points(200, 0.8)
    assert float((flow(flow(points, 0.0, 1.0), 1.0, 0.0) - points).abs().max()) < 0.01
    assert bool((determinants(flow, FRAME) > 0).all())


def test_duplicates_with_the_same_motion_are_harmless():
    source, target = random_pair()
    one, two = torch.cat([source, source[:4]]), torch.cat([target, target[:4]])
    flow, plain = fitted(one, two), fitted(source, target)
    points = random_points()
    torch.testing.assert_close(flow(points, 0.0, 1.0), plain(points, 0.0, 1.0), rtol=0, atol=1e-9)
    assert flow.used_smoothing == 0


def test_duplicates_with_conflicting_motion_are_averaged():
    source, target = random_pair()
    one = torch.cat([source, source[:1]])
    two = torch.cat([target, target[:1] + 10 * PIXEL])
    flow = fitted(one, two)
    met = flow(source[:1], 0.0, 1.0)
    torch.testing.assert_close(met, target[:1] + 5 * PIXEL, rtol=0, atol=1e-7)
    assert bool((determinants(flow, FRAME) > 0).all())


def test_merging_counts_either_face():
    source = torch.tensor(
        [[0.0, 0.0], [0.0, 0.5 * MERGE_DISTANCE], [0.5, 0.5], [-0.5, 0.4]], dtype=torch.float64
    )
    target = torch.tensor(
        [[0.0, 0.0], [0.2, 0.0], [0.5, 0.5], [0.5, 0.5 + 0.5 * MERGE_DISTANCE]], dtype=torch.float64
    )
    one, two = merge_close_landmarks(source, target, MERGE_DISTANCE)
    assert one.tolist() == [[0.0, 0.25 * MERGE_DISTANCE], [0.0, 0.45]]
    torch.testing.assert_close(two[0], torch.tensor([0.1, 0.0], dtype=torch.float64))
    apart = merge_close_landmarks(source[[0, 2]], target[[0, 2]], MERGE_DISTANCE)
    assert torch.equal(apart[0], source[[0, 2]])


@pytest.mark.parametrize("degrees", [30, 60, 90, 120, 150, 170, 179.9, 180, -90, -180])
def test_rotated_faces_neither_fold_nor_shrink(degrees):
    source, target = random_pair()
    target = turned(target, degrees)
    flow = fitted(source, target)
    assert float((flow(source, 0.0, 1.0) - target).abs().max()) < 1e-6
    plain = determinants(fitted(*random_pair(), border_anchors=0), FRAME)
    found = determinants(flow, FRAME)
    assert float(found.min()) > 0.5 * float(plain.min())
    assert float(found.max()) < 2 * float(plain.max())
    middle = flow.landmarks_at(0.5)
    assert float(middle.norm(dim=1).mean()) > 0.9 * float(source.norm(dim=1).mean())


@pytest.mark.parametrize("kind", [ThinPlateFlow, ThinPlateSpline, PiecewiseAffine])
def test_landmarks_on_a_line_are_no_mirror_images(kind):
    """Three points down the nose, one of them a little to the other side in the other face."""
    source = torch.tensor([[-0.01, -0.4], [0.01, 0.0], [-0.01, 0.4]], dtype=torch.float64)
    target = source * torch.tensor([-1.0, 1.0], dtype=torch.float64)
    assert not orientation_reversed(source, target)
    warp = kind().fit(source, target, Frame(64, 64))
    error = (warp(source, 0.0, 1.0) - target).norm(dim=1).max()
    assert float(error) < 0.5 * PIXEL
    aside = torch.tensor([-0.3, 0.3], dtype=torch.float64)
    wide = torch.cat([source, source + aside])
    assert orientation_reversed(wide, wide * torch.tensor([-1.0, 1.0], dtype=torch.float64))


def test_mirrored_faces_are_refused_with_a_remedy():
    source, _ = random_pair()
    mirror = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    assert orientation_reversed(source, source * mirror)
    assert not orientation_reversed(*random_pair())
    with pytest.raises(GeometryError, match="mirror") as caught:
        fitted(source, source * mirror)
    assert "left and right" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_swapped_labels_give_way_until_nothing_folds():
    source, target = random_pair()
    target[[0, 5]] = target[[5, 0]]
    flow = fitted(source, target)
    assert set(flow.gave_way()) <= {0, 5}
    assert flow.used_smoothing > 0
    for end in (0.0, 1.0):
        assert bool((determinants(flow, FRAME, 0.5, end) > 0).all())


@pytest.mark.parametrize("noise", [3.0, 10.0])
def test_noise_on_landmarks_gives_no_folds(noise):
    source, target = random_pair(60)
    target = target + noise * PIXEL * torch.randn(target.shape, dtype=torch.float64)
    flow = fitted(source, target)
    for end in (0.0, 1.0):
        assert bool((determinants(flow, FRAME, 0.5, end) > 0).all())


def test_smoothing_trades_landmark_error_for_bending():
    source, target = random_pair()
    errors = [
        float((fitted(source, target, smoothing=s)(source, 0.0, 1.0) - target).norm(dim=1).mean())
        for s in (0.0, 1e-4, 1e-3, 1e-2)
    ]
    assert errors[0] < 1e-7
    assert errors == sorted(errors)
    assert errors[3] > 10 * errors[1] > 0


def test_hopeless_landmarks_are_refused():
    torch.manual_seed(3)
    source = random_points(60)
    with pytest.raises(GeometryError, match=r"folds"):
        fitted(source, -source.flip(1)[torch.randperm(60)] * torch.tensor([1.0, -1.0]))


@pytest.mark.parametrize("anchors", [0, 4])
def test_landmarks_outside_of_the_frame(anchors):
    source, target = random_pair()
    source[:2], target[:2] = torch.tensor([1.2, 1.1]), torch.tensor([1.25, 1.0])
    source[1] += 0.2
    target[1] += 0.2
    flow = fitted(source, target, border_anchors=anchors)
    assert float((flow(source, 0.0, 1.0) - target).abs().max()) < 1e-6


def test_nothing_fitted_nothing_warped():
    with pytest.raises(GeometryError, match="no landmarks yet") as caught:
        ThinPlateFlow()(torch.zeros(1, 2), 0.0, 1.0)
    assert "fit" in caught.value.remedy


def test_bad_landmarks():
    good = random_pair()[0]
    with pytest.raises(GeometryError, match="as many"):
        fitted(good, good[:-1])
    with pytest.raises(GeometryError, match="at least one"):
        fitted(good[:0], good[:0])
    with pytest.raises(DataError, match="wrong shape"):
        fitted(good[0], good[0])
    bad = good.clone()
    bad[3, 1] = math.nan
    with pytest.raises(GeometryError, match=r"source.*\[3\]"):
        fitted(bad, good)
    bad[3, 1] = math.inf
    with pytest.raises(GeometryError, match=r"target.*\[3\]"):
        fitted(good, bad)


@pytest.mark.parametrize("steps", [1, 3, 4, 5, 64, 97, 200])
def test_no_fewer_steps_than_asked_for(steps):
    flow = fitted(*random_pair(), steps=steps)
    assert flow.used_steps >= steps


# ------------------------------------------------------------ storage and
# devices
def test_state_dict_round_trip_into_a_fresh_module():
    flow, points = fitted(*random_pair(), WIDE), random_points()
    fresh = ThinPlateFlow()
    fresh.load_state_dict(flow.state_dict())
    assert set(flow.state_dict()) == {"source", "target", "frame_size"}
    assert torch.equal(fresh(points, 0.3, 1.0), flow(points, 0.3, 1.0))


def test_state_dict_with_another_number_of_landmarks():
    first, second = fitted(*random_pair(24, seed=1)), fitted(*random_pair(9, seed=2))
    points = random_points()
    assert first.source.shape != second.source.shape
    second(points, 0.0, 1.0)
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(points, 0.0, 1.0), first(points, 0.0, 1.0))
    wrapped = torch.nn.Sequential(ThinPlateFlow())
    wrapped.load_state_dict(torch.nn.Sequential(first).state_dict())
    assert torch.equal(wrapped[0](points, 0.0, 1.0), first(points, 0.0, 1.0))


def test_loading_does_not_share_memory():
    flow, fresh = fitted(*random_pair()), ThinPlateFlow()
    fresh.load_state_dict(flow.state_dict())
    fresh.source.zero_()
    assert bool(flow.source.any())


def test_an_empty_state_dict_does_not_fit():
    with pytest.raises(RuntimeError, match="Missing"):
        fitted(*random_pair()).load_state_dict({})


def test_fitting_again_forgets_the_old_landmarks():
    flow, points = fitted(*random_pair(seed=1)), random_points()
    old = dense_map(flow, FRAME, 0.5, 0.0)
    flow.fit(*random_pair(seed=2), FRAME)
    fresh = fitted(*random_pair(seed=2))
    assert torch.equal(flow(points, 0.0, 1.0), fresh(points, 0.0, 1.0))
    assert torch.equal(dense_map(flow, FRAME, 0.5, 0.0), dense_map(fresh, FRAME, 0.5, 0.0))
    assert not torch.equal(dense_map(flow, FRAME, 0.5, 0.0), old)


@pytest.mark.parametrize(
    "move",
    [lambda m: m.to("cpu"), lambda m: m.float(), lambda m: m.to(torch.float32)],
    ids=["device", "float", "dtype"],
)
def test_moves_that_change_nothing_keep_the_warp_to_the_last_bit(move):
    flow, points = fitted(*random_pair()), random_points()
    before = flow(points, 0.0, 1.0)
    dense = dense_map(flow, FRAME, 0.5, 0.0)
    solutions = dict(flow._solutions)
    moved = move(flow)
    assert moved._solutions.keys() == solutions.keys()
    assert torch.equal(moved(points, 0.0, 1.0), before)
    assert torch.equal(dense_map(moved, FRAME, 0.5, 0.0), dense)


def test_another_device_clears_what_was_computed():
    flow = fitted(*random_pair())
    dense_map(flow, FRAME, 0.5, 0.0)
    assert flow._solutions
    assert flow.shifts
    moved = flow.to("meta")
    assert not moved._solutions
    assert not moved.shifts


def test_copies_are_independent():
    flow, points = fitted(*random_pair(seed=1)), random_points()
    twin = copy.deepcopy(flow)
    twin.fit(*random_pair(seed=2), FRAME)
    assert torch.equal(flow(points, 0.0, 1.0), fitted(*random_pair(seed=1))(points, 0.0, 1.0))


@pytest.mark.slow
def test_two_hundred_landmarks_on_two_threads_do_not_hang():
    code = """
import torch
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.frames import Frame
torch.set_num_threads(2)
axis = torch.linspace(-0.7, 0.7, 15, dtype=torch.float64)
source = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)[:200]
target = source + 0.01 * torch.sin(7 * source.flip(1))
flow = ThinPlateFlow().fit(source, target, Frame(256, 256))
print(float((flow(source, 0.0, 1.0) - target).abs().max()) < 1e-6, torch.get_num_threads())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=900, check=False
    )
    assert done.stdout.split() == ["True", "2"], done.stderr


@pytest.mark.parametrize(
    "options",
    [
        {"smoothing": -1.0},
        {"smoothing": math.nan},
        {"smoothing": math.inf},
        {"border_anchors": -1},
        {"steps": 0},
        {"lattice_nodes": 1},
    ],
)
def test_settings_out_of_their_range(options):
    with pytest.raises(ConfigError, match="cannot be computed"):
        ThinPlateFlow(**options)


def test_the_integration_is_of_fourth_order():
    flow, points = (
        fitted(*random_pair(), border_anchors=0, similarity=False),
        random_points(100, 0.5),
    )

    def after(steps):
        flow.used_steps = steps
        flow._solutions.clear()
        return flow(points, 0.0, 1.0)

    exact = after(96)
    errors = [float((after(steps) - exact).norm(dim=1).median()) for steps in (3, 6, 12)]
    assert errors[0] > 10 * errors[1] > 100 * errors[2] > 0


def test_half_precision_does_not_touch_the_landmarks():
    flow, points = fitted(*random_pair()), random_points()
    before = flow(points, 0.0, 1.0)
    assert torch.equal(flow.half()(points, 0.0, 1.0), before)
    assert flow.source.dtype == torch.float64
