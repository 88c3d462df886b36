"""Filters against SciPy."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter

from facemorph.ops.filters import dilated, enlarged, gaussian_blur, luminance, smoothstep


@pytest.mark.parametrize("sigma", [0.6, 2.0, 5.3])
def test_gaussian_blur_is_scipy_s(sigma):
    values = torch.rand(
        2, 3, 31, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    radius = max(1, int(3 * sigma + 0.5))
    expected = gaussian_filter(values.numpy(), sigma, axes=(2, 3), mode="nearest", radius=radius)
    assert float((gaussian_blur(values, sigma) - torch.from_numpy(expected)).abs().max()) < 1e-12


def test_no_blur():
    values = torch.rand(1, 1, 4, 5)
    assert torch.equal(gaussian_blur(values, 0), values)


@pytest.mark.parametrize("reach", [0, 1, 2, 5, 12, 40])
@pytest.mark.parametrize("shape", [(1, 2, 31, 24), (3, 17, 50), (9, 11)])
def test_dilated_is_torch_s_largest_of_a_window(reach, shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(reach))
    window = torch.nn.functional.max_pool2d(
        values.view(1, -1, *shape[-2:]), 2 * reach + 1, 1, reach
    )
    assert torch.equal(dilated(values, reach), window.view(shape))


def test_luminance_of_grey_is_grey():
    grey = torch.rand(2, 1, 4, 5)
    assert float((luminance(grey.expand(2, 3, 4, 5)) - grey).abs().max()) < 1e-6
    red = luminance(torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(3, 2, 2))
    assert red.shape == (1, 2, 2)
    assert float(red[0, 0, 0]) == pytest.approx(0.299)


def test_smoothstep_is_flat_at_both_ends():
    x = torch.tensor([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0], requires_grad=True)
    found = smoothstep(x)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 0.15625, 0.5, 1.0, 1.0]))
    found.sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0.0, 0.0, 1.125, 1.5, 0.0, 0.0]))


@pytest.mark.parametrize("size", [(5, 7), (12, 7), (16, 40), (70, 7), (5, 98)])
def test_enlarged_is_the_bicubic_interpolation_of_torch(size):
    values = torch.rand(2, 3, 5, 7, requires_grad=True)
    expected = torch.nn.functional.interpolate(values, size, mode="bicubic", align_corners=False)
    found = enlarged(values, size)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    slopes = [
        torch.autograd.grad((one * expected.detach()).sum(), values)[0] for one in (found, expected)
    ]
    torch.testing.assert_close(*slopes, rtol=0, atol=1e-4)
