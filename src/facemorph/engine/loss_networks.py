"""The frozen network of a loss, by the name in a config; it is no part of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from facemorph.errors import MissingExtra
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.metrics.feature_networks import Network, feature_network

VGG19 = "vgg19-dcbb9e9d.pth"  # torchvision's file; its sha256 begins with the digits
LEAST = 16  # side of the smallest picture that VGG19's last layer can see


def chosen_distance(
    name: Network | None,
    file: str | None,
    published: Callable[[nn.Module], PerceptualDistance],
) -> PerceptualDistance | None:
    """The distance of features of a training.

    Args:
        name: ``system.perceptual``: ``vgg19``, which the published systems take; another network,
            whose features are compared at unit length; None for none.
        file: ``system.perceptual_file``: its weights.
        published: Makes the paper's distance of VGG19.

    Raises:
        MissingExtra: The weights are not there.
    """
    if name is None:
        return None
    if name != "vgg19":
        return PerceptualDistance(feature_network(name, file), "unit")
    if file is None:
        raise MissingExtra(
            "the weights of VGG19 are not there",
            where="system.perceptual_file",
            expected=f"torchvision's {VGG19}, whose sha256 begins with these digits",
            remedy=f"Download https://download.pytorch.org/models/{VGG19}, check its sha256 "
            f"and set system.perceptual_file=PATH; or take another network: "
            "system.perceptual=efficientnet_lite.",
        )
    return published(feature_network("vgg19", file))
