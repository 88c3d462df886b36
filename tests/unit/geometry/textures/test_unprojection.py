"""Textures read from pictures: the atlas, unprojection, blending of views, filling in. All against
a painted truth.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facemorph.bench.raster import painted, rerender_psnr
from facemorph.errors import DataError, GeometryError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.shaded_pictures import render_picture
from facemorph.geometry.textures.atlas import EYES, MOUTH, atlas_of
from facemorph.geometry.textures.texture_completion import (
    _iris_profile,
    complete_texture,
    mirror_fill,
    push_pull,
)
from facemorph.geometry.textures.unprojection import (
    Texture,
    blend_views,
    skin_tone,
    spread_mask,
    unproject,
)
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler

SIZE, MAP = 400, 256
BACKGROUND = torch.tensor([0.0, 1.0, 0.0])[:, None, None]  # what must never get into a texture


def camera(yaw: float = 0.0, pinhole: bool = False) -> Camera:
    angles = torch.tensor([[yaw], [0.05], [0.0]])
    found = Camera(
        rotation_from_euler(*angles), torch.tensor([[200.0, 165.0]]), torch.tensor([0.3])
    )
    return found.as_pinhole(Frame(SIZE, SIZE), 20.0) if pinhole else found


def photograph(texture: torch.Tensor, yaw: float = 0.0, pinhole: bool = False) -> torch.Tensor:
    model = load_makehuman()
    picture = render_picture(
        model.mean[None], model.topology, camera(yaw, pinhole), (SIZE, SIZE), texture, supersample=2
    )
    return picture.over(BACKGROUND)[0]


@pytest.fixture(scope="module")
def truth() -> torch.Tensor:
    return painted(MAP)


def test_atlas_texels_lie_where_the_chart_says():
    model = load_makehuman()
    topology, atlas = model.topology, atlas_of(model, MAP)
    assert atlas_of(model, MAP) is atlas
    centres = (torch.arange(MAP) + 0.5) / MAP
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    place = atlas.at_texels(topology.uv, topology.faces_uv)
    assert torch.allclose(place[:, atlas.mask], torch.stack([u, v])[:, atlas.mask], atol=1e-4)
    assert 0.1 < float(atlas.mask.float().mean()) < 1
    parts = atlas.part(topology, *EYES, *MOUTH)
    assert not bool((parts & ~atlas.mask).any())


def test_mirrored_texels_are_mirrored_points():
    model = load_makehuman()
    atlas = atlas_of(model, MAP)
    points = atlas.at_texels(model.mean, model.topology.faces)
    there = torch.nn.functional.grid_sample(
        points[None], atlas.mirrored[None] * 2 - 1, align_corners=False
    )[0]
    inner = torch.nn.functional.max_pool2d((~atlas.mask).float()[None], 5, 1, 2)[0] == 0
    known = atlas.has_mirror & inner
    assert float(known.sum() / inner.sum()) > 0.95
    gap = (there * torch.tensor([-1.0, 1, 1])[:, None, None] - points).norm(dim=0)[known]
    assert float(gap.median()) < 0.05
    assert float(gap.quantile(0.95)) < 1


def test_a_model_without_mirror_map_is_filled_too(truth):
    model = load_makehuman()
    plain = MorphableModel(
        "plain",
        model.mean,
        model.identity_basis[:1],
        model.expression_basis,
        model.expression_names,
        replace(model.topology, mirror=None, masks={"face": model.topology.masks["face"]}),
    )
    assert not bool(atlas_of(plain, 64).has_mirror.any())
    texture = complete_texture(plain, unproject(plain, plain.mean, camera(), photograph(truth), 64))
    assert bool(torch.isfinite(texture).all())


@pytest.mark.parametrize("pinhole", [False, True])
def test_what_is_believed_is_true(truth, pinhole):
    model = load_makehuman()
    found = unproject(model, model.mean, camera(0.2, pinhole), photograph(truth, 0.2, pinhole), MAP)
    sure = found.confidence > 0.9
    assert float(found.confidence.min()) >= 0
    assert float(found.confidence.max()) <= 1
    assert float(sure.sum() / atlas_of(model, MAP).mask.sum()) > 0.08
    error = (found.colour - truth[0]).abs().mean(0)[sure]
    assert float(error.median()) < 0.02
    assert float(error.quantile(0.99)) < 0.1
    believed = found.confidence > 0.05
    green = found.colour[1] - found.colour[[0, 2]].amax(0)
    assert float((green[believed] > 0.5).float().mean()) < 1e-3  # no background


def test_hidden_and_grazing_texels_are_not_believed(truth):
    model = load_makehuman()
    atlas = atlas_of(model, MAP)
    found = unproject(model, model.mean, camera(0.6), photograph(truth, 0.6), MAP)
    points = atlas.at_texels(model.mean, model.topology.faces)
    back = atlas.mask & (points[2] < -60) & (points[0] > 20) & (points[1] > -50)
    assert float(found.confidence[back].max()) == 0
    # Turned to the right of the picture, the face's left cheek (x > 0) is turned away.
    cheeks = [
        found.confidence[atlas.mask & (points[2] > -20) & (points[0] * side > 30)].mean()
        for side in (1, -1)
    ]
    assert float(cheeks[1]) > 3 * float(cheeks[0])
    ears = (
        atlas.at_texels(model.topology.masks["ears"].float()[:, None], model.topology.faces)[0]
        > 0.99
    )
    assert float(found.confidence[ears].max()) < 1e-5


def test_re_rendering_gives_the_photograph(truth):
    model = load_makehuman()
    assert rerender_psnr(model, model.mean, camera(), photograph(truth), 512) > 32


def test_two_views_show_more_than_one(truth):
    model = load_makehuman()
    left, right = (
        unproject(model, model.mean, camera(yaw), photograph(truth, yaw), MAP)
        for yaw in (-0.6, 0.6)
    )
    darker = Texture(right.colour * 0.7, right.confidence)
    both = blend_views([left, darker])
    assert torch.equal(both.confidence, torch.maximum(left.confidence, right.confidence))
    sure = both.confidence > 0.9
    assert float(sure.sum()) > 1.3 * float((left.confidence > 0.9).sum())
    ratio = (both.colour / truth[0].clamp(min=0.05))[:, sure]
    only_right = ratio[:, (right.confidence > 0.9)[sure] & (left.confidence < 0.1)[sure]].median()
    only_left = ratio[:, (left.confidence > 0.9)[sure] & (right.confidence < 0.1)[sure]].median()
    assert float((only_right - only_left).abs()) < 0.05  # one brightness
    alone = blend_views([left])
    assert torch.allclose(
        alone.colour[:, left.confidence > 0.01], left.colour[:, left.confidence > 0.01], atol=1e-5
    )


def test_blending_refuses():
    with pytest.raises(GeometryError, match="no view"):
        blend_views([])
    one, other = (Texture(torch.zeros(3, n, n), torch.zeros(n, n)) for n in (4, 8))
    with pytest.raises(GeometryError, match="different sizes"):
        blend_views([one, other])


def test_the_hidden_side_is_the_other_one_in_this_sides_light():
    """A symmetric face lit from one side, of which one half is seen: the other half goes on without
    a seam.
    """
    model = load_makehuman()
    atlas = atlas_of(model, MAP)
    x = atlas.at_texels(model.mean[:, :1], model.topology.faces)[0]
    pattern = 0.5 + 0.15 * torch.sin(x.abs() / 4)
    confidence = (atlas.mask & (x > -15)).float()  # a little over the middle
    found = mirror_fill(atlas, Texture(pattern.expand(3, -1, -1) * confidence, confidence))
    filled = atlas.has_mirror & (x < -18) & (x > -60)
    inner = torch.nn.functional.max_pool2d((~atlas.mask).float()[None], 7, 1, 3)[0] == 0
    error = (found.colour[0] - pattern).abs()[filled & inner]
    assert float(error.median()) < 0.01
    assert float((found.confidence[filled & inner] > 0.9).float().mean()) > 0.95


def test_push_pull():
    colour = torch.rand(3, 37, 50)
    assert torch.allclose(push_pull(colour, torch.ones(37, 50)), colour, atol=1e-6)
    weight = torch.zeros(37, 50)
    weight[10:12, 20:22] = 1
    only = push_pull(torch.full((3, 37, 50), 0.3), weight)
    assert torch.allclose(only, torch.tensor(0.3), atol=1e-5)
    weight[:] = 0
    weight[:, :5], weight[:, -5:] = 1, 1
    ramp = torch.zeros(1, 37, 50)
    ramp[..., -5:] = 1
    filled = push_pull(ramp, weight)[0]
    assert float(filled[18, 25]) == pytest.approx(0.5, abs=0.2)
    assert float((filled[18].diff() < -0.02).sum()) == 0  # rises softly
    assert bool((push_pull(colour, torch.zeros(37, 50)) >= 0).all())


def test_completed_texture_is_whole(truth):
    model = load_makehuman()
    topology, atlas = model.topology, atlas_of(model, MAP)
    found = unproject(model, model.mean, camera(0.3), photograph(truth, 0.3), MAP)
    texture = complete_texture(model, found)
    assert texture.shape == (3, MAP, MAP)
    assert 0 <= float(texture.min()) <= float(texture.max()) <= 1
    sure = (found.confidence > 0.95) & ~atlas.part(topology, *EYES, *MOUTH)
    hidden = (
        atlas.at_texels(
            spread_mask(topology, "neck", "ears", "socket", "inside_mouth", rings=6)[:, None],
            topology.faces,
        )[0]
        > 0
    )
    assert torch.allclose(texture[:, sure & ~hidden], found.colour[:, sure & ~hidden], atol=1e-3)
    green = texture[1] - texture[[0, 2]].amax(0)
    own = (truth[0, 1] - truth[0, [0, 2]].amax(0)).max()
    assert float(green[atlas.mask].max()) < float(own) + 0.1  # no background, no clothes
    tone = skin_tone(model, atlas, found)
    skin = atlas.mask & ~atlas.part(topology, *EYES, *MOUTH) & ~hidden
    # all of it like this person
    assert float((texture[:, skin] - tone[:, None]).abs().mean()) < 0.15


def test_clothes_on_the_neck_are_not_skin():
    model = load_makehuman()
    atlas = atlas_of(model, MAP)
    neck = (
        atlas.at_texels(model.topology.masks["neck"].float()[:, None], model.topology.faces)[0]
        > 0.5
    )
    if not bool(neck.any()):
        pytest.skip("this chart has no neck")
    tone = torch.tensor([0.7, 0.52, 0.45])[:, None, None]
    colour = torch.where(neck, torch.tensor([0.95, 0.95, 1.0])[:, None, None], tone)
    texture = complete_texture(model, Texture(colour * atlas.mask, atlas.mask.float()))
    inner = (
        atlas.at_texels(
            spread_mask(model.topology, "neck", rings=-2)[:, None], model.topology.faces
        )[0]
        > 0.99
    )
    assert float((texture - tone)[:, inner].abs().amax()) < 0.15


def test_eyes_and_mouth_that_nobody_saw():
    """No photograph: still eyes of a quiet white, teeth brighter than the tongue, nothing saturated
    red.
    """
    model = load_makehuman()
    topology, atlas = model.topology, atlas_of(model, MAP)
    texture = complete_texture(model, Texture(torch.zeros(3, MAP, MAP), torch.zeros(MAP, MAP)))
    eyes, teeth, tongue = (
        atlas.part(topology, *stems) for stems in (EYES, ("teeth",), ("tongue", "gums"))
    )
    if not bool(eyes.any()):
        pytest.skip("this chart has no eyes")
    assert float((texture[:, eyes].amax(0) - texture[:, eyes].amin(0)).max()) < 0.1
    assert float(texture[:, teeth].mean()) > float(texture[:, tongue].mean())
    saturation = 1 - texture.amin(0) / texture.amax(0).clamp(min=1e-3)
    assert float(saturation[atlas.mask].max()) < 0.6


def test_spread_masks():
    topology = load_makehuman().topology
    ears = topology.masks["ears"]
    outside, inside = (
        spread_mask(topology, "ears", rings=3),
        spread_mask(topology, "ears", rings=-3),
    )
    assert bool((outside[ears] == 1).all())
    assert bool((inside[~ears] == 0).all())
    assert set(outside.unique().tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert bool((inside <= ears.float()).all())
    assert float(inside.max()) == 1
    assert float(spread_mask(topology, "wings").max()) == 0


def test_bad_input(truth):
    model = load_makehuman()
    image = photograph(truth)
    with pytest.raises(DataError, match="image"):
        unproject(model, model.mean, camera(), image[None], MAP)
    with pytest.raises(DataError, match="vertices"):
        unproject(model, model.mean[None], camera(), image, MAP)
    away = Camera(torch.eye(3)[None], torch.tensor([[5000.0, 0.0]]), torch.zeros(1))
    with pytest.raises(GeometryError, match="not in the picture"):
        unproject(model, model.mean, away, image, MAP)
    with pytest.raises(GeometryError, match="size"):
        unproject(model, model.mean, camera(), image, 0)
    with pytest.raises(DataError, match="texture"):
        complete_texture(model, Texture(torch.zeros(3, 4, 8), torch.zeros(4, 8)))


@pytest.mark.parametrize("circles", [(0, 5), (0, 16), (9, 16)])
def test_iris_profile_of_whatever_is_seen(circles):
    """Only the iris, all of the eye, or only its white: the iris keeps its colour, what is beyond
    is bright.
    """
    generator = torch.Generator().manual_seed(0)
    circle = circles[0] + (circles[1] - circles[0]) * torch.rand(400, generator=generator)
    dark, white = torch.tensor([0.25, 0.15, 0.1]), torch.tensor([0.8, 0.78, 0.76])
    colour = torch.where((circle < 6)[:, None], dark, white).T
    profile = _iris_profile(colour, circle, torch.tensor([0.5, 0.4, 0.4]))
    assert profile.shape == (3, 16)
    assert bool(torch.isfinite(profile).all())
    if circles[0] == 0:
        assert torch.allclose(profile[:, 2], dark)
    if circles[1] == 16:
        assert float((profile[:, -1] - white).abs().max()) < 0.03
