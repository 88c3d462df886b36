"""Heads are placed as FFHQ's crops place faces."""

from dataclasses import replace

import pytest
import torch

from facemorph.faces.alignment import ffhq_quad
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.systems.gif.portraits import framed, write_portraits


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


def test_portraits_are_written_with_a_sheet(tmp_path):
    people = (
        torch.zeros(8, 5),
        torch.zeros(8, 13),
        torch.zeros(8, load_model("makehuman").num_identity),
    )
    seen = []

    def picture(codes, parameters):
        seen.append(parameters)
        return torch.linspace(0, 1, 8)[:, None, None, None].expand(-1, 3, 16, 16)

    paths = write_portraits(tmp_path / "out", "makehuman", 16, people, picture)
    assert [path.name for path in paths] == [
        "faces.png",
        *(f"face_{k:03d}.png" for k in range(1, 9)),
    ]
    assert load_image(paths[0]).shape == (3, 32, 96)
    assert float(load_image(paths[8]).min()) > 0.99
    assert not seen[0].rotation.any()
