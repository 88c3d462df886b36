"""Heads turned to the front, and the mirror image of the side that is seen."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from facemorph.faces.checks.mean_face import MEAN_FACE
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.frontal_portrait import mirrored_side, pose_of
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 25.0])
def test_the_pose_of_a_known_head(yaw):
    model = load_makehuman()
    angles = torch.deg2rad(torch.tensor([[yaw], [5.0], [-3.0]]))
    one = replace(
        FaceParameters.neutral(model),
        rotation=vector_from_rotation(rotation_from_euler(*angles)),
        origin=torch.full((1, 2), 128.0),
        log_size=torch.tensor([math.log(0.6)]),
    )
    marks = model.landmarks(vertices_of(model, one))
    points = camera_of(one, Frame(256, 256)).project(marks).pixels[0]
    head = pose_of(model, points, "file")
    assert head.angles == pytest.approx((yaw, 5.0, -3.0), abs=4.0)
    found = head.view.camera.project(model.landmarks(head.view.vertices)).pixels[0]
    assert float((found[17:] - points[17:]).norm(dim=1).mean()) < 1.0


def face_of(size):
    """Landmarks of a face from the front in the middle of a picture."""
    marks = torch.tensor(MEAN_FACE)[:, :2] / 10
    return marks * (size / 256) + size / 2


def turned_face(size, yaw):
    """Its landmarks, the column of its middle, all columns, and which show the near side."""
    marks = face_of(size)
    axis = float(marks[[27, 30, 33, 8], 0].mean())
    x = torch.arange(size) + 0.5
    return marks, axis, x, x < axis if yaw > 0 else x > axis


@pytest.mark.parametrize("yaw", [35.0, -35.0])
def test_the_hidden_side_is_the_mirror_image_of_the_other(yaw):
    size = 128
    marks, axis, x, seen = turned_face(size, yaw)
    shade = 0.2 + 0.004 * (x - axis).abs()
    picture = torch.where(seen, shade, torch.ones(size)).expand(3, size, size)
    found = mirrored_side(picture, marks, yaw)
    row = int(marks[30, 1])
    near_jaw, far_jaw = (0, 16) if yaw > 0 else (16, 0)
    inside = (x - axis).abs() < 0.9 * float((marks[near_jaw, 0] - axis).abs())
    beyond = inside & ~seen & ((x - axis).abs() > 0.6 * float((marks[far_jaw, 0] - axis).abs()))
    assert int(beyond.sum()) > 5
    torch.testing.assert_close(found[0, row, beyond], shade[beyond], rtol=0, atol=0.03)  # and not 1
    kept = inside & seen & ((x - axis).abs() > 8)
    torch.testing.assert_close(found[0, row, kept], shade[kept], rtol=0, atol=0.02)
    torch.testing.assert_close(found[:, -4:], picture[:, -4:], rtol=0, atol=0.02)  # shoulders stay


@pytest.mark.parametrize("yaw", [35.0, -35.0])
def test_hair_is_mirrored_and_the_collar_beside_the_chin_is_not(yaw):
    size = 256
    marks, axis, _, seen = turned_face(size, yaw)
    picture = torch.where(seen, 0.3, 1.0).expand(3, size, size)
    found = mirrored_side(picture, marks, yaw)
    half = float((marks[0 if yaw > 0 else 16, 0] - axis).abs())
    beside = int(axis + (1.4 if yaw > 0 else -1.4) * half)
    assert float(found[0, int(marks[27, 1]), beside]) == pytest.approx(0.3, abs=0.05)
    assert float(found[0, int(marks[8, 1]), beside]) == pytest.approx(1.0, abs=0.05)
