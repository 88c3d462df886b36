"""VGG16 and VGG19 without their classes: features of pictures at several depths.

Source: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition
(2015), configurations D and E without batch normalisation. Names of weights are those of
torchvision's files ``vgg16-397923af.pth`` and ``vgg19-dcbb9e9d.pth``, which the user supplies:
``facemorph download vgg16``, or any file of that format.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError, MissingExtra
from facemorph.networks.features.layers import check_layers
from facemorph.networks.inception import load_weights
from facemorph.ops.shapes import check_shape
from facemorph.storage.pretrained import registry, verify

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures
LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")  # of Zhang et al. 2018
LAYERS_19 = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")  # of pix2pixHD


class VGG(nn.Module):
    """Outputs of chosen layers; random weights until `load` gives it better ones.

    Args:
        depth: 16 or 19.
        layers: Names such as ``conv1_2``, ``relu3_3``, ``pool5``; the usual ones where None.

    Raises:
        ConfigError: There is no such depth or layer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, depth: int = 16, layers: Sequence[str] | None = None) -> None:
        super().__init__()
        if depth not in CONVOLUTIONS:
            raise ConfigError(
                "there is no such VGG network", where="vgg.depth", expected="16 or 19", found=depth
            )
        self.depth = depth
        self.names: list[str] = []
        modules: list[nn.Module] = []
        inputs = 3
        for block, (width, count) in enumerate(zip(WIDTHS, CONVOLUTIONS[depth], strict=True), 1):
            for number in range(1, count + 1):
                modules += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                self.names += [f"conv{block}_{number}", f"relu{block}_{number}"]
                inputs = width
            modules.append(nn.MaxPool2d(2))
            self.names.append(f"pool{block}")
        self.features = nn.Sequential(*modules)
        chosen = layers or (LAYERS if depth == 16 else LAYERS_19)
        self.layers = check_layers(chosen, self.names, f"vgg{depth}")
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def load(
        cls, depth: int = 16, path: str | Path | None = None, layers: Sequence[str] | None = None
    ) -> VGG:
        """The network with the weights of a file of torchvision's format, frozen.

        Args:
            depth: 16 or 19.
            path: The file; where None, what ``facemorph download`` has put in its place.
            layers: Names of layers.

        Raises:
            ConfigError: There is no such depth or layer.
            MissingExtra: There is no file.
            CheckpointError: It cannot be read without unpickling, or holds other weights.
        """
        network = cls(depth, layers)
        load_weights(network, _downloaded(depth) if path is None else path, f"VGG{depth}")
        return network.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Outputs ``(B, C, H', W')`` of the chosen layers of pictures ``(B, 3, H, W)`` in
        [0, 1].
        """
        check_shape(images, "B 3 H W", "pictures")
        x, found = (images - self.mean) / self.deviation, {}
        for name, layer in zip(self.names, self.features, strict=True):
            # The library's ReLU layers are not in place: their inputs may have been asked for.
            x = F.relu(x) if name.startswith("relu") else layer(x)
            if name in self.layers:
                found[name] = x
            if name == self.layers[-1]:
                break
        return found


def _downloaded(depth: int) -> Path:
    """The file of the registry, checked."""
    name = f"vgg{depth}"
    entry = registry().get(name)
    if entry is None or not entry.path.is_file():
        known = entry is not None
        raise MissingExtra(
            f"the weights of {name} are not there",
            where=entry.path if entry is not None else None,
            remedy=f"Run `facemorph download {name}`, or give the path of torchvision's file."
            if known
            else f"Give the path of torchvision's file for {name}.",
        )
    verify(entry, entry.path)
    return entry.path
