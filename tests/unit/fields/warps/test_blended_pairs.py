"""From warps and pictures to frames: the ends of a morph to the bit, shares, blends, wrong
options.
"""

import re

import cv2
import pytest
import torch

from facemorph.apps.morphing.morph import morph
from facemorph.errors import ConfigError
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.blended_pairs import (
    GUIDANCE_OF,
    WHOLE_FRAME,
    blend_pair,
    target_share,
    warp_pair,
)
from facemorph.fields.warps.choices import BLENDS
from facemorph.fields.warps.siren_warp import ResidualSirenWarp, SirenWarp
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.jobs.options import hints_of, split_annotation
from facemorph.ops.frames import Frame

SIZES = [(40, 40), (30, 52)]


def soft_mask(frame):
    return (1.3 - 1.5 * frame.pixel_centres().norm(dim=-1))[None].clamp(0, 1)


def warps(frame):
    torch.manual_seed(1)
    source = torch.rand(12, 2, dtype=torch.float64) - 0.5
    return [
        ThinPlateFlow(smoothing=1e-3).fit(source, source + 0.03 * torch.randn(12, 2), frame),
        SirenWarp((8, 8)),
        ResidualSirenWarp((8, 8)),
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_warped_pictures_at_their_own_time_are_themselves_to_the_bit(size, which):
    frame = Frame(*size)
    warp = warps(frame)[which]
    one, two = torch.rand(3, *size), torch.rand(3, *size)
    with torch.no_grad():
        at_start = warp_pair(warp, SplineImage(one), SplineImage(two), frame, 0.0)
        at_end = warp_pair(warp, SplineImage(one), SplineImage(two), frame, 1.0)
    assert torch.equal(at_start[0], one)
    assert torch.equal(at_end[1], two)
    assert not torch.equal(at_start[1], two)
    assert not torch.equal(at_end[0], one)


OF_ONE_PICTURE = ("source", "target", "poisson_source", "poisson_target")
TIMED = [blend for blend in BLENDS if blend not in OF_ONE_PICTURE]
MASKED = [blend for blend in BLENDS if blend not in WHOLE_FRAME]


@pytest.mark.parametrize("blend", TIMED)
@pytest.mark.parametrize("size", SIZES)
def test_the_ends_of_a_morph_are_the_pictures_to_the_bit(blend, size):
    frame = Frame(*size)
    one, two = torch.rand(3, *size), torch.rand(3, *size)
    mask = soft_mask(frame)
    for outside in ("source", "mix"):
        assert torch.equal(blend_pair(one, two, mask, 0.0, blend, outside), one)
    for outside in ("target", "mix"):
        assert torch.equal(blend_pair(one, two, mask, 1.0, blend, outside), two)


def test_shares():
    mask = torch.tensor([[[0.0, 0.5, 1.0]]])
    assert target_share(mask, 0.25, "source").flatten().tolist() == [0.0, 0.125, 0.25]
    assert target_share(mask, 0.25, "target").flatten().tolist() == [1.0, 0.625, 0.25]
    assert target_share(mask, 0.25, "mix").flatten().tolist() == [0.15625, 0.203125, 0.25]
    assert target_share(mask, 0.5, "mix").flatten().tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("time", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("outside", ["source", "target", "mix"])
def test_shares_stay_between_zero_and_one(time, outside):
    share = target_share(torch.rand(1, 50, 50), time, outside)
    assert float(share.min()) >= 0
    assert float(share.max()) <= 1


def test_linear_at_a_time():
    one, two = torch.rand(3, 9, 7), torch.rand(3, 9, 7)
    frame = blend_pair(one, two, None, 0.3, "linear")
    torch.testing.assert_close(frame, 0.7 * one + 0.3 * two, rtol=0, atol=1e-6)


def test_splines_overshoot_and_frames_do_not():
    one, two = torch.rand(3, 9, 7) * 3 - 1, torch.rand(3, 9, 7) * 3 - 1
    for mask in (torch.zeros(1, 9, 7), torch.ones(1, 9, 7), torch.rand(1, 9, 7)):
        for blend in BLENDS:
            frame = blend_pair(one, two, mask, 0.4, blend, "mix")
            assert 0 <= float(frame.min()) <= float(frame.max()) <= 1


def test_wrong_options():
    one = torch.rand(3, 8, 8)
    with pytest.raises(ConfigError, match=r"source \| target \| mix.*background"):
        target_share(torch.rand(1, 8, 8), 0.5, "background")
    with pytest.raises(ConfigError, match=r"multiband \| linear.*dist"):
        blend_pair(one, one, torch.rand(1, 8, 8), 0.5, "dist")
    with pytest.raises(ConfigError, match=r"source \| target \| mix.*background"):
        blend_pair(one, one, torch.rand(1, 8, 8), 0.5, "poisson_mix", "background")
    with pytest.raises(ConfigError, match="mask"):
        blend_pair(one, one, None, 0.5, "poisson_mix")


@pytest.mark.parametrize("blend", MASKED)
def test_outside_the_mask_a_blend_leaves_the_background_alone(blend):
    one, two = torch.rand(3, 40, 52), torch.rand(3, 40, 52)
    mask = soft_mask(Frame(40, 52))
    far = (
        torch.nn.functional.max_pool2d(mask, 39, 1, 19) == 0 if blend == "multiband" else mask == 0
    )
    for outside, background in (("source", one), ("target", two), ("mix", (one + two) / 2)):
        frame = blend_pair(one, two, mask, 0.5, blend, outside)
        darker_or_lighter = blend in ("min", "max") and outside == "mix"
        expected = getattr(torch, blend + "imum")(one, two) if darker_or_lighter else background
        torch.testing.assert_close(frame * far, expected * far, rtol=0, atol=1e-6)


@pytest.mark.parametrize("blend", BLENDS)
def test_equal_pictures_blend_to_themselves(blend):
    one = torch.rand(3, 33, 40)
    frame = blend_pair(one, one, soft_mask(Frame(33, 40)), 0.4, blend)
    torch.testing.assert_close(frame, one, rtol=0, atol=1e-5)


@pytest.mark.parametrize("blend", BLENDS)
def test_a_face_that_fills_the_frame(blend):
    one, two = torch.rand(3, 33, 40), torch.rand(3, 33, 40)
    frame = blend_pair(one, two, torch.ones(1, 33, 40), 0.5, blend)
    assert bool(frame.isfinite().all())
    assert torch.equal(frame, one) == (blend in ("source", "poisson_source"))
    tiny = blend_pair(one[:, :1, :2], two[:, :1, :2], torch.ones(1, 1, 2), 0.5, blend)
    assert bool(tiny.isfinite().all())


def test_darker_and_lighter_half_way():
    one, two = torch.rand(3, 9, 7), torch.rand(3, 9, 7)
    mask = torch.ones(1, 9, 7)
    assert torch.equal(blend_pair(one, two, mask, 0.5, "min"), torch.minimum(one, two))
    assert torch.equal(blend_pair(one, two, mask, 0.5, "max"), torch.maximum(one, two))
    quarter = blend_pair(one, two, mask, 0.25, "max")
    torch.testing.assert_close(quarter, (one + torch.maximum(one, two)) / 2, rtol=0, atol=1e-6)


def test_a_cloned_face_takes_the_tone_of_its_surroundings():
    frame = Frame(48, 48)
    detail = 0.1 * torch.rand(3, 48, 48)
    light, dark = 0.8 * torch.ones(3, 48, 48), 0.2 + detail
    cloned = blend_pair(light, dark, soft_mask(frame), 0.5, "poisson_target")
    inner = cloned[:, 18:30, 18:30]
    assert 0.7 < float(inner.mean()) < 0.9
    centred = inner - inner.mean((1, 2), keepdim=True)
    wanted = detail[:, 18:30, 18:30] - detail[:, 18:30, 18:30].mean((1, 2), keepdim=True)
    assert float((centred * wanted).sum() / (centred.norm() * wanted.norm())) > 0.95


@pytest.mark.parametrize("time", [0.0, 0.4, 1.0])
def test_one_picture_at_all_times(time):
    one, two = torch.rand(3, 24, 30), torch.rand(3, 24, 30)
    assert torch.equal(blend_pair(one, two, None, time, "source"), one)
    assert torch.equal(blend_pair(one, two, None, time, "target"), two)
    mask = soft_mask(Frame(24, 30))
    for picture, blend, outside in (
        (one, "poisson_source", "source"),
        (two, "poisson_target", "target"),
    ):
        # its own gradients on its own ground
        frame = blend_pair(one, two, mask, time, blend, outside)
        torch.testing.assert_close(frame, picture, rtol=0, atol=2e-5)


def test_masked_linear():
    one, two, mask = torch.rand(3, 9, 7), torch.rand(3, 9, 7), torch.rand(1, 9, 7)
    frame = blend_pair(one, two, mask, 0.3, "linear_masked")
    torch.testing.assert_close(frame, one + 0.3 * mask * (two - one), rtol=0, atol=1e-6)
    whole = blend_pair(one, two, torch.ones(1, 9, 7), 0.3, "linear_masked")
    torch.testing.assert_close(whole, blend_pair(one, two, None, 0.3, "linear"), rtol=0, atol=1e-6)


def test_average_is_a_clone_of_the_linear_blend():
    """ifmorph's seamless_clone_src: cv2.seamlessClone, NORMAL_CLONE, of the linear blend into the
    source.
    """
    one, two = torch.rand(3, 24, 30), torch.rand(3, 24, 30)
    mask = soft_mask(Frame(24, 30))
    mixed = blend_pair(one, two, None, 0.4, "linear")
    cloned = blend_pair(one, mixed, mask, 0.4, "poisson_target")
    torch.testing.assert_close(
        blend_pair(one, two, mask, 0.4, "poisson_average"), cloned, rtol=0, atol=5e-5
    )


def test_near_to_opencv():
    """OpenCV erodes the mask, solves a rectangle by sine transforms and rounds to 8 bits: near, not
    equal.

    Its MIXED_CLONE compares differences of differences, channel by channel, which is another rule
    than the paper's.
    """
    x, y = Frame(192, 208).pixel_centres().unbind(-1)
    one = torch.stack([0.5 + 0.2 * torch.sin(a * x + b * y) for a, b in ((2, 1), (1, 3), (2, 2))])
    two = torch.stack([0.5 + 0.2 * torch.cos(a * x + b * y) for a, b in ((5, 4), (3, 6), (5, 2))])
    mask = (x.square() / 0.3 + y.square() / 0.2 < 1)[None]
    ours = blend_pair(one, two, mask.float(), 0.5, "poisson_target")
    first, second = (
        (picture.permute(1, 2, 0) * 255).round().byte().numpy() for picture in (one, two)
    )
    hard = (mask[0].byte() * 255).numpy()
    rows, columns = (mask[0].any(dim=axis).nonzero()[:, 0] for axis in (1, 0))
    centre = (int(columns[0] + columns[-1]) // 2, int(rows[0] + rows[-1]) // 2)
    theirs = (
        torch.from_numpy(cv2.seamlessClone(second, first, hard, centre, cv2.NORMAL_CLONE)).permute(
            2, 0, 1
        )
        / 255
    )
    unblended = torch.where(mask, two, one)
    error = (ours - theirs).square().mean().sqrt()
    assert float(error) < 0.02
    assert float(error) < 0.3 * float((unblended - theirs).square().mean().sqrt())


def test_names_are_the_same_everywhere(request):
    """The command's help and the docs list what there is."""
    source = split_annotation(hints_of(morph)["blend"])[1].help
    page = (request.config.rootpath / "docs/blending.md").read_text()
    for blend in BLENDS:
        assert re.search(rf"\b{blend}\b", source), blend
        assert f"| `{blend}` |" in page, blend
    assert set(GUIDANCE_OF) < set(MASKED) < set(BLENDS)
