"""Offsets that grow with the turn: found in turned heads with known ones, and what they are good
for.
"""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.bench.fitting import turned
from facemorph.bench.fitting.turned import (
    TurnedHeads,
    calibrate_turned,
    on_outline,
    read_rows,
    turned_rows,
)
from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.fitting.turned_landmarks import constant_offsets, offsets_at
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.rotations import rotation_from_euler

COUNT, SLIDE = 60, 15.0


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def heads(model):
    """As a detector finds them whose offsets are those that were measured."""
    generator = torch.Generator().manual_seed(2)
    known = detector_offsets(model, "embedded")
    # none where the jaw line may have slid or not
    side = (torch.rand(COUNT, generator=generator) < 0.5).float() * 2 - 1
    near, far = torch.rand(2, COUNT, generator=generator) * 11
    yaw = side * torch.where(torch.arange(COUNT) % 2 == 0, near, 20 + far)
    pitch, roll = torch.randn(2, COUNT, generator=generator) * 5
    camera = Camera(
        rotation_from_euler(*torch.deg2rad(torch.stack([yaw, pitch, roll]))),
        torch.full((COUNT, 2), 128.0),
        torch.full((COUNT,), math.log(0.7)),
    )
    identity = torch.randn(COUNT, model.num_identity, generator=generator)
    expression = torch.zeros(COUNT, model.num_expression)
    vertices = model.vertices(identity, expression)
    marks = model.landmarks(vertices)
    slid = (yaw.abs() > SLIDE)[:, None] & (torch.arange(17) != 8)
    outer = on_outline(marks, model.topology.contour.of(vertices), camera.rotation)
    marks = torch.cat(
        [torch.where(slid[..., None], outer[:, :17], marks[:, :17]), marks[:, 17:]], 1
    )
    pixels = camera.project(marks + offsets_at(known, camera.rotation, slid)).pixels
    return TurnedHeads(identity, expression, camera, pixels)


def test_known_offsets_are_found_again(model, heads):
    known = detector_offsets(model, "embedded")
    found = calibrate_turned(model, heads, constant_offsets(known[0, :68]))
    assert torch.equal(found[0, :68], known[0, :68])
    chin = torch.arange(85) == 68 + 8  # which never slides
    torch.testing.assert_close(found[:, ~chin], known[:, ~chin], rtol=0, atol=0.02)


def test_rows_say_what_is_read_too_small(model, heads):
    known = detector_offsets(model, "embedded")
    grown = read_rows("a", model, heads, known, "<= 1")
    constant = read_rows("b", model, heads, constant_offsets(known[0, :68]))
    assert [row.name.partition(": ")[2] for row in grown] == [
        "yaw of 20 degrees is read too small by",
        "slope of the yaw",
        "slope of the pitch",
        "rotation at 20 degrees of yaw",
    ]
    assert grown[0].bar == "<= 1"
    assert grown[0].ok
    assert abs(grown[0].value) < 0.5
    assert constant[0].value > 1
    assert grown[1].value > constant[1].value
    assert grown[3].value < constant[3].value


def test_without_the_table_of_people(model, tmp_path, monkeypatch):
    monkeypatch.setattr(turned, "SPLIT", tmp_path / "people.csv")
    (row,) = turned_rows(model, tmp_path)
    assert row.value is None
    assert "people.csv is not here" in row.unit
