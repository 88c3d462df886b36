"""Plain walls behind heads are found, and nothing else is taken for one."""

from __future__ import annotations

import pytest
import torch

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.textures.backdrop import plain_backdrop
from facemorph.geometry.textures.unprojection import spread_mask, unproject


def _disc(height, width, radius):
    y, x = torch.meshgrid(
        torch.arange(height) - height / 2, torch.arange(width) - width / 2, indexing="ij"
    )
    return x.square() + y.square() < radius**2


@pytest.mark.parametrize("size", [(128, 128), (600, 400)])
def test_a_shaded_wall_is_found_and_the_head_before_it_is_not(size):
    head = _disc(*size, min(size) / 4)
    wall = torch.linspace(0.6, 0.9, size[1]).expand(3, *size)
    image = torch.where(head, torch.tensor([0.3, 0.2, 0.15])[:, None, None], wall)
    found = plain_backdrop(image)
    scale = found.shape[0] / size[0]
    inner, outer = (_disc(*found.shape, scale * min(size) / 4 + margin) for margin in (-4, 4))
    assert (found[inner] == 0).all()
    assert (found[~outer] == 1).all()


@pytest.mark.parametrize(
    "image",
    [
        torch.rand(3, 200, 200, generator=torch.Generator().manual_seed(0)),
        # Hair up to the border of a close portrait: half of the border at most is one area.
        torch.where(torch.arange(200)[None, :] < 100, 0.2, 0.8).expand(3, 200, 200),
    ],
)
def test_other_scenes_have_no_wall(image):
    assert not plain_backdrop(image).any()


def test_the_wall_above_a_flat_skull_is_not_taken_for_hair():
    model = load_makehuman()
    camera = Camera(torch.eye(3)[None], torch.tensor([[128.0, 128.0]]), torch.tensor([0.8]).log())
    row = camera.project(model.mean[None]).pixels[0, :, 1]
    top = float(row.min()) + 24  # the person's head ends below the model's
    wall = torch.arange(256) < top
    skin, grey = torch.tensor([0.35, 0.22, 0.15]), torch.tensor([0.8, 0.8, 0.8])
    face = (torch.arange(256)[None, :] - 128).abs() < 100
    image = torch.where(face & ~wall[:, None], skin[:, None, None], grey[:, None, None])
    texture = unproject(model, model.mean, camera, image, size=128)
    believed = texture.confidence > 0.2
    assert spread_mask(model.topology, "scalp").max() == 1
    assert bool(believed.any())
    assert float((texture.colour[:, believed] - skin[:, None]).abs().max()) < 0.1
