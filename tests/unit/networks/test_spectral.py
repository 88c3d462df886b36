"""Spectral normalisation against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from facemorph.networks.spectral import SpectralConvolution


@pytest.mark.parametrize("training", [True, False])
def test_torchs_spectral_normalisation(training):
    """Outputs, vectors and gradients, over two passes before one backward pass; the older function
    of torch's two, which the released code calls: the newer one begins with the other vector.
    """
    ours = SpectralConvolution(3, 5, 4, padding=2).double()
    theirs = nn.utils.spectral_norm(nn.Conv2d(3, 5, 4, padding=2).double())
    with torch.no_grad():
        theirs.weight_orig.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)
        ours.left.copy_(theirs.weight_u)  # at random, far from the largest pair
        ours.right.copy_(theirs.weight_v)
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for network in (ours.train(training), theirs.train(training)):
        (network(images).square().sum() + network(2 * images).sum()).backward()
    torch.testing.assert_close(ours.weight.grad, theirs.weight_orig.grad)
    torch.testing.assert_close(ours.left, theirs.weight_u)
    torch.testing.assert_close(ours.right, theirs.weight_v)
    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize("options", [{}, {"kernel": 4, "padding": 2, "stride": 2, "bias": False}])
def test_plain_convolutions_are_the_same(options):
    layer = SpectralConvolution(3, 5, **options).eval()
    images = torch.randn(2, 3, 8, 8)
    plain = layer.plain()
    assert type(plain) is nn.Conv2d
    torch.testing.assert_close(plain(images), layer(images))


def test_norms_are_exact_under_autocast():
    layer = SpectralConvolution(16, 16).eval()
    expected = layer.norm()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.norm(), expected)
        assert layer(torch.randn(1, 16, 4, 4)).dtype == torch.bfloat16
