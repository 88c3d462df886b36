"""VariTex's discriminator: scores of overlapping patches at two scales, without conditions.

One with conditions is ``facemorph.networks.discriminators.PatchDiscriminator``, whose output is the
same.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.networks.discriminators import PatchOutput, judged_at_scales
from facemorph.networks.spectral import SpectralConvolution
from facemorph.ops.shapes import check_shape

WHERE = "system.discriminator"
SLOPE, MOST = 0.2, 512  # of the leaky ReLUs; channels of a layer
KERNEL, PADDING = 4, 2
PatchNormalisation = Literal["instance", "batch", "none"]


class VariTexDiscriminator(nn.Module):
    """Scores of patches, with features of each layer for feature matching.

    Source: Buehler et al., VariTex (ICCV 2021), the released configuration of the discriminator of
    Park et al., SPADE (2019): convolutions of 4 x 4 with spectral normalisation, then one of each
    sample's own statistics. The defaults have 5,527,682 weights. Departure: the vectors of spectral
    normalisation follow by one iteration in each call, and ``facemorph.systems.varitex.losses``
    gives real and generated pictures in two calls, the released code in one.

    Args:
        channels_in: Of the pictures.
        width: Channels of the first layer; they double up to 512.
        layers: Number of layers before the scores; all but the last of several halve the picture.
        scales: Number of scales, each of half the size of the one before.
        normalisation: Behind the spectral one: ``instance`` as published, ``batch`` or ``none``.

    Raises:
        ConfigError: A number is too small, or there is no such normalisation.
    """

    def __init__(
        self,
        channels_in: int = 3,
        width: int = 64,
        layers: int = 4,
        scales: int = 2,
        normalisation: PatchNormalisation = "instance",
    ) -> None:
        super().__init__()
        given = {"channels_in": channels_in, "width": width, "layers": layers, "scales": scales}
        for name, value in given.items():
            if value < 1:
                raise ConfigError(
                    "this must be positive",
                    where=f"{WHERE}.{name}",
                    expected=">= 1",
                    found=value,
                )
        self.channels_in, self.least_side = channels_in, 2**scales
        self.scales = nn.ModuleList(
            _patch_layers(channels_in, width, layers, normalisation) for _ in range(scales)
        )

    def forward(self, colours: Tensor) -> list[PatchOutput]:
        """Scores and features of each scale, the finest first.

        Args:
            colours: ``(B, channels_in, H, W)`` by ImageNet's statistics.

        Raises:
            DataError: The number of channels is wrong.
            ConfigError: The pictures are too small for so many scales.
        """
        check_shape(colours, f"B {self.channels_in} H W", "pictures")
        return judged_at_scales(self.scales, colours, self.least_side)


def _patch_layers(
    channels_in: int, width: int, layers: int, kind: PatchNormalisation
) -> nn.ModuleList:
    """One scale: a plain layer, layers with normalisations, the scores."""
    made, inputs = nn.ModuleList(), channels_in
    for number in range(layers):
        outputs = min(width * 2**number, MOST)
        stride = 1 if 0 < number == layers - 1 else 2
        if number == 0:
            convolution: list[nn.Module] = [nn.Conv2d(inputs, outputs, KERNEL, stride, PADDING)]
        else:
            convolution = [
                SpectralConvolution(inputs, outputs, KERNEL, PADDING, stride, bias=False),
                _patch_normalisation(kind, outputs),
            ]
        made.append(nn.Sequential(*convolution, nn.LeakyReLU(SLOPE)))
        inputs = outputs
    made.append(nn.Conv2d(inputs, 1, KERNEL, padding=PADDING))
    return made


def _patch_normalisation(kind: PatchNormalisation, channels: int) -> nn.Module:
    if kind == "instance":
        return nn.InstanceNorm2d(channels)
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "none":
        return nn.Identity()
    raise ConfigError(
        "there is no such normalisation",
        where=f"{WHERE}.normalisation",
        expected="instance, batch or none",
        found=kind,
    )
