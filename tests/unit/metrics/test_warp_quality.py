"""Figures of warps in pixels of 1/512, and the learning-rate schedules."""

import math

import pytest
import torch

from facemorph.engine.optimizers import adam_with_schedule
from facemorph.errors import ConfigError
from facemorph.fields.warps.thin_plate_flow import PIXEL, ThinPlateFlow
from facemorph.metrics.warp_quality import alignment_error, landmark_errors, map_quality
from facemorph.ops.frames import Frame


class Shift:
    """Moves by ``t`` times a vector; dense, no lattice."""

    lattice_nodes = None

    def __init__(self, x, y):
        self.vector = torch.tensor([x, y], dtype=torch.float64)

    def __call__(self, xy, t0, t1):
        return xy + (t1 - t0) * self.vector.to(xy)


class OneWay(Shift):
    """The way back is the identity."""

    def __call__(self, xy, t0, t1):
        return super().__call__(xy, t0, t1) if t0 == 0.5 else xy


class Squeeze(Shift):
    """x -> x + strength x^2 / 2 on the way from half-way."""

    def __init__(self, strength):
        super().__init__(0, 0)
        self.strength = strength

    def __call__(self, xy, t0, t1):
        moved = xy.clone()
        moved[:, 0] = xy[:, 0] + self.strength * xy[:, 0] ** 2 / 2
        return moved


def test_landmark_errors_in_pixels():
    source = torch.rand(10, 2, dtype=torch.float64) - 0.5
    target = source + torch.tensor([3 * PIXEL, 4 * PIXEL], dtype=torch.float64)
    still = Shift(0, 0)
    found = landmark_errors(still, source, target)
    assert found["landmark_error_px"] == pytest.approx(5, rel=1e-9)
    assert found["alignment_px"] == pytest.approx(5, rel=1e-9)
    exact = landmark_errors(Shift(3 * PIXEL, 4 * PIXEL), source, target)
    assert exact["landmark_error_px"] == pytest.approx(0, abs=1e-9)
    assert alignment_error(Shift(3 * PIXEL, 4 * PIXEL), source, target) == pytest.approx(
        0, abs=1e-9
    )
    assert alignment_error(Shift(6 * PIXEL, 8 * PIXEL), source, target) == pytest.approx(
        5, rel=1e-9
    )


def test_coincident_landmarks_count_once_and_all_are_reported_too():
    source = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    target = source.clone()
    target[0, 0], target[1, 0] = PIXEL, -PIXEL
    found = landmark_errors(Shift(0, 0), source, target)
    assert found["landmark_error_px"] == pytest.approx(0, abs=1e-9)
    assert found["landmark_error_all_px"] == pytest.approx(2 / 3, rel=1e-9)


@pytest.mark.parametrize("frame", [Frame(128, 128), Frame(60, 120), Frame(120, 60)])
def test_quality_of_a_translation(frame):
    found = map_quality(Shift(0.1, -0.05), frame)
    assert found["inverse_error_px"] == pytest.approx(0, abs=1e-3)
    assert found["fold_over_percent"] == 0
    assert found["min_determinant"] == pytest.approx(1, abs=1e-3)
    assert found["bending_energy"] == pytest.approx(0, abs=1e-3)


def test_the_inverse_error_is_seen():
    found = map_quality(OneWay(0.1, 0.0), Frame(64, 64))
    assert found["inverse_error_px"] == pytest.approx(0.05 / PIXEL, rel=1e-3)
    assert found["inverse_error_max_px"] == pytest.approx(0.05 / PIXEL, rel=1e-3)


@pytest.mark.parametrize(("side", "evaluated"), [(65, 4 * 65**2), (200, 2 * (200**2 + 2 * 129**2))])
def test_a_small_frame_is_asked_for_itself_alone(side, evaluated):
    """Maps of an epoch are small: they were evaluated again on a lattice of 129 nodes."""

    class Counting(Squeeze):
        places = 0

        def __call__(self, xy, t0, t1):
            self.places += len(xy)
            return super().__call__(xy, t0, t1)

    warp = Counting(0.4)
    map_quality(warp, Frame(side, side))
    assert warp.places == evaluated


@pytest.mark.parametrize("frame", [Frame(200, 200), Frame(100, 200)])
def test_bending_of_a_known_map(frame):
    """x + s x^2 / 2 has one second derivative, s: |H|^2 = s^2, whatever the frame's size
    and shape.
    """
    assert map_quality(Squeeze(0.4), frame)["bending_energy"] == pytest.approx(0.16, rel=1e-2)


@pytest.mark.parametrize("frame", [Frame(100, 100), Frame(50, 100)])
def test_folds_of_a_known_map(frame):
    """det = 1 + s x is negative for x < -1/s: a quarter of the width at s = 2."""
    found = map_quality(Squeeze(2.0), frame)
    assert found["fold_over_percent"] == pytest.approx(25, abs=1.5)
    assert found["min_determinant"] == pytest.approx(-1, abs=0.05)


def test_quality_of_the_flow_is_that_of_its_claims():
    torch.manual_seed(1)
    source = torch.rand(15, 2, dtype=torch.float64) - 0.5
    target = source + 0.02 * torch.randn(15, 2, dtype=torch.float64)
    flow = ThinPlateFlow().fit(source, target, Frame(128, 128))
    found = map_quality(flow, Frame(128, 128)) | landmark_errors(flow, source, target)
    assert found["inverse_error_px"] < 0.01
    assert found["fold_over_percent"] == 0
    assert found["landmark_error_px"] < 1e-5


def test_the_cosine_goes_down_to_a_hundredth():
    weight = torch.nn.Parameter(torch.zeros(1))
    made = adam_with_schedule([weight], 0.1, "cosine", 10)
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "step"
    rates = []
    for _ in range(13):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(0.1)
    assert rates[5] == pytest.approx(0.1 * (0.01 + 0.99 / 2))
    assert rates[10:] == pytest.approx([0.001] * 3)
    assert rates == sorted(rates, reverse=True)


def test_the_constant_schedule_has_no_scheduler():
    made = adam_with_schedule([torch.nn.Parameter(torch.zeros(1))], 1e-4, "constant", 10)
    assert set(made) == {"optimizer"}
    assert made["optimizer"].param_groups[0]["lr"] == 1e-4
    assert adam_with_schedule([torch.nn.Parameter(torch.zeros(1))], 1e-4, "cosine", 0)


@pytest.mark.parametrize(
    ("rate", "schedule", "key"),
    [
        (1e-3, "linear", "system.schedule"),
        (0.0, "cosine", "system.learning_rate"),
        (-1.0, "constant", "system.learning_rate"),
        (math.nan, "constant", "system.learning_rate"),
        (math.inf, "cosine", "system.learning_rate"),
    ],
)
def test_unusable_schedules(rate, schedule, key):
    with pytest.raises(ConfigError) as caught:
        adam_with_schedule([torch.nn.Parameter(torch.zeros(1))], rate, schedule, 10)
    assert caught.value.where == key


def test_mixed_derivatives_count_twice():
    """X + s x y has two second derivatives, d2/dxdy and d2/dydx."""

    class Twist(Shift):
        def __call__(self, xy, t0, t1):
            return xy + 0.3 * torch.stack([xy[:, 0] * xy[:, 1], 0 * xy[:, 0]], 1)

    assert map_quality(Twist(0, 0), Frame(200, 200))["bending_energy"] == pytest.approx(
        2 * 0.09, rel=1e-2
    )
