"""Warps against a loop over pixels, both grids, and smoothing against the whole Gaussian."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from facemorph.errors import ConfigError, DataError
from facemorph.systems.gdpw.warping import flow_of_pixels, places, smoothed_at_stride, warp


def warped_by_loops(values, flow, corner_grid):
    """Each pixel's four neighbours, those outside as zeros."""
    height, width = values.shape[2:]
    result = torch.zeros_like(values)
    for b, row, column in torch.cartesian_prod(*map(torch.arange, flow[:, 0].shape)).tolist():
        where = []
        for axis, (index, size) in enumerate(((column, width), (row, height))):
            start = 2 * index / (size - 1) - 1 if corner_grid else (2 * index + 1) / size - 1
            where.append(((start + float(flow[b, axis, row, column])) * size + size - 1) / 2)
        x, y = where
        for j in (math.floor(y), math.floor(y) + 1):
            for i in (math.floor(x), math.floor(x) + 1):
                if 0 <= i < width and 0 <= j < height:
                    share = (1 - abs(x - i)) * (1 - abs(y - j))
                    result[b, :, row, column] += share * values[b, :, j, i]
    return result


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
def test_a_loop_over_pixels(published, size):
    values = torch.randn(2, 3, *size, dtype=torch.float64)
    flow = 0.8 * torch.randn(2, 2, *size, dtype=torch.float64)  # far enough to leave the picture
    found = warp(values, flow, published_grid=published)
    torch.testing.assert_close(found, warped_by_loops(values, flow, published))


@pytest.mark.parametrize("side", [1, 2, 8, 32, 256])
def test_zero_flow_is_exact(side):
    values = torch.randn(1, 2, side, side)
    assert torch.equal(warp(values, torch.zeros(1, 2, side, side)), values)


def test_zero_flow_of_other_sizes():
    values = torch.randn(1, 2, 96, 160)
    torch.testing.assert_close(warp(values, torch.zeros(1, 2, 96, 160)), values, atol=1e-4, rtol=0)


def test_the_published_grid_is_not_the_identity():
    """The specification's measure: corners of 8 x 8 keep a quarter."""
    found = warp(torch.ones(1, 1, 8, 8), torch.zeros(1, 2, 8, 8), published_grid=True)[0, 0]
    assert found[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == pytest.approx([0.25] * 4)
    assert float(found[0, 3]) == pytest.approx(0.5)
    torch.testing.assert_close(found[1:-1, 1:-1], torch.ones(6, 6))


def test_whole_pixels_move():
    """A flow of d pixels fetches what is d pixels to the right and below."""
    values = torch.arange(64.0).view(1, 1, 8, 8)
    pixels = torch.tensor([2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    found = warp(values, flow_of_pixels(pixels))[0, 0]
    torch.testing.assert_close(found[:7, :6], values[0, 0, 1:, 2:])
    assert float(found[7:].abs().sum() + found[:, 6:].abs().sum()) == 0


def test_published_pixels_are_divided_by_the_side_less_one():
    pixels = torch.tensor([[3.0, 6.0]]).view(1, 2, 1, 1).expand(1, 2, 5, 9)
    assert flow_of_pixels(pixels, published_grid=True)[0, :, 0, 0].tolist() == [0.75, 3.0]
    assert flow_of_pixels(pixels)[0, :, 0, 0].tolist() == pytest.approx([6 / 9, 12 / 5])


def test_places_by_hand():
    like = torch.zeros(1)
    assert places(1, 4, like)[0, 0, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert places(1, 3, like, published_grid=True)[0, 0, :, 0].tolist() == [-1, 0, 1]
    assert places(2, 3, like).shape == (1, 2, 3, 2)


def test_gradients_by_flow_and_values():
    values = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    flow = 0.3 * torch.randn(1, 2, 4, 4, dtype=torch.float64)
    torch.autograd.gradcheck(warp, (values, flow.requires_grad_()))


def test_half_precision_keeps_places():
    """In bfloat16 a place at 256 pixels would be wrong by a pixel."""
    values = torch.randn(1, 1, 256, 256).bfloat16()
    assert torch.equal(warp(values, torch.zeros(1, 2, 256, 256).bfloat16()), values)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_smoothing_is_the_whole_gaussian(stride):
    """The published form: the window of 2 round(4 sigma) + 1, all filtered, then every s-th."""
    values = torch.randn(2, 3, 24, 32, dtype=torch.float64)
    sigma = (stride - 1) / 2
    radius = round(4 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    distance = offsets[:, None] ** 2 + offsets[None] ** 2
    kernel = torch.exp(-distance / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, -1, -1)
    full = F.conv2d(F.pad(values, (radius,) * 4), kernel, groups=3)
    torch.testing.assert_close(smoothed_at_stride(values, stride), full[:, :, ::stride, ::stride])


def test_stride_one_is_the_picture():
    values = torch.randn(1, 2, 5, 5)
    assert smoothed_at_stride(values, 1) is values


def test_what_does_not_fit_is_refused():
    values = torch.zeros(1, 2, 8, 8)
    with pytest.raises(DataError, match="flow"):
        warp(values, torch.zeros(1, 2, 4, 8))
    with pytest.raises(DataError, match="flow"):
        warp(values, torch.zeros(1, 3, 8, 8))
    with pytest.raises(DataError, match="displacements"):
        flow_of_pixels(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ConfigError, match="stride"):
        smoothed_at_stride(values, 0)
