"""Names, times and units that recordings of all formats share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facemorph.errors import DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.recordings.performance import (
    Performance,
    parameters_of,
    plain_name,
    times_of_codes,
    times_of_stamps,
)
from facemorph.ops.rotations import rotation_from_vector


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("EyeBlinkLeft", "eyeBlinkLeft"),
        ("eyeBlink_L", "eyeBlinkLeft"),
        ("eyeBlinkR", "eyeBlinkRight"),
        ("eyeBlink.R", "eyeBlinkRight"),
        ("eye_blink_l", "eyeBlinkLeft"),
        ("Eye Blink Left", "eyeBlinkLeft"),
        ("head.jawOpen", "jawOpen"),
        ("blendShape1.mouthSmile_L", "mouthSmileLeft"),
        ("mouth_L", "mouthLeft"),
    ],
)
def test_names_of_one_coefficient(name, other):
    assert plain_name(name) == plain_name(other)


def test_names_of_different_coefficients_stay_different():
    names = load_makehuman().expression_names
    assert len({plain_name(name) for name in names}) == len(names)
    assert plain_name("mouthFunnel") == "mouthfunnel"


def test_units_of_stamps(tmp_path):
    for unit in (1, 1e3, 1e6, 1e9):
        times = times_of_stamps(tmp_path, [unit * (5 + n / 60) for n in range(4)])
        np.testing.assert_allclose(times, np.arange(4) / 60, atol=1e-9)
    for stamps in ([0.0, 0.0, 0.0], [3.0, 2.0, 1.0], [0.0, 1e300]):
        with pytest.raises(DataError, match="times"):
            times_of_stamps(tmp_path, stamps)


def test_timecodes(tmp_path):
    times, base = times_of_codes(tmp_path, ["00:00:59:29", "00:01:00;00.5"])
    assert base == 30
    np.testing.assert_allclose(times, [59 + 29 / 30, 60 + 0.5 / 30])


def test_rotations_between_frames_follow_the_arc():
    """A head that turns evenly, at times that are not even, and with a frame that was not seen."""
    times = np.array([0.0, 0.1, 0.2, 0.9, 1.0, 1.1])
    angles = torch.from_numpy(times).float()
    axis = torch.tensor([0.6, 0.0, 0.8])
    performance = Performance(
        None,
        ["jawOpen"],
        times[:, None] / 2,
        rotation_from_vector(angles[:, None] * axis),
        times,
        np.array([True, False, True, True, True, True]),
    )
    found, rate = parameters_of(performance, load_makehuman())
    assert rate == pytest.approx(5 / 1.1)
    even = torch.linspace(0, 1.1, 6)
    torch.testing.assert_close(found.rotation, even[:, None] * axis, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.expression.sum(1), even / 2, atol=1e-5, rtol=0)
