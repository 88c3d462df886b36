"""Dense refinement: its group, its inverse, the held face, the border, and how a morph uses it."""

import math

import pytest
import torch

from facemorph.errors import DataError, GeometryError
from facemorph.faces.masks import convex_hull_mask, held_face
from facemorph.faces.pair import FacePair, prepare_pair
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.blended_pairs import warp_pair
from facemorph.fields.warps.dense_refinement import (
    RefinedWarp,
    demons_velocity,
    exponential,
    local_contrast,
    pull,
    refine_warp,
)
from facemorph.fields.warps.maps import dense_map, map_determinants
from facemorph.fields.warps.thin_plate_flow import PIXEL, ThinPlateFlow
from facemorph.fields.warps.warp import Warp
from facemorph.metrics.picture_agreement import picture_agreement
from facemorph.ops.filters import gaussian_blur
from facemorph.ops.frames import Frame
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair
from facemorph.systems.ifmorph.system import NeuralWarp

SIZE = 128


def smooth_velocity(frame, seed=0, largest=3.0):
    """Random smooth velocity ``(1, 2, h, w)`` in pixels."""
    noise = torch.randn(
        1, 2, frame.height, frame.width, generator=torch.Generator().manual_seed(seed)
    )
    velocity = gaussian_blur(gaussian_blur(noise, 5.0), 5.0)
    return velocity * (largest / velocity.abs().max())


@pytest.fixture(scope="module")
def pair(samples):
    return prepare_pair(*samples, size=SIZE)


@pytest.fixture(scope="module")
def system(pair):
    made = NeuralWarp(ThinPlateFlow(smoothing=1e-3))
    made.solve(LandmarkPair.of(pair))
    return made.eval()


@pytest.fixture(scope="module")
def refined(system):
    return system.warp_to_render(refine=True)


def blob(frame, x, y, scale=0.15):
    centres = frame.pixel_centres()
    squared = (centres - torch.tensor([x, y])).square().sum(-1)
    return (0.2 + 0.6 * torch.exp(-squared / scale**2)).expand(3, -1, -1).contiguous()


# ------------------------------------------------------------
# exponentials
def test_the_exponential_of_a_constant_is_that_shift():
    velocity = torch.tensor([2.5, -1.25])[None, :, None, None].expand(1, 2, 20, 30)
    torch.testing.assert_close(exponential(velocity), velocity, rtol=0, atol=1e-6)
    assert not exponential(torch.zeros(1, 2, 4, 4)).any()


def test_the_exponential_of_a_rotation():
    frame = Frame(65, 65)
    centres = frame.to_pixels(frame.pixel_centres()) - 32.5
    angle = 0.3
    velocity = torch.stack([-angle * centres[..., 1], angle * centres[..., 0]])[None]
    turned = torch.stack(
        [
            centres[..., 0] * math.cos(angle) - centres[..., 1] * math.sin(angle),
            centres[..., 0] * math.sin(angle) + centres[..., 1] * math.cos(angle),
        ]
    )
    near = centres.norm(dim=-1) < 20  # what never meets the border
    error = (exponential(velocity)[0] - (turned - centres.permute(2, 0, 1))).norm(dim=0)
    assert float(error[near].max()) < 2e-3


@pytest.mark.parametrize("frame", [Frame(64, 64), Frame(48, 72)])
def test_inverse_and_halves_of_the_exponential(frame):
    warp = RefinedWarp(ThinPlateFlow(), smooth_velocity(frame)[0] / frame.half_extent)
    centres = frame.pixel_centres()
    pixel = 1 / frame.half_extent
    back = warp.refined(warp.refined(centres, 1.0), -1.0)
    assert float((back - centres).norm(dim=-1).max()) < 0.05 * pixel  # at the border, too
    halves = warp.refined(warp.refined(centres, 0.5), 0.5)
    assert float((halves - warp.refined(centres, 1.0)).norm(dim=-1).max()) < 0.05 * pixel
    assert float((warp.refined(centres, 1.0) - centres).norm(dim=-1).max()) > 1 * pixel
    cell = pixel**2
    assert float(map_determinants(warp.refined(centres, 1.0).double()).min() / cell) > 0


def test_nothing_is_clamped_at_the_border():
    """Positions are not: the map goes on beyond the frame, with a determinant near 1."""
    frame = Frame(32, 32)
    velocity = torch.tensor([2.0, 0.0])[:, None, None].expand(2, 32, 32) / frame.half_extent
    positions = RefinedWarp(ThinPlateFlow(), velocity).refined(frame.pixel_centres(), 1.0)
    assert float(positions[..., 0].max()) > 1
    determinants = map_determinants(positions) * frame.half_extent**2
    torch.testing.assert_close(determinants, torch.ones_like(determinants), rtol=0, atol=1e-3)


