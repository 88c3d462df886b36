"""VariTex's neural renderer: features to colours and a mask, by a U-Net.

Source: Ronneberger et al., U-Net (2015), as Buehler et al., VariTex (ICCV 2021), use it: zeros
around the pictures, transposed convolutions of 2 x 2, batch normalisation behind each 3 x 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.systems.varitex.blocks import Normalisation, normalisation

KERNEL = 3


def _twice(inputs: int, outputs: int, kind: Normalisation) -> nn.Sequential:
    """Two convolutions, each normalised and rectified."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            nn.Conv2d(channels, outputs, KERNEL, padding=1),
            normalisation(kind, outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class GrowingLevel(nn.Module):
    """One level of the way up.

    Args:
        inputs: Channels that come in; half of them go out.
        kind: Of the normalisations.
    """

    def __init__(self, inputs: int, kind: Normalisation) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, 2)
        self.convolutions = _twice(inputs, inputs // 2, kind)

    def forward(self, x: Tensor, finer: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, inputs / 2, 2 H, 2 W)``.

        Args:
            x: Features.
            finer: ``(B, inputs / 2, 2 H, 2 W)`` of the way down.
        """
        joined: Tensor = self.convolutions(torch.cat([finer, self.up(x)], 1))
        return joined


class FeatureRenderer(nn.Module):
    """Pictures of features.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        width: Channels of the finest level; each further one has twice as many.
        levels: Number of sizes.
        kind: Of the normalisations.
    """

    def __init__(
        self, inputs: int, outputs: int, width: int, levels: int, kind: Normalisation
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        before = [inputs, *widths]
        self.down = nn.ModuleList(
            _twice(mine, next_one, kind) for mine, next_one in zip(before, widths, strict=False)
        )
        self.up = nn.ModuleList(GrowingLevel(one, kind) for one in reversed(widths[1:]))
        self.exit = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H, W)``, unbounded; ``2 ** (levels - 1)`` divides
        H and W.
        """
        kept: list[Tensor] = []
        for number, level in enumerate(self.down):
            x = level(F.max_pool2d(x, 2) if number else x)
            kept.append(x)
        kept.pop()
        for level in self.up:
            x = level(x, kept.pop())
        rendered: Tensor = self.exit(x)
        return rendered
