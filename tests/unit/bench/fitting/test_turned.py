"""Offsets that grow with the turn are found in turned heads with known ones."""

from __future__ import annotations

import math

import torch

from facemorph.bench.fitting.turned import TurnedHeads, calibrate_turned, on_outline
from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.fitting.turned_landmarks import constant_offsets, offsets_at
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.rotations import rotation_from_euler

COUNT, SLIDE = 300, 15.0


def test_known_offsets_are_found_again():
    model, generator = load_makehuman(), torch.Generator().manual_seed(2)
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
    heads = TurnedHeads(identity, expression, camera, pixels)
    found = calibrate_turned(model, heads, constant_offsets(known[0, :68]))
    assert torch.equal(found[0, :68], known[0, :68])
    chin = torch.arange(85) == 68 + 8  # which never slides
    torch.testing.assert_close(found[:, ~chin], known[:, ~chin], rtol=0, atol=0.02)
