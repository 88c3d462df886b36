"""The small generator: begins with the geometric flow, keeps the photograph's sharpness."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.portraits.head_flow import MAPS, HeadFlow
from facemorph.systems.gdpw.small_generator import SmallGenerator, warp_clamped
from facemorph.systems.gdpw.warping import warp

SIDE, ROWS = 16, 2


@pytest.fixture
def generator():
    torch.manual_seed(0)
    return SmallGenerator((6, 8, 10), SIDE)


@pytest.fixture
def source():
    return torch.rand(ROWS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def moved(shift=0.0):
    """Some maps, and a flow of ``shift`` pixels to the right."""
    draw = torch.Generator().manual_seed(2)
    flow = torch.zeros(ROWS, 2, SIDE, SIDE)
    flow[:, 0] = 2 * shift / SIDE
    maps = torch.rand(ROWS, MAPS, SIDE, SIDE, generator=draw)
    return HeadFlow(flow, torch.ones(ROWS, 1, SIDE, SIDE), maps, torch.ones(ROWS, 1, SIDE, SIDE))


def test_the_usual_size():
    generator = SmallGenerator()
    assert generator.resolution == 128
    assert (
        sum(one.numel() for one in generator.parameters()) == 1_203_473
    )  # the 1.2 million of the measured prototype


def test_at_first_the_picture_follows_the_flow_of_the_head(generator, source):
    head = moved(3.0)
    with torch.no_grad():
        found = generator(source, head.maps, head)
    assert torch.equal(found.flow, head.flow)
    assert torch.count_nonzero(found.correction) == 0
    torch.testing.assert_close(found.warped[..., :-3], source[..., 3:])
    torch.testing.assert_close(found.warped[..., -3:], source[..., -1:].expand(-1, -1, -1, 3))
    # Of its own colour there is hardly anything yet.
    assert float(found.share.max()) < 0.12
    assert float((found.picture - found.warped).abs().mean()) < 0.05


def test_the_photograph_is_warped_in_its_own_size(generator, source):
    draw = torch.Generator().manual_seed(3)
    large = torch.rand(ROWS, 3, 4 * SIDE, 4 * SIDE, generator=draw)
    head = moved(1.0)
    with torch.no_grad():
        teeth = torch.ones(ROWS, 1, *large.shape[2:])
        found = generator(source, head.maps, replace(head, teeth=teeth), large)
    assert found.picture.shape == large.shape
    assert found.share.shape[2:] == (SIDE, SIDE)
    # A pixel of the small picture is four of the large one; the finest detail is still there.
    torch.testing.assert_close(found.warped[..., :-4], large[..., 4:], atol=1e-4, rtol=0)


def test_without_gradients_one_compiled_pass_makes_the_same_of_a_photograph(generator, source):
    draw = torch.Generator().manual_seed(3)
    large, teeth = (
        torch.rand(1, 3, 40, 56, generator=draw),
        torch.rand(1, 1, 40, 56, generator=draw),
    )
    head = moved(1.3)
    torch.nn.init.normal_(generator.correction.weight, std=0.05)
    head = HeadFlow(head.flow[:1], head.visible[:1], head.maps[:1], teeth)
    plain = generator(source[:1], head.maps, head, large)
    with torch.no_grad():
        found = generator(source[:1], head.maps, head, large)
    assert plain.picture.requires_grad
    assert not found.picture.requires_grad
    for name in ("picture", "warped", "share", "correction", "flow"):
        torch.testing.assert_close(getattr(found, name), getattr(plain, name), rtol=0, atol=1e-5)


def test_lines_between_teeth_darken_own_colour_only(generator, source):
    head = moved()
    lines = replace(head, teeth=torch.full_like(head.teeth, 0.5))
    with torch.no_grad():
        torch.nn.init.normal_(generator.correction.weight, std=0.05)
        plain, lined = (generator(source, head.maps, one) for one in (head, lines))
    rest = plain.warped * (1 - plain.share)
    torch.testing.assert_close(lined.picture - rest, 0.5 * (plain.picture - rest))


def test_cached_features_give_the_same_frames(generator, source):
    head, other = moved(), moved(2.0)
    with torch.no_grad():
        features = generator.encode(source, head.maps)
        for one in (head, other):
            cached = generator.decode(features, source, one)
            assert torch.equal(cached.picture, generator(source, head.maps, one).picture)
    assert [feature.shape[-1] for feature in features] == [16, 8, 4]


def test_every_weight_learns_and_nothing_flows_into_the_guides(generator, source):
    with torch.no_grad():  # layers that begin with zeros let nothing through to those before
        for name, parameter in generator.named_parameters():
            if "flows" in name or "correction" in name:
                parameter.normal_(0, 0.05)
    head = moved(1.0)
    found = generator(source, head.maps, head)
    (found.picture.square().mean() + found.flow.square().mean()).backward()
    missing = [
        name
        for name, one in generator.named_parameters()
        if one.grad is None or not one.grad.abs().sum()
    ]
    assert missing == []
    assert head.flow.grad is None


def test_gradients_of_the_picture_agree_with_differences(source):
    generator = SmallGenerator((3, 4), 8).double()
    for parameter in generator.flows.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    small = source[:1, :, :8, :8].double()
    draw = torch.Generator().manual_seed(5)
    maps = torch.rand(1, MAPS, 8, 8, generator=draw).double()
    # Away from pixel centres, where bilinear sampling has a kink.
    flow = torch.full((1, 2, 8, 8), 0.3 * 2 / 8).double()
    head = HeadFlow(flow, torch.ones(1, 1, 8, 8).double(), maps, torch.ones(1, 1, 8, 8).double())
    bias = generator.correction.bias

    def total():
        return generator(small, maps, head).picture.square().sum()

    total().backward()
    with torch.no_grad():
        step = 1e-6
        bias[0] += step
        above = total()
        bias[0] -= 2 * step
        below = total()
    assert float((above - below) / (2 * step)) == pytest.approx(float(bias.grad[0]), rel=1e-6)


def test_clamped_warps_agree_with_the_papers_inside(source):
    flow = 0.1 * torch.randn(ROWS, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(4))
    inner = (slice(None), slice(None), slice(6, -6), slice(6, -6))
    torch.testing.assert_close(warp_clamped(source, flow)[inner], warp(source, flow)[inner])


def test_two_levels_are_enough_and_one_is_not(source):
    head = moved()
    found = SmallGenerator((4, 6), SIDE)(source, head.maps, head)
    assert found.picture.shape == source.shape
    with pytest.raises(ConfigError, match="two levels"):
        SmallGenerator((4,), SIDE)
    with pytest.raises(ConfigError, match="halve"):
        SmallGenerator((4, 6, 8), 18)


def test_shapes_are_checked(generator, source):
    head = moved()
    with pytest.raises(DataError, match="maps of the source"):
        generator.encode(source, head.maps[:, 1:])
    features = generator.encode(source, head.maps)
    with pytest.raises(DataError, match="flow of the head"):
        generator.decode(features, source, replace(head, flow=head.flow[:1]))
