"""From warps and pictures to frames: the ends of a morph to the bit, shares, blends, wrong options."""

import pytest
import torch

from facemorph.errors import ConfigError
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.rendering import blend_pair, target_share, warp_pair
from facemorph.fields.siren_warp import ResidualSirenWarp, SirenWarp
from facemorph.fields.thin_plate_flow import ThinPlateFlow
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


@pytest.mark.parametrize("blend", ["multiband", "linear"])
@pytest.mark.parametrize("size", SIZES)
def test_the_ends_of_a_morph_are_the_pictures_to_the_bit(blend, size):
    frame = Frame(*size)
    one, two = torch.rand(3, *size), torch.rand(3, *size)
    mask = soft_mask(frame)
    for outside in ("source", "mix"):
        assert torch.equal(blend_pair(one, two, target_share(mask, 0.0, outside), blend), one)
    for outside in ("target", "mix"):
        assert torch.equal(blend_pair(one, two, target_share(mask, 1.0, outside), blend), two)


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
    share = torch.full((1, 9, 7), 0.3)
    torch.testing.assert_close(
        blend_pair(one, two, share, "linear"), 0.7 * one + 0.3 * two, rtol=0, atol=1e-6
    )


def test_splines_overshoot_and_frames_do_not():
    one, two = torch.rand(3, 9, 7) * 3 - 1, torch.rand(3, 9, 7) * 3 - 1
    for share in (torch.zeros(1, 9, 7), torch.ones(1, 9, 7), torch.rand(1, 9, 7)):
        for blend in ("linear", "multiband"):
            frame = blend_pair(one, two, share, blend)
            assert 0 <= float(frame.min()) <= float(frame.max()) <= 1


def test_wrong_options():
    one = torch.rand(3, 8, 8)
    with pytest.raises(ConfigError, match=r"source \| target \| mix.*background"):
        target_share(torch.rand(1, 8, 8), 0.5, "background")
    with pytest.raises(ConfigError, match=r"multiband \| linear.*poisson"):
        blend_pair(one, one, torch.rand(1, 8, 8), "poisson")
