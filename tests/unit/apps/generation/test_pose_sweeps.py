"""Poses by words, and people in every pose with every expression."""

from __future__ import annotations

import math

import pytest

from facemorph.apps.generation.choices import poses_of
from facemorph.apps.generation.face_files import read_faces
from facemorph.apps.generation.generated_faces import FaceGenerator
from facemorph.cli import run
from facemorph.errors import ConfigError
from facemorph.geometry.models.parameters import FaceParameters


def test_poses_of_words():
    found = poses_of(["-45:45:45", "pitch=-10:10:10", "both=5:5:1"])
    assert [(one.label, one.yaw, one.pitch) for one in found] == [
        ("yaw-45", -45, 0),
        ("yaw+0", 0, 0),
        ("yaw+45", 45, 0),
        ("pitch-10", 0, -10),
        ("pitch+0", 0, 0),
        ("pitch+10", 0, 10),
        ("both+5", 5, 5),
    ]
    # The authors' 21 pictures of a person: seven angles about each of three axes.
    words = [f"{axis}=-45:45:15" for axis in ("pitch", "yaw", "both")]
    assert len(poses_of(words)) == 21
    assert poses_of(None) == []


@pytest.mark.parametrize("word", ["45", "1:2", "-70:0:5", "0:10:0", "roll=0:5:1", "5:0:1", "a:b:c"])
def test_words_that_are_no_poses(word):
    with pytest.raises(ConfigError, match="unusable poses"):
        poses_of([word])


def test_every_person_in_every_way(tmp_path):
    words = ["sample", "--checkpoint", "@open:gif", "-o", str(tmp_path), "--count", "2"]
    words += ["--poses=-20:20:20", "--expressions", "neutral", "--expressions", "jawOpen=0.5"]
    assert run(words) == 0
    names = sorted(path.name for path in tmp_path.glob("face_*.png"))
    assert len(names) == 12
    assert "face_002_jawOpen=0.5_yaw-20.png" in names
    faces = read_faces(tmp_path, FaceGenerator.load("@open:gif"))
    assert (faces.codes[:6] == faces.codes[:1]).all()
    assert (faces.codes[6:] != faces.codes[:1]).any()
    parameters = FaceParameters.load(tmp_path / "parameters.npz")
    jaw = parameters.expression[:, parameters.expression_names.index("jawOpen")].tolist()
    assert jaw == [0, 0, 0, 0.5, 0.5, 0.5] * 2
    turned = parameters.rotation.norm(dim=1)
    assert turned[:3].tolist() == pytest.approx([math.radians(20), 0, math.radians(20)], abs=1e-5)


def test_words_that_are_no_expressions(tmp_path, capsys):
    words = ["sample", "--checkpoint", "@open:gif", "-o", str(tmp_path), "--count", "1"]
    assert run([*words, "--expressions", "jawOpn=0.5"]) == 2
    assert "jawOpen" in capsys.readouterr().err
