"""LPIPS: how different two pictures look, by weighted differences of AlexNet's features.

Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric (CVPR
2018), version 0.1 with AlexNet. Both files are published and must be supplied by the user:
torchvision's ``alexnet-owt-7be5be79.pth`` and the ``alex.pth`` of the package lpips.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.networks.inception import load_weights

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
CHANNELS = (64, 192, 384, 256, 256)


class _Linear(nn.Module):
    """One non-negative weight for each channel, under the published name ``model.1``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False))


class LPIPS(nn.Module):
    """Distance of pictures; 0 for equal ones."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
        )
        self.lin0, self.lin1, self.lin2, self.lin3, self.lin4 = (
            _Linear(count) for count in CHANNELS
        )

    @classmethod
    def load(cls, alexnet: str | Path, linear: str | Path) -> LPIPS:
        """The network with the weights of both published files, frozen.

        Raises:
            CheckpointError: A file cannot be read without unpickling, or holds other weights.
        """
        made = cls()
        features, weights = nn.Module(), nn.Module()
        features.features = made.features
        for index in range(len(CHANNELS)):
            setattr(weights, f"lin{index}", getattr(made, f"lin{index}"))
        load_weights(features, alexnet, "AlexNet")
        load_weights(weights, linear, "the linear weights of LPIPS")
        return made.eval().requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances ``(B,)`` of ``first`` and ``second`` (B, 3, H, W) in [0, 1], H and W at least
        63.
        """
        shift, scale = (first.new_tensor(values).view(1, 3, 1, 1) for values in (SHIFT, SCALE))
        x, y = (((2 * image - 1) - shift) / scale for image in (first, second))
        total, place = first.new_zeros(len(first)), 0
        for layer in self.features:
            x, y = layer(x), layer(y)
            if isinstance(layer, nn.ReLU):
                difference = (_unit(x) - _unit(y)).square()
                weight = getattr(self, f"lin{place}").model[1].weight
                total = total + F.conv2d(difference, weight).mean((1, 2, 3))
                place += 1
        return total


def _unit(features: Tensor) -> Tensor:
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + 1e-10)
