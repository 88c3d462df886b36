"""VariTex's encoder: pictures to distributions of codes.

Source: Buehler et al., VariTex (ICCV 2021), with the settings of the released code: a ResNet-18
whose first convolution is 3 x 3 with stride 1, without pooling, so that each stage has sixteen
times the work of the usual one. ``stem`` makes it cheaper with the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.systems.varitex.blocks import Normalisation, ShrinkingBlock, normalisation

Stem = Literal["full", "half", "quarter"]
STEM_STRIDES = {"full": 1, "half": 2, "quarter": 4}
BLOCKS = 2  # of each stage


class Posterior(NamedTuple):
    """Normal distributions of codes, one for each picture.

    Attributes:
        mean: ``(B, Z)``.
        log_variance: ``(B, Z)``.
    """

    mean: Tensor
    log_variance: Tensor

    @property
    def deviation(self) -> Tensor:
        """Standard deviations ``(B, Z)``."""
        return (0.5 * self.log_variance).exp()

    def code(self, noise: Tensor | None = None) -> Tensor:
        """Codes ``(B, Z)``: the means, with noise the means plus noise times the deviations.

        Args:
            noise: ``(B, Z)`` standard normal numbers, or larger ones to exaggerate; None for the
                means themselves, where the released code fails (a distribution of deviation 0).
        """
        return self.mean if noise is None else self.mean + self.deviation * noise


class PictureEncoder(nn.Module):
    """Features of whole pictures.

    Args:
        widths: Channels of the stages; each but the first halves the sides.
        stem: How much of the size the first stage has: ``full`` as published, ``half``, or
            ``quarter`` as a usual ResNet.
        kind: Of the normalisations.

    Raises:
        ConfigError: There is no such stem.
    """

    def __init__(self, widths: Sequence[int], stem: Stem, kind: Normalisation) -> None:
        super().__init__()
        if stem not in STEM_STRIDES:
            raise ConfigError(
                "there is no such stem",
                where="system.generator.stem",
                expected=" or ".join(STEM_STRIDES),
                found=stem,
            )
        stride = 1 if stem == "full" else 2
        self.entry = nn.Conv2d(3, widths[0], 3, stride, 1, bias=False)
        self.normalisation = normalisation(kind, widths[0])
        self.pools = stem == "quarter"
        blocks, inputs = [], widths[0]
        for stage, width in enumerate(widths):
            for number in range(BLOCKS):
                stride = 2 if stage and not number else 1
                blocks.append(ShrinkingBlock(inputs, width, stride, kind))
                inputs = width
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 3, H, W)`` in the space of ImageNet's statistics to ``(B, C)``."""
        x = F.relu(self.normalisation(self.entry(x)))
        if self.pools:
            x = F.max_pool2d(x, 3, 2, 1)
        # The mean of many values: float32 under autocast too.
        return at_least_float(self.blocks(x)).mean((2, 3))