# ------------------------------------------------------------
# the warp
def test_it_is_a_flow_of_its_own(system, refined):
    points = system.frame.pixel_centres()[::7, ::7].reshape(-1, 2)
    assert isinstance(refined, Warp)
    for time in (0.0, 0.37, 1.0):
        assert torch.equal(refined(points, time, time), points)
    moved = refined(points, 0.0, 1.0)
    pixel = 2 / SIZE  # of this picture
    assert float((refined(moved, 1.0, 0.0) - points).norm(dim=1).max()) < 0.1 * pixel
    assert (
        float((refined(refined(points, 0.0, 0.3), 0.3, 1.0) - moved).norm(dim=1).max())
        < 0.1 * pixel
    )
    assert float((moved - system.warp(points, 0.0, 1.0)).norm(dim=1).max()) > 0.5 * pixel


@pytest.mark.parametrize(
    ("t0", "t1"), [(0.5, 0.0), (0.5, 1.0), (0.25, 0.0), (0.8, 1.0), (0.3, 0.3)]
)
def test_the_dense_map_is_the_warp_at_every_pixel(system, refined, t0, t1):
    frame = system.frame
    fast, exact = dense_map(refined, frame, t0, t1), dense_map(refined, frame, t0, t1, nodes=None)
    error = (fast - exact).norm(dim=-1) / (2 / SIZE)
    assert float(error.max()) < 0.3  # at the border, beyond which Psi is linear
    assert float(error.mean()) < 0.01
    if t0 == t1:
        assert torch.equal(fast, frame.pixel_centres())


def test_both_ends_are_the_photographs(system, pair):
    for blend, outside in (("multiband", "mix"), ("linear", "source")):
        assert torch.equal(
            system.render(0.0, blend=blend, outside=outside, refine=True), pair.image_a
        )
        assert torch.equal(
            system.render(1.0, blend=blend, outside=outside, refine=True), pair.image_b
        )


def test_landmarks_in_the_face_stay(system, refined):
    """All 68 lie in the face: nothing of it moves."""
    for start, end in ((0.5, 0.0), (0.5, 1.0), (0.0, 1.0), (0.2, 0.9)):
        marks = system.warp(system.source.double(), 0.0, start)
        shift = refined(marks, start, end) - system.warp(marks, start, end)
        assert float(shift.norm(dim=1).max()) < 0.05 * PIXEL
    plain, fine = system.quality(), system.quality(refine=True)
    assert fine["landmark_error_px"] == pytest.approx(plain["landmark_error_px"], abs=0.05)
    assert fine["min_determinant"] > 0
    assert fine["fold_over_percent"] == 0


def test_pictures_agree_better_outside_the_face(system):
    face = held_face(
        system.frame.to_pixels(system.warp(system.source.double(), 0.0, 0.5)), system.frame
    )
    before = picture_agreement(*system.warped(0.5), 1 - face)
    after = picture_agreement(*system.warped(0.5, refine=True), 1 - face)
    assert after["gradient_correlation"] > 2 * before["gradient_correlation"]
    assert after["ssim"] > before["ssim"]


def test_it_is_computed_once_for_a_pair_and_anew_for_another(pair, monkeypatch):
    from facemorph.systems.ifmorph import morphed_pair as module

    calls = []
    monkeypatch.setattr(
        module, "refine_warp", lambda *words: calls.append(1) or refine_warp(*words)
    )
    system = NeuralWarp(ThinPlateFlow(smoothing=1e-3))
    system.solve(LandmarkPair.of(pair))
    for time in (0.2, 0.5, 0.8):
        system.render(time, outside="mix", refine=True)
    assert len(calls) == 1
    system.render(0.5)
    assert len(calls) == 1
    system.solve(LandmarkPair.of(pair))
    system.render(0.5, refine=True)
    assert len(calls) == 2
    other = NeuralWarp(ThinPlateFlow(smoothing=1e-3))
    other.load_state_dict(system.state_dict())  # the refinement is computed, not stored
    torch.testing.assert_close(
        other.render(0.5, refine=True), system.render(0.5, refine=True), rtol=0, atol=1e-5
    )


def test_another_size_of_picture(system):
    small = system.render(0.5, outside="mix", refine=True, size=64)
    large = system.render(0.5, outside="mix", refine=True)
    assert small.shape == (3, 64, 64)
    assert float((torch.nn.functional.avg_pool2d(large[None], 2)[0] - small).abs().mean()) < 0.03


def test_wide_frames():
    frame = Frame(60, 100)
    marks = torch.rand(12, 2, dtype=torch.float64) * torch.tensor([30.0, 30.0]) + torch.tensor(
        [35.0, 15.0]
    )
    pair = FacePair(blob(frame, -0.7, 0.2), blob(frame, -0.64, 0.26), marks, marks, "points12")
    system = NeuralWarp(ThinPlateFlow())
    system.solve(LandmarkPair.of(pair))
    before, after = (system.warped(0.5, refine=state) for state in (False, True))
    assert float((after[0] - after[1]).abs().mean()) < 0.5 * float(
        (before[0] - before[1]).abs().mean()
    )
    assert system.render(0.5, blend="linear", refine=True).shape == (3, 60, 100)


