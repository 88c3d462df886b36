"""Styles of the literature and separate times of shape and texture, on a fitted morph."""

import pytest
import torch

from facemorph import morph
from facemorph.apps.morphing.morph_styles import STYLES, style_options
from facemorph.errors import ConfigError
from facemorph.fields.warps.maps import dense_map
from facemorph.ops.blending import blend_linear

pytestmark = pytest.mark.usefixtures("short_reports", "coarse_flows")

SMALL = {"size": 96, "time": 0.5}
PLAIN = {"blend": "multiband", "outside": "source", "shape_time": None, "texture_time": None}


@pytest.fixture(scope="module")
def system(samples):
    return morph(*samples, size=96, frames=2).system


def test_without_times_nothing_changes(system):
    plain = system.render(0.3)
    assert torch.equal(system.render(0.3, shape_time="linear", texture_time="linear"), plain)
    assert torch.equal(system.render(0.9, shape_time=0.3, texture_time="0.3"), plain)


def test_texture_0_is_the_first_picture_on_any_shape(system):
    first, _ = system.warped(0.5)
    assert torch.equal(system.render(0.5, texture_time=0), first.clamp(0, 1))
    assert torch.equal(system.render(0.5, shape_time=0, texture_time=0), system.render(0.0))
    assert torch.equal(
        system.render(0.5, shape_time=0.5, texture_time=0.0),
        system.render(
            0.2,
            shape_time=0.5,
            texture_time=0,
        ),
    )


def test_shape_and_texture_are_what_they_say(system):
    first, second = system.warped(0.2)
    share = torch.full_like(first[:1], 0.7)
    wanted = blend_linear(first[None], second[None], share[None])[0].clamp(0, 1)
    assert torch.equal(system.render(0.5, blend="linear", shape_time=0.2, texture_time=0.7), wanted)


def test_curves_keep_both_ends(system):
    for curve in ("ease", "early", "late", "hold"):
        options = {"outside": "mix", "shape_time": curve, "texture_time": curve}
        assert torch.equal(system.render(0.0, **options), system.render(0.0, outside="mix"))
        assert torch.equal(system.render(1.0, **options), system.render(1.0, outside="mix"))


@pytest.mark.parametrize("name", ["shape_time", "texture_time"])
def test_wrong_times(system, samples, name):
    with pytest.raises(ConfigError, match="no such time curve"):
        system.render(0.5, **{name: 1.5})
    with pytest.raises(ConfigError, match="no such time curve") as raised:
        morph(*samples, **SMALL, **{name: "never"})
    assert raised.value.where == name


# ------------------------------------------------------------
# styles
def test_splicing_leaves_the_picture_outside_of_the_face(samples):
    for outside, which in (("source", "image_a"), ("target", "image_b")):
        result = morph(*samples, style="splicing", outside=outside, **SMALL)
        own, frame = getattr(result.pair, which), result.frame(0.5)
        mask = result.system.mask(0.0 if outside == "source" else 1.0, result.pair.frame)[0]
        # the bands reach a little
        far = torch.nn.functional.max_pool2d(mask[None, None], 25, 1, 12)[0, 0] == 0
        assert float(far.float().mean()) > 0.2
        assert float((frame - own)[:, far].abs().mean()) < 0.004
        assert float((frame - own)[:, mask > 0.99].abs().mean()) > 0.02


def test_splicing_is_the_morph_warped_back(samples):
    """The literature warps and blends at the half-way shape, and warps back: the same picture,
    resampled more.
    """
    result = morph(*samples, style="splicing", **SMALL)
    system, frame = result.system, result.pair.frame
    first, second = system.warped(0.5)
    there = dense_map(system.warp, frame, 0.0, 0.5)
    back = [
        torch.nn.functional.grid_sample(
            one[None], there[None], mode="bicubic", align_corners=False
        )[0]
        for one in (first, second)
    ]
    direct = system.warped(0.0)
    deep = system.mask(0.0, frame)[0] == 1
    for one, other in zip(back, direct, strict=True):
        assert float((one - other)[:, deep].abs().mean()) < 0.02


@pytest.mark.slow
def test_complete_and_combined(samples):
    complete = morph(*samples, style="complete", **SMALL).frame(0.5)
    assert torch.equal(complete, morph(*samples, blend="linear", **SMALL).frame(0.5))
    assert torch.equal(
        morph(*samples, style="combined", **SMALL).frame(0.5),
        morph(*samples, match_skin=False, **SMALL).frame(0.5),
    )


@pytest.mark.parametrize(
    ("style", "change"),
    [
        ("spliced", {}),
        ("splicing", {"shape_time": 0.5}),
        ("splicing", {"outside": "mix"}),
        ("combined", {"blend": "linear"}),
        ("combined", {"outside": "mix"}),
    ],
)
def test_contradictions(style, change):
    with pytest.raises(ConfigError):
        style_options(style, **(PLAIN | change))


def test_no_style_changes_nothing():
    assert style_options(None, **PLAIN) == PLAIN
    assert all(style_options(name, **PLAIN)["outside"] == "source" for name in STYLES)
