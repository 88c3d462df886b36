"""The small generator of textures: places, light, starts, and what an edit reaches."""

from __future__ import annotations

import pytest
import torch

from facemorph.engine.head_texels import sampled
from facemorph.errors import ConfigError
from facemorph.geometry.textures.texture_model import TextureModel
from facemorph.systems.varitex.small.generator import (
    BRIGHT,
    SmallVariTexGenerator,
    lit_colours,
)

TINY = {
    "face_code": 5,
    "additive_code": 3,
    "texture": 4,
    "texture_channels": (10, 8, 8),
    "channels": (12, 8, 8),
    "style": 8,
    "pyramid": 6,
}


@pytest.fixture
def conditions():
    torch.manual_seed(0)
    maps = torch.rand(2, 9, 16, 16)
    mask = (torch.rand(2, 1, 16, 16) > 0.3).float() * torch.rand(2, 1, 16, 16).clamp(min=0.2)
    maps[:, 6:7] = 1
    return maps * mask


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return SmallVariTexGenerator(**TINY)


def test_sampling_by_the_formula(conditions):
    texture = torch.rand(2, 4, 16, 16)
    found = sampled(texture, conditions)
    side = texture.shape[-1]
    for row, up, across in ((0, 3, 5), (1, 9, 2), (1, 15, 15)):
        mask = float(conditions[row, 6, up, across])
        if not mask:
            assert not found[row, :, up, across].any()
            continue
        u, v = (float(value) / mask * side - 0.5 for value in conditions[row, 7:9, up, across])
        expected = torch.zeros(4)
        for x in (int(u // 1), int(u // 1) + 1):
            for y in (int(v // 1), int(v // 1) + 1):
                weight = (1 - abs(u - x)) * (1 - abs(v - y))
                near = texture[row, :, min(max(y, 0), side - 1), min(max(x, 0), side - 1)]
                expected += weight * near
        torch.testing.assert_close(found[row, :, up, across], mask * expected)


def test_colours_are_multiplied_with_the_light(conditions):
    features = sampled(torch.ones(2, 4, 16, 16), conditions)
    torch.testing.assert_close(lit_colours(features, conditions), BRIGHT * conditions[:, :3])


def test_who_is_shown_several_times_is_decoded_once(generator, conditions):
    decoded = []
    generator.decoder.register_forward_hook(lambda _, given, __: decoded.append(len(given[0])))
    codes = torch.randn(2, 8)[torch.tensor([1, 0, 1, 1, 0])]
    maps = conditions[torch.tensor([0, 1, 1, 0, 1])]
    expected = generator(codes, maps)
    with torch.no_grad():
        torch.testing.assert_close(generator(codes, maps), expected)
    assert decoded == [5, 2]


def test_textures_begin_with_real_skin(generator):
    with torch.no_grad():
        for to_colour in generator.decoder.to_colour:
            to_colour.weight.zero_()
        texture = generator.texture(torch.zeros(1, 8))
    model = TextureModel.load()
    small = torch.nn.functional.interpolate(
        model.mean[None], (16, 16), mode="bilinear", antialias=True
    )
    torch.testing.assert_close(texture[:, :3], small)
    assert not texture[:, 3:].any()
    grey = SmallVariTexGenerator(**TINY, skin=None)
    assert float(grey.decoder.mean.std()) == 0


def test_only_the_first_part_of_a_code_makes_the_texture(generator):
    codes = torch.randn(2, 8)
    other = torch.cat([codes[:, :5], torch.randn(2, 3)], 1)
    assert torch.equal(generator.texture(codes), generator.texture(other))
    assert not torch.equal(generator.texture(codes), generator.texture(codes.flip(0)))


def test_an_edit_reaches_only_its_picture_and_only_through_the_mesh(generator, conditions):
    codes = torch.randn(2, 8)
    with torch.no_grad():
        texture = generator.texture(codes)
        before = generator.show(texture, codes, conditions)
        assert torch.equal(before, generator(codes, conditions))
        edited = texture.clone()
        edited[0, :3] += 0.5
        after = generator.show(edited, codes, conditions)
        nothing = conditions * 0
        off = [generator.show(one, codes, nothing) for one in (texture, edited)]
    assert torch.equal(after[1], before[1])
    assert not torch.equal(after[0], before[0])
    assert torch.equal(*off)


def test_a_texture_without_colours_is_refused():
    with pytest.raises(ConfigError, match="begins with its colours"):
        SmallVariTexGenerator(**{**TINY, "texture": 2})
