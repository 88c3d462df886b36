"""Inception v3 as the Frechet inception distance uses it: 2048 features of a picture.

Source: Szegedy et al., Rethinking the Inception Architecture (2016), in the variant of Heusel et
al., GANs Trained by a Two Time-Scale Update Rule (2017): average pooling that leaves the padding
out, maximum pooling in the last block, 1008 classes. Names follow the published weights
(``pt_inception-2015-12-05-6726825d.pth`` of pytorch-fid), which only a user can supply.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import CheckpointError
from facemorph.storage.files import sha256_of

PUBLISHED = "6726825d"  # first digits of the sha256, part of the published file's name
SIDE = 299


class _Convolution(nn.Module):
    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int] = 1,
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _row(inputs: int, outputs: int, length: int = 7) -> _Convolution:
    return _Convolution(inputs, outputs, (1, length), padding=(0, length // 2))


def _column(inputs: int, outputs: int, length: int = 7) -> _Convolution:
    return _Convolution(inputs, outputs, (length, 1), padding=(length // 2, 0))


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class _BlockA(nn.Module):
    def __init__(self, inputs: int, pool: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(inputs, 64)
        self.branch5x5_1, self.branch5x5_2 = (
            _Convolution(inputs, 48),
            _Convolution(48, 64, 5, padding=2),
        )
        self.branch3x3dbl_1, self.branch3x3dbl_2 = (
            _Convolution(inputs, 64),
            _Convolution(64, 96, 3, padding=1),
        )
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, padding=1)
        self.branch_pool = _Convolution(inputs, pool)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch5x5_2(self.branch5x5_1(x)),
                double,
                self.branch_pool(_average(x)),
            ],
            1,
        )


class _BlockB(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3 = _Convolution(inputs, 384, 3, stride=2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = (
            _Convolution(inputs, 64),
            _Convolution(64, 96, 3, padding=1),
        )
        self.branch3x3dbl_3 = _Convolution(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, 2)], 1)


class _BlockC(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.branch1x1 = _Convolution(inputs, 192)
        self.branch7x7_1, self.branch7x7_2 = _Convolution(inputs, width), _row(width, width)
        self.branch7x7_3 = _column(width, 192)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = (
            _Convolution(inputs, width),
            _column(width, width),
        )
        self.branch7x7dbl_3, self.branch7x7dbl_4 = _row(width, width), _column(width, width)
        self.branch7x7dbl_5 = _row(width, 192)
        self.branch_pool = _Convolution(inputs, 192)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_average(x))], 1)


class _BlockD(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = (
            _Convolution(inputs, 192),
            _Convolution(192, 320, 3, stride=2),
        )
        self.branch7x7x3_1 = _Convolution(inputs, 192)
        self.branch7x7x3_2 = _Convolution(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = _Convolution(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = _Convolution(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), long, F.max_pool2d(x, 3, 2)], 1)


class _BlockE(nn.Module):
    def __init__(self, inputs: int, *, maximum: bool) -> None:
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = _Convolution(inputs, 320)
        self.branch3x3_1 = _Convolution(inputs, 384)
        self.branch3x3_2a, self.branch3x3_2b = _row(384, 384, 3), _column(384, 384, 3)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = (
            _Convolution(inputs, 448),
            _Convolution(448, 384, 3, padding=1),
        )
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = _row(384, 384, 3), _column(384, 384, 3)
        self.branch_pool = _Convolution(inputs, 192)

    def forward(self, x: Tensor) -> Tensor:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, 1, 1) if self.maximum else _average(x)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(single),
                self.branch3x3_2b(single),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(pooled),
            ],
            1,
        )


class FIDInception(nn.Module):
    """2048 features of pictures of any size.

    ``num_features`` is what ``torchmetrics.image.FrechetInceptionDistance(feature=...)`` asks for.
    """

    num_features = 2048

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Convolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Convolution(32, 32, 3)
        self.Conv2d_2b_3x3 = _Convolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Convolution(64, 80)
        self.Conv2d_4a_3x3 = _Convolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = (
            _BlockA(192, 32),
            _BlockA(256, 64),
            _BlockA(288, 64),
        )
        self.Mixed_6a = _BlockB(288)
        self.Mixed_6b, self.Mixed_6c = _BlockC(768, 128), _BlockC(768, 160)
        self.Mixed_6d, self.Mixed_6e = _BlockC(768, 160), _BlockC(768, 192)
        self.Mixed_7a = _BlockD(768)
        self.Mixed_7b, self.Mixed_7c = _BlockE(1280, maximum=False), _BlockE(2048, maximum=True)
        self.fc = nn.Linear(2048, 1008)  # of the published weights; the features come before it

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, 2048)`` of ``images`` (B, 3, H, W) in [0, 1], or of bytes."""
        x = images.float() / 255 if images.dtype == torch.uint8 else images
        x = 2 * F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False) - 1
        for layer in (self.Conv2d_1a_3x3, self.Conv2d_2a_3x3, self.Conv2d_2b_3x3):
            x = layer(x)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, 2)))
        x = F.max_pool2d(x, 3, 2)
        for name, block in self.named_children():
            if name.startswith("Mixed"):
                x = block(x)
        return x.mean((2, 3))


def load_fid_inception(path: str | Path) -> tuple[FIDInception, bool]:
    """The network with the weights of a file, frozen; and whether these are the published ones.

    Raises:
        CheckpointError: The file cannot be read without unpickling, or holds other weights.
    """
    network = FIDInception()
    load_weights(network, path, "the Inception network of FID")
    return network.eval().requires_grad_(False), sha256_of(path).startswith(PUBLISHED)


def load_weights(network: nn.Module, path: str | Path, what: str) -> None:
    """Fill a network from a ``.pth`` of somebody else's, without unpickling.

    Raises:
        CheckpointError: The file cannot be read so, or holds other weights.
    """
    try:
        found = torch.load(Path(path), map_location="cpu", weights_only=True)
        network.load_state_dict(found, strict=False)
        lacking = [
            name for name in network.state_dict() if name not in found and "num_batches" not in name
        ]
    except Exception as error:  # a damaged file makes torch raise whatever it meets
        raise CheckpointError(
            f"this file does not hold {what}",
            where=path,
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
        ) from error
    if lacking:
        raise CheckpointError(
            f"this file does not hold {what}",
            where=path,
            found=f"{len(lacking)} tensors are missing, such as {lacking[0]}",
        )
