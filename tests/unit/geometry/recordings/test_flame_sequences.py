"""Sequences of FLAME's parameters: arrays under the names of trackers and data sets, and another
head, which refuses them.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import model_lookalikes as look

from facemorph.errors import DataError
from facemorph.geometry.models.flame import load_flame
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.recordings.flame_sequences import read_flame_sequence

COUNT = 4


@pytest.fixture(scope="module")
def flame(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flame")
    np.savez(folder / "flame2023.npz", **look.flame_arrays())
    look.npy_pickle(look.landmark_arrays(), folder / "landmark_embedding.npy")
    return load_flame(folder / "flame2023.npz")


def arrays(**changes):
    generator = np.random.default_rng(1)
    found = {
        "expression": generator.normal(size=(COUNT, 50)),
        "pose": generator.uniform(-0.3, 0.3, (COUNT, 15)),
    } | changes
    return {name: value for name, value in found.items() if value is not None}


def write(path, values):
    if path.suffix == ".npz":
        np.savez(path, **values)
    else:
        path.mkdir()
        for name, value in values.items():
            np.save(path / f"{name}.npy", value)
    return path


@pytest.mark.parametrize("name", ["a.npz", "folder"])
@pytest.mark.parametrize("alone", ["exp", "expr", "expression"])
def test_expression_pose_shape_and_speed(flame, tmp_path, name, alone):
    values = arrays(shape=np.linspace(-1, 1, 100), fps=np.array(30))
    values[alone] = values.pop("expression")
    found, rate = read_flame_sequence(write(tmp_path / name, values), flame)
    assert rate == 30
    expression = torch.from_numpy(values[alone]).float()
    torch.testing.assert_close(found.expression[:, :50], expression)
    assert found.expression.shape == (COUNT, 100)
    assert not found.expression[:, 50:].any()
    pose = torch.from_numpy(values["pose"]).float().view(COUNT, 5, 3)
    torch.testing.assert_close(found.rotation, pose[:, 0])
    torch.testing.assert_close(found.joints, pose[:, 1:])  # neck, jaw, left eye, right eye
    for row in found.identity:
        torch.testing.assert_close(row[:100], torch.linspace(-1, 1, 100))
        assert not row[100:].any()


def test_pose_of_deca_and_parts_by_themselves(flame, tmp_path):
    pose = np.random.default_rng(2).uniform(-0.3, 0.3, (COUNT, 6))
    found, rate = read_flame_sequence(write(tmp_path / "a.npz", arrays(pose=pose)), flame)
    assert rate is None
    expected = torch.from_numpy(pose).float()
    torch.testing.assert_close(found.rotation, expected[:, :3])
    torch.testing.assert_close(found.joints[:, 1], expected[:, 3:])
    assert not found.joints[:, [0, 2, 3]].any()
    parts = {"jaw_pose": pose[:, 3:], "global_orient": pose[:, :3], "eyes_pose": pose, "pose": None}
    found, _ = read_flame_sequence(write(tmp_path / "b.npz", arrays(**parts)), flame)
    torch.testing.assert_close(found.rotation, expected[:, :3])
    torch.testing.assert_close(found.joints[:, 1], expected[:, 3:])
    torch.testing.assert_close(found.joints[:, 2:].flatten(1), expected)
    assert not found.identity.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expression": None}, "no sequence of FLAME"),
        ({"expression": np.zeros(50)}, "no sequence of FLAME"),
        ({"expression": np.zeros((COUNT, 101))}, "expression is not that of this FLAME"),
        ({"expression": np.zeros((0, 50))}, "number of frames"),
        ({"expression": np.full((COUNT, 50), np.nan)}, "a.npz, expression"),
        ({"expression": np.full((COUNT, 50), 1e300)}, "a.npz, expression|no finite"),
        ({"expression": np.full((COUNT, 50), "x")}, "a.npz, expression"),
        ({"pose": np.zeros((COUNT, 3))}, "4 rows of 6 or 15 numbers"),
        ({"pose": np.zeros((COUNT + 1, 6))}, "4 rows of 6 or 15 numbers"),
        ({"pose": np.full((COUNT, 6), 90.0)}, "no angles in radians"),
        ({"shape": np.zeros((3, 300))}, "shape is not that of this FLAME"),
        ({"shape": np.zeros(400)}, "shape is not that of this FLAME"),
        ({"fps": np.array(0)}, "speed"),
        ({"fps": np.array([25, 30])}, "speed"),
    ],
)
def test_other_arrays_are_refused(flame, tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        read_flame_sequence(write(tmp_path / "a.npz", arrays(**changes)), flame)


def test_another_head_refuses_them_with_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"a\.npz.*the model makehuman.*--model FILE"):
        read_flame_sequence(write(tmp_path / "a.npz", arrays()), load_makehuman())


def test_objects_are_never_unpickled(flame, tmp_path):
    path = write(tmp_path / "a.npz", {"expression": np.array([{}], dtype=object)})
    with pytest.raises(DataError, match="never read"):
        read_flame_sequence(path, flame)
