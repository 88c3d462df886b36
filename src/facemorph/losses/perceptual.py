"""How different pictures look to a frozen network.

Source: Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution (2016),
for differences of features; Zhang et al., The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric (2018), for those of unit length, here without their calibrated weights.

Never measure with the network that you trained with: a generator learns to please it, not people.
Train with one of them, measure with another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

Network = Literal["vgg16", "vgg19", "efficientnet_lite", "descriptor"]
Kind = Literal["absolute", "unit"]
KINDS = ("absolute", "unit")
DESCRIPTOR_LAYERS = ("conv32_3", "conv64_3", "conv128_2", "conv256_2")
TINY = 1e-10


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


class PerceptualDistance(nn.Module):
    """Distance of pictures in a frozen network's features; 0 for equal ones.

    Never measure with the network that you trained with.

    Args:
        network: Gives features by name, see `feature_network`.
        kind: ``absolute``: mean absolute difference; ``unit``: mean over the places of the squared
            difference of features of unit length.
        weights: Factor of each layer; one over their number where None.

    Raises:
        ConfigError: There is no such kind.
    """

    def __init__(
        self,
        network: nn.Module,
        kind: Kind = "absolute",
        weights: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(
                "there is no such distance",
                where="perceptual.kind",
                expected=" or ".join(KINDS),
                found=kind,
            )
        self.network = network.eval().requires_grad_(False)
        self.kind, self.weights = kind, weights

    def train(self, mode: bool = True) -> PerceptualDistance:
        """Stay frozen, whatever module this is part of."""
        return super().train(False)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Distances ``(B,)``.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1]; gradients go here.
            targets: Of the same shape; no gradients go there.

        Raises:
            DataError: The shapes differ.
            ConfigError: A weight is missing.
        """
        check_shape(targets, " ".join(map(str, images.shape)), "targets")
        with torch.no_grad():
            wanted = self.network(targets.detach())
        found = self.network(images)
        weights = self.weights or dict.fromkeys(found, 1 / len(found))
        if set(weights) != set(found):
            raise ConfigError(
                "weights and layers do not fit",
                where="perceptual.weights",
                expected=", ".join(found),
                found=", ".join(weights),
            )
        total = images.new_zeros(len(images), dtype=torch.float32)
        for name, features in found.items():
            total = total + weights[name] * self._difference(features, wanted[name])
        return total

    def _difference(self, features: Tensor, target: Tensor) -> Tensor:
        """Difference ``(B,)`` in one layer."""
        x, y = features.float(), target.float()
        if self.kind == "absolute":
            return (x - y).abs().mean((1, 2, 3))
        return (unit(x) - unit(y)).square().sum(1).mean((1, 2))


def unit(features: Tensor) -> Tensor:
    """Features ``(B, C, H, W)`` over their length at each place."""
    # The root of a sum that may be zero has no gradient there: the sum is kept from zero.
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + TINY)
