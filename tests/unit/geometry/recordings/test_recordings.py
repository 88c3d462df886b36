"""Recordings are known by their content, whatever they are called."""

from __future__ import annotations

import json

import numpy as np
import pytest

from facemorph.errors import DataError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.recordings.recordings import kind_of, read_recording


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture
def files(model, tmp_path):
    names = model.expression_names
    live = ["Timecode," + ",".join(names), "1:0:0:1," + ",".join(["0.5"] * len(names))]
    (tmp_path / "live link").write_text("\ufeff" + "\n".join(live))
    frames = {"fps": 30, "frames": [{"blendShapes": {"jawOpen": 0.5}}]}
    (tmp_path / "json").write_text("\n " + json.dumps(frames))
    joints = "".join(
        f"JOINT {name} {{ OFFSET 0 0 0 CHANNELS 1 Xposition }}\n" for name in names[:20]
    )
    (tmp_path / "bvh").write_text(
        f"HIERARCHY\nROOT head {{ OFFSET 0 0 0 CHANNELS 0\n{joints}}}\n"
        f"MOTION\nFrames: 1\nFrame Time: 0.04\n{'0.5 ' * 20}\n"
    )
    FaceParameters.neutral(model, 2).save(tmp_path / "fit.npz")
    (tmp_path / "fit.npz").rename(tmp_path / "parameters")
    np.savez(tmp_path / "flame.npz", exp=np.zeros((2, 50)))
    (tmp_path / "flame.npz").rename(tmp_path / "flame")
    return tmp_path


@pytest.mark.parametrize("kind", ["live link", "json", "bvh", "parameters"])
def test_each_kind_is_read_under_any_name(files, model, kind):
    assert kind_of(files / kind) == kind
    (files / kind).rename(files / "take.mp4")
    parameters, _ = read_recording(files / "take.mp4", model)
    assert len(parameters) == (2 if kind == "parameters" else 1)
    assert (float(parameters.expression.max()) == 0.5) == (kind != "parameters")


def test_flame_is_told_to_another_head(files, model):
    assert kind_of(files / "flame") == "flame"
    (files / "folder").mkdir()
    np.save(files / "folder" / "expression.npy", np.zeros((2, 50)))
    assert kind_of(files / "folder") == "flame"
    for name in ("flame", "folder"):
        with pytest.raises(DataError, match="--model FILE"):
            read_recording(files / name, model)


def test_what_is_no_recording(files, model):
    (files / "a.png").write_bytes(b"\x89PNG")
    (files / "pictures").mkdir()
    for name in ("a.png", "pictures", "nothing.mp4"):
        assert read_recording(files / name, model) is None
    np.savez(files / "other.npz", points=np.zeros(3))
    for name, content in (("a.json", b'{"points": [1]}'), ("b.csv", b"x,y\n"), ("c.bvh", b"\0")):
        (files / name).write_bytes(content)
    for name in ("a.json", "b.csv", "c.bvh", "other.npz"):
        with pytest.raises(DataError, match=f"{name}: this is no recording.*Live Link Face"):
            read_recording(files / name, model)
    with pytest.raises(DataError, match="no such file"):
        read_recording(files / "nothing.bvh", model)
