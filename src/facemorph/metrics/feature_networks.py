"""The frozen networks that can be chosen by name, to measure with or for a perceptual loss.

Not among the losses: those are functions of tensors only, which any config may name, and this reads
files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.faces.embedded_networks import FaceDescriptorNet, face_descriptor
from facemorph.networks.features.efficientnet_lite import DEFAULT, EfficientNetLite0
from facemorph.networks.features.layers import check_layers
from facemorph.networks.features.vgg import VGG
from facemorph.ops.shapes import check_shape

Pooled = Literal["efficientnet_lite", "descriptor"]
Network = Literal["vgg16", "vgg19", "efficientnet_lite", "descriptor"]
BLOCK = 32  # pictures at a time
MEASURED = 128  # side at which EfficientNet-Lite0 looks at pictures that are measured
DESCRIPTOR_LAYERS = ("conv32_3", "conv64_3", "conv128_2", "conv256_2")


class DescriptorFeatures(nn.Module):
    """Features of the embedded identity network: the only one that needs no file of the user's.

    Args:
        layers: Names of its units, such as ``conv64_3``.

    Raises:
        ConfigError: There is no such unit.
    """

    def __init__(self, layers: Sequence[str] = DESCRIPTOR_LAYERS) -> None:
        super().__init__()
        self.network = face_descriptor()
        names = [step[0] for step in FaceDescriptorNet.plan]
        self.layers = check_layers(layers, names, "descriptor")

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Outputs of the chosen units.

        Args:
            images: Faces ``(B, 3, H, W)`` in [0, 1], framed as in `faces.identity`; they are
                brought to the 150 pixels that the network has learned.
        """
        check_shape(images, "B 3 H W", "pictures")
        side = FaceDescriptorNet.input_size
        if images.shape[2:] != (side, side):
            images = F.interpolate(
                images, (side, side), mode="bilinear", align_corners=False, antialias=True
            )
        network, found = self.network, {}
        x = F.max_pool2d(F.relu(network.stem(images - network.mean_rgb)), 3, 2)
        for name, unit in network.units.items():
            x = unit(x)
            if name in self.layers:
                found[name] = x
            if name == self.layers[-1]:
                break
        return found


def pooled_features(name: Pooled) -> Callable[[Tensor], Tensor]:
    """What gives one vector for each picture, to compare sets of pictures by.

    Args:
        name: ``efficientnet_lite`` (1,280 numbers, extra ``[features]``), or the embedded
            ``descriptor`` of faces (128 numbers).

    Returns:
        A function of pictures ``(N, 3, S, S)`` in [0, 1] of any size, in parts of `BLOCK`.

    Raises:
        ConfigError: There is no such network.
        MissingExtra: Its weights are not there.
    """
    if name == "descriptor":
        side = FaceDescriptorNet.input_size
        run: Callable[[Tensor], Tensor] = face_descriptor()
    elif name == "efficientnet_lite":
        side, run = MEASURED, EfficientNetLite0.load().pooled
    else:
        raise ConfigError(
            "no such network",
            where="features",
            expected="efficientnet_lite or descriptor",
            found=name,
        )

    @torch.no_grad()
    def describe(pictures: Tensor) -> Tensor:
        parts = []
        for some in pictures.split(BLOCK):
            resized = F.interpolate(
                some, (side, side), mode="bilinear", antialias=True, align_corners=False
            )
            parts.append(run(resized))
        return torch.cat(parts)

    return describe


def feature_network(
    name: Network, path: str | Path | None = None, layers: Sequence[str] | None = None
) -> nn.Module:
    """A frozen network that gives features of pictures ``(B, 3, H, W)`` in [0, 1] by their names.

    Args:
        name: Which one.
        path: File of its weights; where None, the downloaded, installed or embedded one.
        layers: Names of layers; each network's usual ones where None.

    Raises:
        ConfigError: There is no such network or layer.
        MissingExtra: Its weights are not there.
        CheckpointError: The file cannot be read without unpickling, or holds other weights.
    """
    if name in ("vgg16", "vgg19"):
        return VGG.load(int(name[3:]), path, layers)
    if name == "efficientnet_lite":
        return EfficientNetLite0.load(path, layers or DEFAULT)
    if name != "descriptor":
        raise ConfigError(
            "there is no such network",
            where="perceptual.network",
            expected="vgg16, vgg19, efficientnet_lite or descriptor",
            found=name,
        )
    if path is not None:
        raise ConfigError(
            "the weights of this network are embedded", where="perceptual.path", found=path
        )
    return DescriptorFeatures(layers or DESCRIPTOR_LAYERS)
