"""GDPW's layers: SPADE by its equation, and sizes of blocks."""

from __future__ import annotations

import pytest
import torch

from facemorph.systems.gdpw.blocks import ConvolutionBlock, Spade


def test_spade_by_its_equation():
    spade, x, picture = Spade(4, 2, 3).eval(), torch.randn(2, 4, 6, 6), torch.randn(2, 2, 6, 6)
    spade.normalisation.running_mean.normal_()
    spade.normalisation.running_var.uniform_(0.5, 2)
    mean, variance = (
        one[:, None, None]
        for one in (spade.normalisation.running_mean, spade.normalisation.running_var)
    )
    hidden = spade.shared.plain()(picture)
    hidden = torch.where(hidden > 0, hidden, 0.1 * hidden)
    gamma, beta = spade.gamma.plain()(hidden), spade.beta.plain()(hidden)
    expected = (x - mean) / (variance + 1e-5).sqrt() * (1 + gamma) + beta
    torch.testing.assert_close(spade(x, picture), expected)


@pytest.mark.parametrize(("resize", "side"), [("same", 8), ("down", 4), ("up", 16)])
def test_sizes_of_blocks(resize, side):
    assert ConvolutionBlock(3, 5, resize)(torch.randn(2, 3, 8, 8)).shape == (2, 5, side, side)
