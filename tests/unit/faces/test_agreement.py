"""Faces that no flat morph joins well are said, and others are not."""

from __future__ import annotations

import logging

import pytest
import torch
from helpers.head_marks import marks

from facemorph.faces.agreement import approximate_yaw, opening_of, say_disagreements
from facemorph.geometry.models.makehuman import load_makehuman


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.mark.parametrize("yaw", [-50.0, -25.0, 0.0, 15.0, 40.0])
@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (15.0, 0.0), (-10.0, 20.0)])
def test_yaw_against_known_heads(model, yaw, pitch, roll):
    found = [approximate_yaw(marks(model, yaw, pitch, roll, seed)) for seed in range(5)]
    assert all(one * yaw >= 0 for one in found)
    assert all(0.5 * abs(yaw) <= abs(one) <= abs(yaw) + 6 for one in found)
    if pitch < 10:
        assert max(abs(one - yaw) for one in found) < 15


def test_openings(model):
    assert opening_of(marks(model)) < 0.08
    assert opening_of(marks(model, jawOpen=0.7)) > 0.3


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"yaw": 50.0}, "turned against each other"),
        ({"jawOpen": 0.8}, "shut mouth"),
        ({"yaw": 12.0, "seed": 3}, None),
        ({"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "jawOpen": 0.1}, None),
    ],
)
def test_what_is_said(model, caplog, other, word):
    faces = [(marks(model, yaw=-5.0), "ibug68"), (marks(model, **other), "ibug68")]
    with caplog.at_level(logging.WARNING):
        say_disagreements(faces, ["a.jpg", "b.jpg"])
    if word is None:
        assert not caplog.text
    else:
        assert word in caplog.text
        assert "a.jpg" in caplog.text
        assert "b.jpg" in caplog.text


def test_faces_of_other_sizes(model, caplog):
    small = 0.6 * marks(model)
    with caplog.at_level(logging.WARNING):
        say_disagreements([(marks(model), "ibug68"), (small, "ibug68")], ["a.jpg", "b.jpg"])
    assert "a.jpg shows its face 1.7 times as large as b.jpg" in caplog.text


def test_other_points_are_not_judged(model, caplog):
    say_disagreements([(torch.rand(7, 2), "points7")] * 2, ["a", "b"])
    say_disagreements([(marks(model), "ibug68")], ["a"])
    assert not caplog.text
