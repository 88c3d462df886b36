"""Pictures of one skin give one texture, however the face is turned."""

from dataclasses import replace

import pytest
import torch

from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.shaded_pictures import render_picture
from facemorph.ops.frames import Frame
from facemorph.systems.gif.texture_consistency import (
    TextureReader,
    between_neighbours,
    consistency_loss,
    random_pairs,
)

SIZE = 96


@pytest.fixture(scope="module")
def model():
    return load_model("makehuman")


@pytest.fixture(scope="module")
def faces(model):
    """One face seen from three sides."""
    found = FaceParameters.neutral(model, 3, 2)
    turns = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.35, 0.0], [0.1, -0.3, 0.0]])
    return replace(
        found,
        rotation=turns,
        origin=torch.tensor([[48.0, 50.0]]).expand(3, -1),
        log_size=torch.full((3,), 0.35).log(),
        albedo=torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]),
        light=torch.randn(3, 9, 3, generator=torch.Generator().manual_seed(0)),
    )


def pictures(model, faces, textures):
    """The faces in smooth textures ``(3 or 1, 3, S, S)``, without light."""
    return render_picture(
        vertices_of(model, faces),
        model.topology,
        camera_of(faces, Frame(SIZE, SIZE)),
        (SIZE, SIZE),
        textures,
        supersample=2,
    ).colour


def smooth(count, seed):
    small = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, (64, 64), mode="bicubic").clamp(0, 1)


def test_textures_of_one_skin_agree_and_of_others_do_not(model, faces):
    reader = TextureReader(model, texels=48)
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2]])
    one = consistency_loss(*reader(pictures(model, faces, smooth(1, 0)), faces), pairs)
    three = consistency_loss(*reader(pictures(model, faces, smooth(3, 0)), faces), pairs)
    assert float(one) < 0.008  # black pixels of the outline
    assert float(three) > 5 * float(one)


def test_what_is_read_is_the_texture(model, faces):
    texture = smooth(1, 3)
    reader = TextureReader(model, texels=64)
    colours, seen = reader(pictures(model, faces, texture), faces)
    expected = texture[0][:, reader.row, reader.column]
    sure = seen[0] > 0.99
    assert int(sure.sum()) > 300
    assert float((colours[0] - expected)[:, sure].abs().mean()) < 0.02
    # a head that is turned shows less of the far cheek
    assert 0 < float(seen[1].mean()) < float(seen[0].mean())


def test_gradients_reach_the_pictures(model, faces):
    given = pictures(model, faces, smooth(3, 0)).requires_grad_()
    consistency_loss(*TextureReader(model, 32)(given, faces), torch.tensor([[0, 1]])).backward()
    assert given.grad[:2].abs().sum() > 0
    assert given.grad[2].abs().sum() == 0


def test_published_form_by_hand():
    colours = torch.tensor([[[0.0, 1.0]] * 3, [[0.5, 1.0]] * 3])
    seen = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    pairs = torch.tensor([[0, 1]])
    expected = torch.tensor(0.25).sigmoid() / 2  # one of two texels is seen in both
    found = consistency_loss(colours, seen, pairs, published=True)
    assert float(found) == pytest.approx(float(expected))
    assert float(consistency_loss(colours, seen, pairs)) == pytest.approx(0.25)


def test_faces_between_neighbours(faces):
    found = between_neighbours(faces, torch.tensor(0.25))
    assert len(found) == 2
    expected = 0.75 * faces.rotation[:-1] + 0.25 * faces.rotation[1:]
    torch.testing.assert_close(found.rotation, expected)
    for name in ("light", "albedo"):
        first = getattr(faces, name)[:1]
        assert torch.equal(getattr(found, name), first.expand_as(getattr(found, name)))


def test_pairs_are_different_ones():
    found = random_pairs(6, 10, torch.Generator().manual_seed(0))
    assert found.shape == (10, 2)
    assert len({tuple(one) for one in found.tolist()}) == 10
    assert bool((found[:, 0] < found[:, 1]).all())
    assert len(random_pairs(3, 10, torch.Generator())) == 3


def test_camera_of_the_fixture_is_the_readers(model, faces):
    camera = camera_of(faces, Frame(SIZE, SIZE))
    assert isinstance(camera, Camera)
    marks = camera.project(model.landmarks(vertices_of(model, faces))).pixels
    assert bool(((marks > 0) & (marks < SIZE)).all())
