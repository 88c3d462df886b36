"""Smoothing over time against dense solves and the frequency response it states."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facemorph.errors import ConfigError
from facemorph.geometry.fitting.smoothing import OneEuroFilter, smooth, smooth_rotations
from facemorph.ops.rotations import angle_between, rotation_from_euler


@pytest.mark.parametrize("count", [3, 4, 5, 30])
def test_smooth_is_the_dense_solve(count):
    values = torch.randn(count, 2, dtype=torch.float64)
    weights = torch.rand(count, dtype=torch.float64)
    weights[1] = 0
    difference = np.zeros((count - 2, count))
    for row in range(count - 2):
        difference[row, row : row + 3] = 1, -2, 1
    strength = (2 - 2 * math.cos(2 * math.pi * 2 / 25)) ** -2
    expected = np.linalg.solve(
        np.diag(weights.numpy()) + strength * difference.T @ difference,
        weights[:, None].numpy() * values.numpy(),
    )
    assert np.abs(smooth(values, 25.0, 2.0, weights).numpy() - expected).max() < 1e-6


def test_an_oscillation_at_the_cut_off_is_halved_and_a_line_is_kept():
    time = torch.arange(500, dtype=torch.float64) / 25
    wave = torch.sin(2 * math.pi * 3 * time)[:, None]
    middle = smooth(wave, 25.0, 3.0)[100:-100]
    assert float((middle - 0.5 * wave[100:-100]).abs().max()) < 1e-3
    line = torch.stack([time, 3 - time], 1)
    assert float((smooth(line, 25.0, 1.0) - line).abs().max()) < 1e-6


def test_missing_frames_are_interpolated():
    line = torch.arange(20, dtype=torch.float64)[:, None]
    weights = torch.ones(20)
    weights[5:9] = 0
    holes = line.clone()
    holes[5:9] = 100
    assert float((smooth(holes, 25.0, 3.0, weights) - line).abs().max()) < 1e-4


def test_rotations_lose_their_noise_and_not_their_turn():
    generator = torch.Generator().manual_seed(0)
    yaw = torch.linspace(-0.7, 0.7, 60)
    true = rotation_from_euler(yaw, torch.zeros(60), torch.zeros(60))
    noise = torch.randn(3, 60, generator=generator) * 0.03
    noisy = rotation_from_euler(yaw + noise[0], noise[1], noise[2])
    found = smooth_rotations(noisy, 25.0, 1.0)
    assert float(angle_between(found, true).mean()) < 0.4 * float(angle_between(noisy, true).mean())
    assert torch.allclose(found @ found.transpose(1, 2), torch.eye(3).expand(60, 3, 3), atol=1e-5)


def test_one_euro_follows_the_published_recursion():
    values = torch.randn(12, 3, dtype=torch.float64)
    keep = OneEuroFilter(25.0, 0.5, 0.1)
    found = torch.stack([keep(value) for value in values])

    def share(cutoff):
        tau = 1 / (2 * math.pi * cutoff)
        return 1 / (1 + tau * 25)

    for channel in range(3):
        last, speed = float(values[0, channel]), 0.0
        for frame in range(1, 12):
            value = float(values[frame, channel])
            speed += share(1.0) * ((value - last) * 25 - speed)
            last += share(0.5 + 0.1 * abs(speed)) * (value - last)
            assert float(found[frame, channel]) == pytest.approx(last, abs=1e-12)


def test_faster_motion_lags_less_with_beta():
    ramp = torch.arange(50, dtype=torch.float64)[:, None]
    lags = []
    for beta in (0.0, 0.5):
        keep = OneEuroFilter(25.0, 0.5, beta)
        lags.append(float((ramp[-1] - [keep(value) for value in ramp][-1]).abs()))
    assert lags[1] < 0.2 * lags[0]


def test_what_cannot_be():
    for arguments in ((0.0,), (25.0, 0.0), (25.0, 1.0, -1.0), (25.0, 1.0, 0.0, 0.0)):
        with pytest.raises(ConfigError):
            OneEuroFilter(*arguments)
    with pytest.raises(ConfigError, match="cutoff"):
        smooth(torch.zeros(5, 1), 25.0, 0.0)
    with pytest.raises(ConfigError, match="no frame"):
        smooth(torch.zeros(5, 1), 25.0, 1.0, torch.zeros(5))
    assert smooth(torch.ones(2, 1), 25.0).tolist() == [[1.0], [1.0]]
