"""Faces that no flat morph joins well are said, and others are not."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest
import torch

from facemorph.faces.agreement import approximate_yaw, opening_of, say_disagreements
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation

SIZE = 512


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


def marks(model, yaw=0.0, pitch=0.0, roll=0.0, seed=None, **expression):
    """Landmarks of a head as a camera sees it."""
    one = FaceParameters.neutral(model).with_expression(**expression)
    if seed is not None:
        draw = torch.Generator().manual_seed(seed)
        one = replace(one, identity=torch.randn(one.identity.shape, generator=draw))
    angles = torch.deg2rad(torch.tensor([[yaw], [pitch], [roll]]))
    one = replace(
        one,
        rotation=vector_from_rotation(rotation_from_euler(*angles)),
        origin=torch.full((1, 2), SIZE / 2),
        log_size=torch.tensor([math.log(SIZE / 400)]),
    )
    points = model.landmarks(vertices_of(model, one))
    return camera_of(one, Frame(SIZE, SIZE)).project(points).pixels[0]


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
