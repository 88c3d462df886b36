"""VariTex's layers: residual blocks that shrink and that grow pictures, and their normalisations.

Source: Buehler et al., VariTex (ICCV 2021), with the settings of the released code: blocks of
ResNet-18 (He et al. 2016), and the same with pixels repeated before the second convolution
("resize-convolution", Odena et al., Deconvolution and Checkerboard Artifacts, 2016).

Departure: the 1 x 1 convolution of a growing shortcut comes before its pixels are repeated, which
is the same with a quarter of the work.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError

Normalisation = Literal["batch", "sync", "group"]
NORMALISATIONS = ("batch", "sync", "group")
MOST_GROUPS = 32


def normalisation(kind: Normalisation, channels: int) -> nn.Module:
    """A normalisation of features.

    Args:
        kind: ``batch`` as published; ``sync``: over the batches of all processes together;
            ``group``: of each sample alone (Wu and He 2018), for batches of a few.
        channels: Of the features; groups are 32, or as many as divide both.

    Raises:
        ConfigError: There is no such normalisation.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "sync":
        return nn.SyncBatchNorm(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(MOST_GROUPS, channels), channels)
    raise ConfigError(
        "there is no such normalisation",
        where="system.generator.normalisation",
        expected=" or ".join(NORMALISATIONS),
        found=kind,
    )


def repeated(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` to ``(B, C, 2 H, 2 W)``, each pixel four times."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class ShrinkingBlock(nn.Module):
    """ResNet-18's block: two convolutions of 3 x 3, and a shortcut.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: Of the first convolution.
        kind: Of the normalisations.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, kind: Normalisation) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_normalisation = normalisation(kind, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.second_normalisation = normalisation(kind, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), normalisation(kind, outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        y = F.relu(self.first_normalisation(self.first(x)))
        y = self.second_normalisation(self.second(y))
        return F.relu(y + self.shortcut(x))


class GrowingBlock(nn.Module):
    """Two convolutions of 3 x 3, the second at the new size, and a shortcut.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        grows: Whether the sides are doubled.
        kind: Of the normalisations.
        condition: Channels of a picture that the first convolution sees, the shortcut not.
    """

    def __init__(
        self, inputs: int, outputs: int, grows: bool, kind: Normalisation, condition: int = 0
    ) -> None:
        super().__init__()
        self.grows = grows
        self.first = nn.Conv2d(inputs + condition, inputs, 3, padding=1, bias=False)
        self.first_normalisation = normalisation(kind, inputs)
        self.second = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.second_normalisation = normalisation(kind, outputs)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_normalisation: nn.Module = nn.Identity()
        if grows or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)
            self.shortcut_normalisation = normalisation(kind, outputs)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, 2 H, 2 W)``, or H and W.

        Args:
            x: Features.
            condition: ``(B, condition, H, W)`` where the block was made for it.
        """
        y = x if condition is None else torch.cat([x, condition], 1)
        y = F.relu(self.first_normalisation(self.first(y)))
        x = self.shortcut(x)
        if self.grows:
            x, y = repeated(x), repeated(y)
        return F.relu(self.second_normalisation(self.second(y)) + self.shortcut_normalisation(x))