# ------------------------------------------------------------
# estimation
def test_two_blobs_meet_half_way():
    frame, free = Frame(96, 96), torch.zeros(1, 96, 96)
    first, second = blob(frame, -0.06, 0.0), blob(frame, 0.06, 0.02)
    warp = refine_warp(
        ThinPlateFlow().fit(torch.rand(5, 2), torch.rand(5, 2), frame), first, second, free
    )
    ends = [
        SplineImage(one).sample(warp.refined(frame.pixel_centres(), sign))
        for one, sign in ((first, -1.0), (second, 1.0))
    ]
    assert float((ends[0] - ends[1]).abs().mean()) < 0.25 * float((first - second).abs().mean())
    shift = warp.refined(torch.tensor([[[0.0, 0.01]]]), 1.0)[0, 0] - torch.tensor([0.0, 0.01])
    # half of the way
    torch.testing.assert_close(shift, torch.tensor([0.06, 0.01]), rtol=0, atol=0.012)


def test_swapping_the_pictures_negates_the_velocity(pair):
    keep = convex_hull_mask(pair.points_a, pair.frame)[None]
    one = demons_velocity(pair.image_a[None], pair.image_b[None], keep)
    two = demons_velocity(pair.image_b[None], pair.image_a[None], keep)
    torch.testing.assert_close(one, -two, rtol=0, atol=1e-3)
    assert float(one.abs().max()) > 0.5


def test_equal_pictures_and_held_frames_do_not_move(pair):
    image, free = pair.image_a[None], torch.zeros(1, 1, SIZE, SIZE)
    assert not demons_velocity(image, image, free).any()
    assert not demons_velocity(image, pair.image_b[None], 1 - free).any()


def test_light_and_skin_tone_do_not_count(pair):
    image = pair.image_a[None]
    torch.testing.assert_close(
        local_contrast(image * 0.8 + 0.1), local_contrast(image), rtol=0, atol=0.5
    )
    assert local_contrast(torch.full((1, 3, 40, 40), 0.6)).abs().max() < 1e-3
    brighter = demons_velocity(image, image * 0.6 + 0.2, torch.zeros(1, 1, SIZE, SIZE))
    assert float(brighter.abs().mean()) < 0.1


def test_a_tiny_picture():
    velocity = demons_velocity(
        torch.rand(1, 3, 20, 28), torch.rand(1, 3, 20, 28), torch.zeros(1, 1, 20, 28)
    )
    assert velocity.shape == (1, 2, 20, 28)
    assert velocity.isfinite().all()


def test_what_does_not_fit_is_refused(pair):
    with pytest.raises(GeometryError, match="one size"):
        refine_warp(ThinPlateFlow(), pair.image_a, pair.image_b[:, :50], torch.zeros(1, SIZE, SIZE))
    with pytest.raises(GeometryError, match="one size"):
        refine_warp(ThinPlateFlow(), pair.image_a, pair.image_b, torch.zeros(SIZE, SIZE))
    with pytest.raises(DataError):
        RefinedWarp(ThinPlateFlow(), torch.zeros(3, 8, 8))


def test_the_held_face_covers_every_landmark_and_fades_outside(pair):
    mask = held_face(pair.points_a, pair.frame)
    column, line = pair.points_a.long().unbind(-1)
    assert bool((mask[0, line.clamp(0, SIZE - 1), column.clamp(0, SIZE - 1)] == 1).all())
    assert float(mask.min()) == 0


def test_pull_and_blur():
    values = torch.rand(1, 2, 9, 12)
    shift = torch.zeros(1, 2, 9, 12)
    shift[:, 0] = 1.0
    torch.testing.assert_close(pull(values, shift)[..., :-1], values[..., 1:], rtol=0, atol=1e-5)
    assert torch.allclose(gaussian_blur(torch.full((2, 3, 9, 9), 0.3), 2.0), torch.tensor(0.3))


def test_refined_morphs_carry_polygons_with_the_refined_warp(system):
    polygon = torch.tensor([[5.0, 5.0], [60.0, 5.0], [60.0, 30.0], [5.0, 30.0]])
    plain, fine = (system.mask(0.7, system.frame, polygon, refine=state) for state in (False, True))
    assert plain.shape == fine.shape == (1, SIZE, SIZE)


def test_warped_pairs_through_the_refined_warp(system, refined):
    one = warp_pair(refined, system.source_field, system.target_field, system.frame, 0.5)
    for a, b in zip(one, system.warped(0.5, refine=True), strict=True):
        assert torch.equal(a, b)
