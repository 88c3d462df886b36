"""GDPW's layers: convolutions with spectral and batch normalisation, and SPADE's residual block.

Source: Zhong et al. (BMVC 2022) with the settings of the released code: spectral normalisation of
every convolution but those that predict flows, the picture and the scores (Miyato et al. 2018),
batch normalisation behind it, leaky ReLU of slope 0.1, biases everywhere; SPADE is Park et al.,
Semantic Image Synthesis with Spatially-Adaptive Normalization (2019).

`fold_normalisations` takes both normalisations out of a trained network; the released code computes
them again for each picture.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.networks.spectral import SpectralConvolution

SLOPE = 0.1  # of the leaky ReLUs
Resize = Literal["same", "down", "up"]
Network = TypeVar("Network", bound=nn.Module)


class ConvolutionBlock(nn.Module):
    """Convolution, batch normalisation and leaky ReLU, with a change of size.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        resize: ``down`` takes means of 2 x 2 at the end, ``up`` repeats pixels at the start.
        kernel: Side of the kernel.
        padding: Zeros around the picture; half of the kernel where None.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        resize: Resize = "same",
        kernel: int = 3,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.convolution: nn.Conv2d = SpectralConvolution(inputs, outputs, kernel, padding)
        self.normalisation: nn.Module = nn.BatchNorm2d(outputs)
        self.resize = resize

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        if self.resize == "up":
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = F.leaky_relu(self.normalisation(self.convolution(x)), SLOPE)
        return F.avg_pool2d(x, 2) if self.resize == "down" else x


class Spade(nn.Module):
    """Batch normalisation whose scale and shift are made from a picture: n(x) (1 + gamma) + beta.

    Args:
        channels: Of the features.
        modulation: Channels of the picture.
        hidden: Channels of the convolution that gamma and beta share.
    """

    def __init__(self, channels: int, modulation: int, hidden: int) -> None:
        super().__init__()
        self.normalisation = nn.BatchNorm2d(channels, affine=False)
        self.shared = SpectralConvolution(modulation, hidden)
        self.gamma = SpectralConvolution(hidden, channels)
        self.beta = SpectralConvolution(hidden, channels)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """``(B, channels, H, W)`` with a picture ``(B, modulation, H, W)``."""
        hidden = F.leaky_relu(self.shared(modulation), SLOPE)
        normalised: Tensor = self.normalisation(x)
        return normalised * (1 + self.gamma(hidden)) + self.beta(hidden)


class SpadeResidualBlock(nn.Module):
    """Twice SPADE, leaky ReLU and convolution, and a shortcut by a 1 x 1 convolution.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out, and of SPADE's hidden layers.
        modulation: Channels of the picture.
    """

    def __init__(self, inputs: int, outputs: int, modulation: int) -> None:
        super().__init__()
        self.shortcut = SpectralConvolution(inputs, outputs, 1)
        self.first_spade = Spade(inputs, modulation, outputs)
        self.first = SpectralConvolution(inputs, outputs)
        self.second_spade = Spade(outputs, modulation, outputs)
        self.second = SpectralConvolution(outputs, outputs)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        y = self.first(F.leaky_relu(self.first_spade(x, modulation), SLOPE))
        y = self.second(F.leaky_relu(self.second_spade(y, modulation), SLOPE))
        total: Tensor = y + self.shortcut(x)
        return total


@torch.no_grad()
def fold_normalisations(network: Network) -> Network:
    """Multiply the normalisations of a trained network into its weights, in place, to use it.

    Spectral norms are divided out once, and batch normalisation behind a convolution becomes part
    of it (SPADE's stays, as it comes first). Outputs are the same up to rounding. The network
    cannot be trained further, and its state has other names.

    Args:
        network: One that is made of this module's layers, in evaluation mode.

    Returns:
        The same network.

    Raises:
        ConfigError: It is in training mode.
    """
    if network.training:
        raise ConfigError(
            "normalisations of a network in training change with each batch",
            where="fold_normalisations",
            remedy="Call eval() first.",
        )
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, SpectralConvolution):
                setattr(module, name, child.plain())
    for block in list(network.modules()):
        if not isinstance(block, ConvolutionBlock):
            continue
        if isinstance(block.normalisation, nn.BatchNorm2d):
            block.convolution = nn.utils.fuse_conv_bn_eval(block.convolution, block.normalisation)
            block.normalisation = nn.Identity()
    return network
