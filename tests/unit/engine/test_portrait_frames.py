"""Heads are placed as FFHQ's crops place faces."""

from dataclasses import replace

import pytest
import torch

from facemorph.engine.portrait_frames import framed
from facemorph.faces.alignment import ffhq_quad
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame


@pytest.fixture(scope="module")
def model():
    return load_model("makehuman")


@pytest.fixture(scope="module")
def faces(model):
    draw = torch.Generator().manual_seed(0)
    found = FaceParameters.neutral(model, 4, 13)
    return replace(
        found,
        identity=torch.randn(found.identity.shape, generator=draw),
        rotation=0.3 * torch.randn(4, 3, generator=draw),
        log_size=torch.randn(4, generator=draw),
        origin=100 * torch.randn(4, 2, generator=draw),
    )


@pytest.mark.parametrize("size", [64, 256])
def test_the_crop_of_a_placed_head_is_the_whole_picture(model, faces, size):
    placed = framed(model, faces, size)
    points = model.landmarks(vertices_of(model, placed))
    pixels = camera_of(placed, Frame(size, size)).project(points).pixels
    for face in pixels:
        centre, half = ffhq_quad(face, "ibug68", rotate=False)
        torch.testing.assert_close(centre.float(), torch.full((2,), size / 2), atol=1e-2, rtol=0)
        assert float(half.norm()) == pytest.approx(size / 2, rel=1e-4)
    for name in ("identity", "rotation", "expression", "light", "albedo"):
        assert torch.equal(getattr(placed, name), getattr(faces, name)), name


def test_where_a_head_was_before_makes_no_difference(model, faces):
    moved = replace(faces, origin=faces.origin + 37, log_size=faces.log_size + 1)
    first, second = framed(model, faces, 128), framed(model, moved, 128)
    torch.testing.assert_close(first.origin, second.origin)
    torch.testing.assert_close(first.log_size, second.log_size)
