"""VariTex's blocks: shortcuts, growth by repeated pixels, normalisations."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.systems.varitex.blocks import (
    GrowingBlock,
    ShrinkingBlock,
    normalisation,
    repeated,
)


def test_repeated_pixels():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    expected = [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    assert repeated(x)[0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("kind", "known"),
    [("batch", nn.BatchNorm2d), ("sync", nn.SyncBatchNorm), ("group", nn.GroupNorm)],
)
def test_normalisations(kind, known):
    assert isinstance(normalisation(kind, 12), known)


def test_groups_divide_the_channels():
    assert [normalisation("group", one).num_groups for one in (64, 48, 12, 7)] == [32, 16, 4, 1]


def test_unknown_normalisations_are_named():
    with pytest.raises(ConfigError, match="instance"):
        normalisation("instance", 4)


@pytest.mark.parametrize(
    ("block", "has_one"),
    [
        (ShrinkingBlock(4, 4, 1, "batch"), False),
        (ShrinkingBlock(4, 4, 2, "batch"), True),
        (ShrinkingBlock(4, 6, 1, "batch"), True),
        (GrowingBlock(4, 4, False, "batch"), False),
        (GrowingBlock(4, 4, True, "batch"), True),
        (GrowingBlock(4, 6, False, "batch"), True),
    ],
)
def test_shortcuts_only_where_needed(block, has_one):
    assert any(name.startswith("shortcut") for name, _ in block.named_parameters()) is has_one


@pytest.mark.parametrize("training", [True, False])
def test_growing_in_the_published_order(training):
    """The shortcut's convolution behind the repeated pixels gives the same, statistics too."""
    block = GrowingBlock(3, 5, True, "batch", 2).double().train(training)
    x, condition = torch.randn(2, 3, 4, 4).double(), torch.randn(2, 2, 4, 4).double()
    shortcut = nn.BatchNorm2d(5).double().train(training)
    y = block.first(torch.cat([x, condition], 1))
    y = F.batch_norm(y, None, None, training=True) if training else y / (1 + 1e-5) ** 0.5
    y = block.second(F.relu(y).repeat_interleave(2, 2).repeat_interleave(2, 3))
    y = F.batch_norm(y, None, None, training=True) if training else y / (1 + 1e-5) ** 0.5
    grown = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = F.relu(y + shortcut(block.shortcut(grown)))
    torch.testing.assert_close(block(x, condition), expected)
    torch.testing.assert_close(block.shortcut_normalisation.running_var, shortcut.running_var)
