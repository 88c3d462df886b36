"""Colours, backgrounds and places in a texture, as they should be and as they were released."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import DataError
from facemorph.networks.features.vgg import VGG
from facemorph.systems.varitex.spaces import (
    normalised,
    pictures_of,
    published_background,
    published_uv,
    sample_texture,
)


def test_colours_there_and_back():
    pictures = torch.rand(2, 3, 4, 4)
    network = VGG(16, ["relu1_1"])
    expected = (pictures - network.mean) / network.deviation
    torch.testing.assert_close(normalised(pictures), expected)
    torch.testing.assert_close(pictures_of(normalised(pictures)), pictures)


def test_published_background_depends_on_the_picture():
    """The least of all channels' normalised values, wherever it stands; not black."""
    pictures = 0.5 + 0.5 * torch.rand(2, 3, 6, 6)
    pictures[1, 2, 0, 0] = 0.1  # off the mask
    mask = torch.zeros(2, 1, 6, 6, dtype=torch.bool)
    mask[..., 2:4, 2:4] = True
    filled = published_background(pictures, mask)
    inside, outside = mask.expand_as(filled), ~mask.expand_as(filled)
    assert torch.equal(filled[inside], pictures[inside])
    for one, given in zip(normalised(filled), normalised(pictures), strict=True):
        values = one[outside[0]]
        torch.testing.assert_close(values, given.min().expand_as(values))
    assert float((normalised(filled)[0, 0, 0, 0] - normalised(filled)[1, 0, 0, 0]).abs()) > 0.1


def test_black_is_black_in_each_channel():
    """Regression: with a black pixel the released fill is no grey, and below black in two."""
    pictures = torch.ones(1, 3, 2, 2)
    pictures[..., 0, 0] = 0
    filled = published_background(pictures, torch.zeros(1, 1, 2, 2))[0, :, 1, 1]
    assert filled.unique().numel() == 3
    assert float(filled[1:].max()) < 0


def test_published_uv_is_of_bytes():
    """Every stored place is a byte, at most one level of 255 below the true one."""
    uv = torch.rand(1, 2, 64, 64)
    mask = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    found, seen = published_uv(uv, mask)
    levels = found * 255
    torch.testing.assert_close(levels, levels.round())
    difference = uv - found
    assert float(difference.min()) >= -1e-6
    assert 0.5 / 255 < float(difference.max()) <= 1 / 255 + 1e-6
    assert torch.equal(seen, ((2 * uv - 1) >= -1 + 1 / 127.5).any(1, keepdim=True))


def test_published_uv_loses_a_corner_and_keeps_edges():
    """Regression: -1 in both means no mesh, so that legal places near it are lost."""
    uv = torch.tensor([[0.0, 0.003, 0.0, 0.9], [0.0, 0.003, 0.5, 0.0]]).view(1, 2, 1, 4)
    mask = torch.tensor([True, True, True, True]).view(1, 1, 1, 4)
    assert published_uv(uv, mask)[1].flatten().tolist() == [False, False, True, True]
    hidden = published_uv(uv, torch.zeros_like(mask))
    assert not bool(hidden[1].any())
    assert float(hidden[0].max()) == 0


def test_places_are_texels():
    """u right, v down, edges at 0 and 1: centres of texels give these texels."""
    texture = torch.arange(12.0).view(1, 1, 3, 4)
    v, u = torch.meshgrid((torch.arange(3) + 0.5) / 3, (torch.arange(4) + 0.5) / 4, indexing="ij")
    uv = torch.stack([u, v])[None]
    mask = torch.ones(1, 1, 3, 4, dtype=torch.bool)
    torch.testing.assert_close(sample_texture(texture, uv, mask), texture, atol=1e-5, rtol=0)


def test_legal_places_of_zero_are_kept_and_the_border_goes_on():
    """Regression: the released code takes u = v = -1 for no mesh; a mask is explicit here."""
    texture = 1 + torch.arange(12.0).view(1, 1, 3, 4)
    uv = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]).view(1, 2, 1, 3)
    mask = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    assert sample_texture(texture, uv, mask).flatten().tolist() == [1, 12, 0]


def test_values_off_the_mesh_do_no_harm():
    """Neither values nor gradients, whatever the places hold there."""
    texture = torch.rand(1, 2, 4, 4, requires_grad=True)
    uv = torch.full((1, 2, 2, 2), 0.5)
    mask = torch.tensor([True, False, True, False]).view(1, 1, 2, 2)
    sampled = sample_texture(texture, torch.where(mask, uv, -7.0), mask)
    sampled.sum().backward()
    assert float(texture.grad.sum()) == pytest.approx(4)
    assert float(sampled.detach()[..., 1].abs().max()) == 0


def test_places_are_exact_under_autocast():
    texture, uv = torch.rand(1, 2, 8, 8), torch.rand(1, 2, 8, 8)
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    expected = sample_texture(texture, uv, mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sample_texture(texture, uv, mask), expected)


def test_wrong_shapes_are_named():
    texture, uv = torch.rand(2, 3, 4, 4), torch.rand(2, 2, 5, 6)
    mask = torch.ones(2, 1, 5, 6)
    for call, named in (
        (lambda: sample_texture(texture[:1], uv, mask), "uv"),
        (lambda: sample_texture(texture, uv, mask[..., 1:]), "uv_mask"),
        (lambda: sample_texture(texture[0], uv, mask), "texture"),
        (lambda: published_uv(texture, mask), "uv"),
        (lambda: published_uv(uv, mask[:1]), "uv_mask"),
        (lambda: published_background(uv, mask), "pictures"),
        (lambda: published_background(texture, mask), "mask"),
    ):
        with pytest.raises(DataError, match=named):
            call()
