"""Motion files of faces: joints that are coefficients, the head's rotation, and bones, which are
refused.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import ROOT
from scipy.spatial.transform import Rotation

from facemorph.errors import DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.recordings.bvh import read_bvh
from facemorph.ops.rotations import rotation_from_vector

POSES = ROOT.parent / "shared/data/recordings/face-poseunits.bvh"
TURNS = "CHANNELS 3 Zrotation Xrotation Yrotation"
COUNT, WIDTH = 12, 3 + 3 + 3 + 12


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


def joint(name, inside, channels=TURNS, offset="0 0 0"):
    return f"JOINT {name}\n{{\nOFFSET {offset}\n{channels}\n{inside}\n}}"


def end():
    return "End Site\n{\nOFFSET 0 1 0\n}"


def motion(names, rows, channels="CHANNELS 1 Xposition", offset="0 0 0", head="Head"):
    units = "\n".join(joint(name, end(), channels, offset) for name in names)
    inside = joint("Neck1", joint(f"rig:{head}", units or end()))
    tree = f"HIERARCHY\nROOT hips\n{{\nOFFSET 0 0 0\n{TURNS}\n{inside}\n}}"
    lines = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in rows)
    return f"{tree}\nMOTION\nFrames: {len(rows)}\nFrame Time: 0.04\n{lines}\n"


def names_of(model):
    return model.expression_names[:COUNT]


def rows(count=5, seed=0):
    """Hips, neck, head, and values of the coefficients."""
    generator = np.random.default_rng(seed)
    turns = generator.uniform(-30, 30, (count, 9))
    return np.concatenate([turns, generator.uniform(0, 1, (count, COUNT))], 1)


@pytest.mark.parametrize("case", ["plain", "rotation", "offset", "percent"])
def test_coefficients_and_head(model, tmp_path, case):
    values = rows()
    expected = torch.from_numpy(values[:, 9:]).float()
    written, channels, offset = values.copy(), "CHANNELS 1 Xposition", "0 0 0"
    names = names_of(model)
    if case == "percent":
        written[:, 9:] *= 100
        names = [name.replace("Left", "_L").replace("Right", "_R") for name in names]
    if case == "offset":
        written[:, 9:] += 7
        offset = "7 0 0"
    if case == "rotation":
        three = np.zeros((len(values), COUNT, 3))
        three[:, :, 1] = values[:, 9:]
        written = np.concatenate([values[:, :9], three.reshape(len(values), -1)], 1)
        channels = TURNS
    path = tmp_path / "a.bvh"
    path.write_text(motion(names, written, channels, offset))
    found, rate = read_bvh(path, model)
    assert rate == pytest.approx(25)
    torch.testing.assert_close(found.expression[:, :COUNT], expected, atol=2e-5, rtol=0)
    assert not found.expression[:, COUNT:].any()
    neck, head = (Rotation.from_euler("ZXY", values[:, at : at + 3], degrees=True) for at in (3, 6))
    torch.testing.assert_close(
        rotation_from_vector(found.rotation),
        torch.from_numpy((neck * head).as_matrix()).float(),
        atol=1e-5,
        rtol=0,
    )


def test_without_a_head_nothing_turns(model, tmp_path):
    path = tmp_path / "a.bvh"
    path.write_text(motion(names_of(model), rows(), head="skull"))
    assert not read_bvh(path, model)[0].rotation.any()


def changed(model, old, new):
    return motion(names_of(model), rows()).replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("MOTION", "", "no line MOTION"),
        ("Frames: 5", "Frames: 6", "another number of frames"),
        ("Frames: 5", "Frames: 999999999999", "number of frames"),
        ("Frames: 5", "Frames: many", "cannot be read"),
        ("Frame Time: 0.04", "Frame Time: 0", "cannot be read"),
        ("Frame Time: 0.04", "Frame Time: 1e30", "times"),
        ("CHANNELS 1 Xposition", "CHANNELS 1 colour", "in the place of a channel"),
        ("CHANNELS 1 Xposition", "CHANNELS 99999999 Xposition", "in the place of a channel"),
        ("OFFSET 0 0 0", "OFFSET 0 nan 0", "in the place of a number"),
        ("JOINT Neck1\n{", "JOINT Neck1", "cannot be read"),
        ("CHANNELS 1 Xposition", "", "bones"),
    ],
)
def test_damage_is_named(model, tmp_path, old, new, message):
    path = tmp_path / "a.bvh"
    path.write_text(changed(model, old, new))
    with pytest.raises(DataError, match=message) as caught:
        read_bvh(path, model)
    assert "a.bvh" in str(caught.value)


def test_a_damaged_frame_is_named_by_its_line(model, tmp_path):
    path = tmp_path / "a.bvh"
    path.write_text(motion(names_of(model), rows()).rstrip() + " 1\n")
    with pytest.raises(DataError, match=r"a\.bvh, line \d+.*expected 21 numbers"):
        read_bvh(path, model)


def test_bones_are_refused(model, tmp_path):
    path = tmp_path / "a.bvh"
    path.write_text(motion([], rows()[:, :9]))
    with pytest.raises(DataError, match=r"bones, not expressions.*3 joints.*Head.*Export"):
        read_bvh(path, model)
    values = rows()
    two = np.repeat(values[:, 9:], 2, axis=1)
    path.write_text(
        motion(
            names_of(model),
            np.concatenate([values[:, :9], two], 1),
            "CHANNELS 2 Xrotation Yrotation",
        )
    )
    with pytest.raises(DataError, match="moves as a bone"):
        read_bvh(path, model)


@pytest.mark.skipif(not POSES.is_file(), reason="needs ../shared/data/recordings")
def test_pose_units_of_makehuman_are_bones(model):
    with pytest.raises(DataError, match="bones, not expressions"):
        read_bvh(POSES, model)
