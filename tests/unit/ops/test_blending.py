"""Blending by a weight for each pixel: hand-computed values, limits, gradients, odd sizes."""

import pytest
import torch

from facemorph.ops.blending import blend_linear, blend_multiband, pyramid_down, pyramid_up


def pictures(height=33, width=47, dtype=torch.float64):
    return torch.rand(2, 3, height, width, dtype=dtype), torch.rand(
        2, 3, height, width, dtype=dtype
    )


def test_linear_by_hand():
    first, second = torch.full((1, 3, 1, 2), 0.2), torch.full((1, 3, 1, 2), 0.6)
    weight = torch.tensor([[[[0.25, 1.0]]]])
    torch.testing.assert_close(
        blend_linear(first, second, weight), torch.tensor([0.3, 0.6]).expand(1, 3, 1, 2)
    )


@pytest.mark.parametrize("size", [(33, 47), (64, 64), (7, 5), (8, 8), (9, 31), (17, 300)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_constant_weight_is_the_linear_blend(size, share):
    first, second = pictures(*size)
    weight = torch.full((2, 1, *size), share, dtype=torch.float64)
    torch.testing.assert_close(
        blend_multiband(first, second, weight),
        blend_linear(first, second, weight),
        rtol=0,
        atol=1e-12,
    )


def test_one_level_is_the_linear_blend_for_any_weight():
    first, second = pictures()
    weight = torch.rand(2, 1, 33, 47, dtype=torch.float64)
    torch.testing.assert_close(
        blend_multiband(first, second, weight, levels=1),
        blend_linear(first, second, weight),
        rtol=0,
        atol=1e-14,
    )


def test_equal_pictures_stay_themselves():
    first, _ = pictures()
    weight = torch.rand(2, 1, 33, 47, dtype=torch.float64)
    assert torch.equal(blend_multiband(first, first, weight), first)


def test_two_bands_by_hand():
    """One axis of 8 pixels, from the definition of Burt and Adelson, with matrices written out
    here.
    """
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=torch.float64) / 16

    def reflected(index, size):
        index = abs(index)
        return 2 * (size - 1) - index if index >= size else index

    down = torch.zeros(4, 8, dtype=torch.float64)
    for row in range(4):
        for tap in range(5):
            down[row, reflected(2 * row + tap - 2, 8)] += kernel[tap]
    up = torch.zeros(8, 4, dtype=torch.float64)
    for row in range(8):
        if row % 2 == 0:
            middle = row // 2
            for column, share in ((middle - 1, 1 / 8), (middle, 6 / 8), (middle + 1, 1 / 8)):
                # Reflected before, repeated behind.
                up[row, 1 if column < 0 else min(column, 3)] += share
        else:
            for column in (row // 2, row // 2 + 1):
                up[row, min(column, 3)] += 0.5
    first, second = torch.rand(2, 8, 8, dtype=torch.float64) * 0.5 + 0.25
    weight = (torch.arange(8, dtype=torch.float64) >= 4).double().expand(8, 8)

    def two_bands(image):
        coarse = down @ image @ down.T
        return image - up @ coarse @ up.T, coarse

    fine_one, coarse_one = two_bands(first)
    fine_two, coarse_two = two_bands(second)
    small = down @ weight @ down.T
    expected = (
        fine_one * (1 - weight)
        + fine_two * weight
        + up @ (coarse_one * (1 - small) + coarse_two * small) @ up.T
    )
    ours = blend_multiband(
        first.expand(1, 3, 8, 8), second.expand(1, 3, 8, 8), weight[None, None], levels=2
    )
    torch.testing.assert_close(ours[0, 0], expected.clamp(0, 1), rtol=0, atol=1e-12)


def test_a_hard_seam_is_spread():
    first, second = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64)
    weight = torch.zeros(1, 1, 64, 64)
    weight[..., 32:] = 1
    row = blend_multiband(first, second, weight)[0, 0, 32]
    assert float((row[1:] - row[:-1]).abs().max()) < 0.1
    assert float(row[0]) < 0.1
    assert float(row[-1]) > 0.9
    assert bool((row[1:] >= row[:-1] - 1e-6).all())


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (3, 3), (5, 12)])
def test_pyramid_sizes_and_constants(size):
    constant = torch.full((2, 3, *size), 0.4, dtype=torch.float64)
    small = pyramid_down(constant)
    assert small.shape == (2, 3, (size[0] + 1) // 2, (size[1] + 1) // 2)
    again = pyramid_up(small, size)
    assert again.shape == constant.shape
    torch.testing.assert_close(again, constant, rtol=0, atol=1e-14)


def test_up_by_hand():
    image = torch.tensor([0.0, 8.0, 16.0], dtype=torch.float64).expand(1, 1, 3, 3)
    row = pyramid_up(image, (6, 6))[0, 0, 0]
    assert row.tolist() == [2.0, 4.0, 8.0, 12.0, 15.0, 16.0]


def test_values_are_clipped():
    first, second = torch.rand(1, 3, 32, 32).round(), torch.rand(1, 3, 32, 32).round()
    result = blend_multiband(first, second, torch.rand(1, 1, 32, 32).round())
    assert float(result.min()) >= 0
    assert float(result.max()) <= 1


def test_gradcheck():
    first, second = (torch.rand(1, 3, 9, 8, dtype=torch.float64) * 0.4 + 0.3 for _ in range(2))
    weight = torch.rand(1, 1, 9, 8, dtype=torch.float64) * 0.2 + 0.4
    inputs = tuple(tensor.requires_grad_() for tensor in (first, second, weight))
    assert torch.autograd.gradcheck(lambda *parts: blend_multiband(*parts, levels=2), inputs)
    assert torch.autograd.gradcheck(blend_linear, inputs)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 40), (13, 8), (11, 257)])
def test_small_and_odd_pictures(size):
    first, second = pictures(*size)
    result = blend_multiband(first, second, torch.rand(2, 1, *size, dtype=torch.float64), levels=8)
    assert result.shape == first.shape
    assert bool(result.isfinite().all())
