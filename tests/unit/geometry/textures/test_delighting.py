"""Light taken out of photographs of known faces under known lights."""

from __future__ import annotations

import pytest
import torch

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import light_level, random_light, shading
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.geometry.textures.delighting import (
    bare_texture,
    divided_brightness,
    face_texels,
    is_grey,
    skin_shown,
)
from facemorph.geometry.textures.skin_learning import BareSkins, evened
from facemorph.geometry.textures.unprojection import unproject

SIZE = 64


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


@pytest.fixture(scope="module")
def photographs(model):
    """The plain face, fairer than the mean, under four lights: pictures, camera and lights."""
    mean, basis = skin_basis(model)
    fair = (mean - 1.2 * basis[0]).clamp(0, 1)
    camera = Camera(torch.eye(3)[None], torch.tensor([[128.0, 120.0]]), torch.tensor([0.0]))
    view = MeshView.of(model.mean[None], model.topology.faces, camera, (256, 256))
    lights = random_light(4, torch.Generator().manual_seed(5))
    lit = shading(view.normals().movedim(1, -1), lights[:, None, None]).movedim(-1, 1)
    return (view.attribute(fair[None]) * lit).clamp(0, 1), camera, lights


def test_one_face_under_four_lights_has_one_skin(model, photographs):
    pictures, camera, _ = photographs
    texels = face_texels(model, SIZE)
    before, after, levels = [], [], []
    for picture in pictures:
        texture = unproject(model, model.mean, camera, picture, SIZE)
        bare, light = bare_texture(model, model.mean, camera, texture)
        assert bare.colour.shape == (3, SIZE, SIZE)
        seen = (texels.of(texture.confidence) > 0.9) & (texels.inner > 0.9)
        for found, maps in ((before, texture.colour), (after, bare.colour)):
            colour = texels.of(maps)[:, seen]
            found.append(colour / colour.mean(1, keepdim=True))
        levels.append(light_level(light))
    spread = [
        float(torch.stack([one[:, :400] for one in found]).std(0).mean())
        for found in (before, after)
    ]
    assert spread[1] < 0.4 * spread[0]
    assert float(torch.stack(levels).min()) > 0.6
    assert float(torch.stack(levels).max()) < 1.1


def test_brightness_is_divided_as_lights_and_skins_differ():
    mean = torch.tensor([-0.5, -0.8, -0.9])
    covariance = 0.08 * torch.ones(3, 3) + 0.002 * torch.eye(3)
    usual = divided_brightness(mean.exp()[None], mean, covariance)[0]
    assert torch.allclose(usual, torch.full((3,), 0.85), atol=1e-4)
    dark, bright = divided_brightness(
        torch.stack([(mean - 0.5).exp(), (mean + 0.5).exp()]), mean, covariance
    )
    assert 0.7 < float(dark.min()) < 0.85 < float(bright.max()) < 1.0


def test_hair_and_walls_are_no_skin(model):
    texels = face_texels(model, SIZE)
    count = len(texels.index)
    colour = torch.tensor([0.7, 0.5, 0.4]).repeat(count, 1)
    plain = (texels.varied == 0) & (texels.inner < 0.5)
    colour[plain] = torch.tensor([0.3, 0.4, 0.7])
    shown = skin_shown(texels, colour, torch.ones(count))
    assert float(shown[plain].max()) == 0
    assert float(shown[texels.inner > 0.99].mean()) > 0.6


def test_grey_photographs_are_known():
    grey = torch.rand(50, 1, generator=torch.Generator().manual_seed(0)).expand(-1, 3)
    assert is_grey(grey, torch.ones(50))
    assert not is_grey(grey * torch.tensor([1.0, 0.8, 0.7]), torch.ones(50))


def test_a_lamp_from_the_side_is_evened_out(model):
    texels = face_texels(model, SIZE)
    column = (texels.index % SIZE).float() / SIZE
    albedo = torch.full((1, 3, len(column)), 0.5) * (1 + 0.6 * (column - 0.5))
    even = evened(texels, albedo, torch.ones(1, len(column)))
    left, right = even[..., column < 0.45].mean(), even[..., column > 0.55].mean()
    before = albedo[..., column > 0.55].mean() / albedo[..., column < 0.45].mean()
    assert abs(float(right / left) - 1) < 0.2 * abs(float(before) - 1)
    assert BareSkins(even, torch.ones(1, len(column)), torch.zeros(1, 9, 3)).albedo is even
