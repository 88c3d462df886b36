"""The compiled warp of photographs, against torch's bicubic resampling and sampling."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from facemorph.geometry.portraits.warped_numba import warped_photograph
from facemorph.ops.frames import edge_grid


@pytest.mark.parametrize("size", [(64, 64), (200, 96), (33, 130), (32, 40)])
@pytest.mark.parametrize("far", [0.05, 1.5])
def test_it_is_torch_s(size, far):
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 6, 32, 24, generator=random) * 1.4 - 0.2
    slow = torch.randn(1, 2, 5, 5, generator=random) * far
    coarse[:, :2] = functional.interpolate(slow, (32, 24), mode="bicubic", align_corners=False)
    photograph = torch.rand(1, 3, *size, generator=random)
    factor = torch.rand(1, 1, *size, generator=random)
    fine = functional.interpolate(coarse, size, mode="bicubic", align_corners=False)
    grid = edge_grid(*size, fine) + fine[:, :2].permute(0, 2, 3, 1)
    warped = functional.grid_sample(
        photograph, grid, "bicubic", padding_mode="border", align_corners=False
    )
    for light in (factor, torch.ones(1, 1, 1, 1)):
        picture = warped * (1 - fine[:, 2:3].clamp(0, 1)) + fine[:, 3:] * light
        found = warped_photograph(coarse, photograph, light)
        # Of noise, where a place is rounded to a ten-thousandth of a pixel.
        torch.testing.assert_close(found[0], picture, rtol=0, atol=3e-4)
        torch.testing.assert_close(found[1], warped, rtol=0, atol=3e-4)


def test_no_flow_and_nothing_over_it_is_the_photograph():
    photograph = torch.rand(1, 3, 50, 60)
    coarse = torch.zeros(1, 6, 20, 20)
    for found in warped_photograph(coarse, photograph, torch.ones(1, 1, 1, 1)):
        torch.testing.assert_close(found, photograph, rtol=0, atol=1e-6)
