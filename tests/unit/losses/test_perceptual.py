"""Perceptual distances over features that are known."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import ConfigError, DataError
from facemorph.losses.perceptual import PerceptualDistance, unit


class Known(torch.nn.Module):
    """Two layers: the picture, and twice its mean colour."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(2.0))

    def forward(self, images):
        return {"fine": images, "coarse": self.factor * images.mean((2, 3), keepdim=True)}


def test_absolute_difference_by_hand():
    distance = PerceptualDistance(Known())
    first, second = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    second[0] = 0.5
    second[1, :, :2] = 1.0
    # fine: 0.5, 0.5; coarse: twice the difference of the means
    torch.testing.assert_close(distance(first, second), torch.tensor([0.75, 0.75]))
    weighted = PerceptualDistance(Known(), weights={"fine": 1.0, "coarse": 0.0})
    torch.testing.assert_close(weighted(first, second), torch.tensor([0.5, 0.5]))


def test_unit_difference_by_hand():
    """Colours at a right angle differ by 2, whatever their length."""
    first, second = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    first[:, 0], second[:, 1] = 0.3, 0.9
    distance = PerceptualDistance(Known(), "unit")
    torch.testing.assert_close(distance(first, second), torch.tensor([2.0]))
    torch.testing.assert_close(unit(5 * first)[:, 0], torch.ones(1, 2, 2))


def test_gradients_go_to_the_pictures_only():
    known = Known()
    for kind in ("absolute", "unit"):
        distance = PerceptualDistance(known, kind)
        images, targets = torch.rand(2, 1, 3, 4, 4).unbind()
        images, targets = images.requires_grad_(), targets.requires_grad_()
        distance(images, targets).sum().backward()
        assert float(images.grad.abs().sum()) > 0
        assert targets.grad is None
        assert known.factor.grad is None


def test_black_pictures_have_finite_gradients():
    images = torch.zeros(1, 3, 4, 4, requires_grad=True)
    PerceptualDistance(Known(), "unit")(images, torch.rand(1, 3, 4, 4)).sum().backward()
    assert images.grad.isfinite().all()


def test_stays_frozen_in_training():
    distance = PerceptualDistance(torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm2d(3)))
    torch.nn.ModuleList([distance]).train()
    assert not any(one.training for one in distance.modules())


def test_wrong_options():
    with pytest.raises(ConfigError, match="absolute or unit"):
        PerceptualDistance(Known(), "other")
    distance = PerceptualDistance(Known(), weights={"fine": 1.0})
    with pytest.raises(ConfigError, match="expected fine, coarse"):
        distance(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
    with pytest.raises(DataError, match="targets has the wrong shape"):
        distance(torch.zeros(1, 3, 2, 2), torch.zeros(2, 3, 2, 2))
