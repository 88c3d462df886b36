"""How a generated picture differs from the photograph."""

import pytest
import torch

from facemorph.losses.reconstruction import reconstruction


def test_by_hand():
    real = torch.zeros(1, 3, 8, 8)
    fake = torch.full_like(real, 0.25)
    whole = torch.ones(1, 1, 8, 8)
    # one of colours, a half of one of means, no gradients
    assert float(reconstruction(fake, real, whole, 0.5)) == pytest.approx(0.25 * 1.5)
    fake = torch.zeros(1, 3, 8, 8)
    fake[..., 4:] = 1.0
    expected = 0.5 + 0.5 * 0.5 + 1 / 7  # and an edge in one of seven columns
    assert float(reconstruction(fake, real, whole, 0.5)) == pytest.approx(expected)


def test_pixels_off_the_head_weigh_less():
    real, mask = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    inside, outside = (
        torch.where(one, 1.0, 0.0).expand(1, 3, 8, 8) for one in (mask > 0, mask < 1)
    )
    on = reconstruction(inside, real, mask, 0.25)
    off = reconstruction(outside, real, mask, 0.25)
    assert float(off) == pytest.approx(0.25 * float(on), rel=0.05)


def test_each_picture_counts_alike():
    """A batch is the mean of its pictures, however large their heads are."""
    draw = torch.Generator().manual_seed(0)
    fake, real = (torch.rand(2, 3, 8, 8, generator=draw) for _ in range(2))
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, :, 2:4, 2:4], mask[1] = 1, 1
    both = reconstruction(fake, real, mask, 0.5)
    each = [reconstruction(fake[k : k + 1], real[k : k + 1], mask[k : k + 1], 0.5) for k in (0, 1)]
    assert float(both) == pytest.approx(float(sum(each)) / 2, rel=1e-5)
