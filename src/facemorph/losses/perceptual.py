"""How different pictures look to a frozen network.

Source: Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution (2016),
for differences of features; Zhang et al., The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric (2018), for those of unit length, here without their calibrated weights.

Never measure with the network that you trained with: a generator learns to please it, not people.
Train with one of them, measure with another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.ops.shapes import check_shape

Kind = Literal["absolute", "unit"]
KINDS = ("absolute", "unit")
TINY = 1e-10


class PerceptualDistance(nn.Module):
    """Distance of pictures in a frozen network's features; 0 for equal ones.

    Never measure with the network that you trained with.

    Args:
        network: Gives features of pictures by the layers' names, such as those of
            ``facemorph.metrics.feature_networks``.
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
