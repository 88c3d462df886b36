"""Recordings of Live Link Face: coefficients by name, angles by sign, speed by timecode."""

from __future__ import annotations

import csv
import math

import pytest
import torch
from helpers import ROOT

from facemorph.errors import DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.recordings.live_link import read_live_link
from facemorph.ops.rotations import euler_from_rotation, rotation_from_vector

RECORDING = ROOT.parent / "shared/data/recordings/live_link_face.csv"
ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll")


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


def write(path, model, rows, **changes):
    """A recording with some coefficients; others are 0."""
    names = [name[:1].upper() + name[1:] for name in model.expression_names]
    header = ["Timecode", "BlendShapeCount", *names, *ANGLES]
    lines = [header]
    for code, values in rows:
        known = {"BlendShapeCount": 61, **values}
        lines.append([code, *(str(known.get(name, 0)) for name in header[1:])])
    for (line, column), value in changes.get("damage", {}).items():
        lines[line][column] = value
    with path.open("w", encoding=changes.get("encoding", "utf-8"), newline="") as file:
        csv.writer(file).writerows(lines)
    return path


def test_coefficients_angles_and_speed(model, tmp_path):
    rows = [
        ("13:59:59:58.5", {"JawOpen": 0.25}),
        ("14:00:00:00.5", {"MouthSmileLeft": 0.5, "HeadYaw": -0.3, "HeadPitch": 0.1}),
        ("14:00:00:02.5", {"JawOpen": 1.75, "HeadRoll": 0.2}),
    ]
    found, rate = read_live_link(
        write(tmp_path / "a.csv", model, rows, encoding="utf-8-sig"), model
    )
    assert rate == pytest.approx(30)  # every second of 60
    names = model.expression_names
    jaw = found.expression[:, names.index("jawOpen")]
    torch.testing.assert_close(jaw, torch.tensor([0.25, 0.0, 1.0]))  # within the model's range
    assert float(found.expression[1, names.index("mouthSmileLeft")]) == 0.5
    assert int((found.expression != 0).sum()) == 3
    angles = euler_from_rotation(rotation_from_vector(found.rotation))
    # The person's left is the picture's right, where our yaw is positive.
    expected = torch.tensor([[0.0, 0, 0], [0.3, 0.1, 0], [0, 0, 0.2]])
    torch.testing.assert_close(angles, expected, atol=1e-5, rtol=0)
    assert not found.identity.any()


def test_one_frame_has_the_speed_of_its_timecode(model, tmp_path):
    _, rate = read_live_link(write(tmp_path / "a.csv", model, [("1:0:0:12", {})]), model)
    assert rate == 24


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({(1, 5): "much"}, "a.csv, line 2"),
        ({(1, 5): "nan"}, "a.csv, line 2"),
        ({(1, 0): "later"}, "timecode"),
        ({(0, 0): "Time"}, "no recording"),
    ],
)
def test_damage_is_named(model, tmp_path, damage, message):
    path = write(tmp_path / "a.csv", model, [("1:0:0:1", {})], damage=damage)
    with pytest.raises(DataError, match=message):
        read_live_link(path, model)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "Timecode,JawOpen\n1:0:0:1,0.5\n", None])
def test_other_tables_are_refused(model, tmp_path, content):
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"recording.*a\.csv|a\.csv"):
        read_live_link(path, model)


@pytest.mark.skipif(not RECORDING.is_file(), reason="needs ../shared/data/recordings")
def test_a_real_recording(model):
    found, rate = read_live_link(RECORDING, model)
    assert len(found) == 600
    assert rate == pytest.approx(30, abs=0.1)
    assert bool(torch.isfinite(found.rotation).all())
    look = found.expression[:, model.expression_names.index("eyeLookOutLeft")]
    assert math.isclose(float(look.max()), 0.937, abs_tol=1e-3)
