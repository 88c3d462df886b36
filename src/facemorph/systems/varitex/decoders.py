"""VariTex's decoders: codes to neural textures, and to what the face model lacks.

Source: Buehler et al., VariTex (ICCV 2021), with the settings of the released code. Both start at
4 x 4 and end in a 3 x 3 convolution without bias or activation.

Departure: the number of stages follows from the widths, and each doubles the sides until the wanted
size is reached; the released code has sizes of 128 and 256 alone, of which this gives both.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.systems.varitex.blocks import GrowingBlock, Normalisation

FIRST_SIDE = 4


def growing_blocks(
    widths: Sequence[int], size: int, kind: Normalisation, condition: int, where: str
) -> nn.ModuleList:
    """Two blocks for each stage from 4 x 4 to ``size``.

    Args:
        widths: Channels at the start, then of each stage.
        size: Side at the end.
        kind: Of the normalisations.
        condition: Channels of a picture that each block sees.
        where: Key of the config that has the widths, for the error.

    Raises:
        ConfigError: So many stages cannot reach the size.
    """
    stages = len(widths) - 1
    doublings = max(size // FIRST_SIDE, 1).bit_length() - 1
    if size != FIRST_SIDE * 2**doublings or not 1 <= doublings <= stages:
        raise ConfigError(
            "these stages do not reach the size",
            where=where,
            expected=f"a size of {FIRST_SIDE * 2} to {FIRST_SIDE * 2**stages}, a power of two",
            found=f"{size} with {stages} stages",
        )
    blocks = nn.ModuleList()
    for stage, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        blocks.append(GrowingBlock(inputs, outputs, stage < doublings, kind, condition))
        blocks.append(GrowingBlock(outputs, outputs, False, kind, condition))
    return blocks


class TextureDecoder(nn.Module):
    """Neural textures of codes.

    Args:
        code_size: Numbers of a code.
        widths: Channels at 4 x 4, then of each stage.
        size: Side of the textures.
        channels: Of the textures.
        kind: Of the normalisations.

    Raises:
        ConfigError: So many stages cannot reach the size.
    """

    def __init__(
        self, code_size: int, widths: Sequence[int], size: int, channels: int, kind: Normalisation
    ) -> None:
        super().__init__()
        self.entry = nn.Linear(code_size, widths[0] * FIRST_SIDE**2)
        self.blocks = growing_blocks(widths, size, kind, 0, "system.generator.texture_widths")
        self.exit = nn.Conv2d(widths[-1], channels, 3, padding=1, bias=False)

    def forward(self, code: Tensor) -> Tensor:
        """``(B, code_size)`` to ``(B, channels, size, size)``, unbounded."""
        x = self.entry(code).unflatten(1, (-1, FIRST_SIDE, FIRST_SIDE))
        for block in self.blocks:
            x = block(x)
        texture: Tensor = self.exit(x)
        return texture


class AdditiveDecoder(nn.Module):
    """Features of hair, mouth and surroundings, around the features of a face.

    Args:
        code_size: Numbers of a code.
        widths: Channels at 4 x 4, then of each stage.
        size: Side of the pictures.
        channels: Of the features, those of the face and those that are made.
        kind: Of the normalisations.

    Raises:
        ConfigError: So many stages cannot reach the size.
    """

    def __init__(
        self, code_size: int, widths: Sequence[int], size: int, channels: int, kind: Normalisation
    ) -> None:
        super().__init__()
        self.entry = nn.Linear(code_size, widths[0])
        where = "system.generator.additive_widths"
        self.blocks = growing_blocks(widths, size, kind, channels, where)
        self.exit = nn.Conv2d(widths[-1], channels, 3, padding=1, bias=False)

    def forward(self, code: Tensor, face: Tensor) -> Tensor:
        """Features ``(B, channels, size, size)``, unbounded.

        Args:
            code: ``(B, code_size)``.
            face: ``(B, channels, size, size)`` sampled from the texture; no gradients go there.
        """
        x = self.entry(code)[:, :, None, None].expand(-1, -1, FIRST_SIDE, FIRST_SIDE)
        sizes: dict[torch.Size, Tensor] = {face.shape[2:]: face.detach()}
        for block in self.blocks:
            side = x.shape[2:]
            if side not in sizes:
                sizes[side] = F.interpolate(
                    face.detach(), side, mode="bilinear", align_corners=False
                )
            x = block(x, sizes[side])
        features: Tensor = self.exit(x)
        return features
