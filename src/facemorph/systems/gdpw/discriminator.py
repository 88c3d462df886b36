"""GDPW's discriminator: scores of overlapping patches of a picture, without conditions."""

from __future__ import annotations

from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.networks.discriminators import PatchOutput
from facemorph.networks.stylegan2.blocks import at_least_float
from facemorph.ops.shapes import check_shape
from facemorph.systems.gdpw.blocks import ConvolutionBlock

MOST = 512  # channels of a layer


class GDPWDiscriminator(nn.Module):
    """Scores of patches, with features of each layer for feature matching.

    Source: Zhong et al. (BMVC 2022), the released configuration: four convolutions of 4 x 4 with
    spectral and batch normalisation, each halved, then one of 4 x 4. The defaults have 695,201
    weights. Other than ``facemorph.networks.discriminators.PatchDiscriminator`` it has statistics
    of its batches: give it real and generated pictures one after the other, never in one batch.

    Args:
        channels_in: Of the pictures.
        width: Channels of the first layer; they double up to 512.
        layers: Number of layers that halve the picture.

    Raises:
        ConfigError: A number is not positive.
    """

    def __init__(self, channels_in: int = 3, width: int = 32, layers: int = 4) -> None:
        super().__init__()
        for name, value in (("channels_in", channels_in), ("width", width), ("layers", layers)):
            if value < 1:
                raise ConfigError(
                    "this must be positive",
                    where=f"system.discriminator.{name}",
                    expected=">= 1",
                    found=value,
                )
        self.channels_in = channels_in
        self.layers, inputs = nn.ModuleList(), channels_in
        for number in range(layers):
            outputs = min(width * 2**number, MOST)
            self.layers.append(ConvolutionBlock(inputs, outputs, "down", kernel=4, padding=2))
            inputs = outputs
        self.score = nn.Conv2d(inputs, 1, 4, padding=2)

    def forward(self, images: Tensor) -> PatchOutput:
        """Scores ``(B, 1, H', W')`` in float32 at least, and features, the largest first.

        Args:
            images: ``(B, channels_in, H, W)`` in [0, 1].

        Raises:
            DataError: The number of channels is wrong.
        """
        check_shape(images, f"B {self.channels_in} H W", "pictures")
        features, x = [], images
        for layer in self.layers:
            x = layer(x)
            features.append(x)
        return PatchOutput(at_least_float(self.score(x)), features)
