"""Pairs of views: every other picture of a person in turn, and light in the place of skin."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from facemorph.engine.portrait_frames import framed
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.conditions import ConditionRenderer
from facemorph.geometry.rendering.lighting import random_light
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.systems.varitex.small.cross_views import BRIGHT, CrossViewRows, light_renderer
from facemorph.systems.varitex.small.encoder import TexelEncoder


class Faces:
    """Rows of a split whose people have the given numbers."""

    def __init__(self, people):
        rows = torch.arange(len(people))
        self.rows = SimpleNamespace(person=torch.tensor(people), rows=rows)

    def __len__(self):
        return len(self.rows.rows)

    def __getitem__(self, index):
        return {"image": index, "conditions": index, "light": index}


def test_every_pair_of_a_person_occurs():
    pairs = CrossViewRows(Faces([0, 1, 0, 0, 2, 1]), all_of_them=True)
    assert len(pairs) == 6 * 2
    found = {(pairs[at]["image"], pairs[at]["source_image"]) for at in range(len(pairs))}
    threes = {(a, b) for a in (0, 2, 3) for b in (0, 2, 3) if a != b}
    assert found == threes | {(1, 5), (5, 1), (4, 4)}
    with pytest.raises(IndexError):
        pairs[12]


def test_held_out_pictures_have_one_source_each():
    pairs = CrossViewRows(Faces([0, 0, 0, 1]), all_of_them=False)
    assert [pairs.source_of(at) for at in range(len(pairs))] == [1, 2, 0, 3]


@pytest.fixture(scope="module")
def heads():
    model = load_model("makehuman")
    neutral = FaceParameters.neutral(model, 2, len(skin_basis(model)[1]))
    light = random_light(2, torch.Generator().manual_seed(3))
    return model, framed(model, replace(neutral, light=light), 64)


def test_light_maps_are_the_shading_of_the_mesh(heads):
    model, parameters = heads
    maps = light_renderer(model, 64)(parameters)
    plain = ConditionRenderer(model, size=64, skin=skin_basis(model))
    skin = plain(parameters)
    assert torch.equal(maps[:, 3:], skin[:, 3:])
    inside = maps[:, 6:7] > 0.99
    expected = plain.light(skin, parameters.light)
    error = (BRIGHT * maps[:, :3] - expected.clamp(0, BRIGHT)).abs() * inside
    assert float(error.mean()) < 0.01


def test_codes_do_not_depend_on_the_light(heads):
    """One skin in two lights: the encoder sees almost the same texels."""
    model, parameters = heads
    render = light_renderer(model, 64)
    maps = render(parameters)
    images = (0.5 * BRIGHT * maps[:, :3]).clamp(0, 1)
    torch.manual_seed(0)
    encoder = TexelEncoder(face_code=6, additive_code=2, texels=32, side=16)
    posterior = encoder.posterior(images, maps, parameters.light)
    other = encoder.posterior(1 - images, maps, parameters.light)
    apart = (posterior.mean[0, :6] - posterior.mean[1, :6]).norm()
    assert float(apart) < 0.2 * float((posterior.mean - other.mean)[:, :6].norm(dim=1).mean())
    assert torch.equal(encoder(images, maps, parameters.light), posterior.mean)
