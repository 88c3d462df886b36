"""ResNet-50, the feature net of DECA and others: 2048 features of a picture.

Source: He et al., Deep Residual Learning for Image Recognition (2016); stride in the 3 x 3
convolution, as in the published weights of torchvision and of DECA, whose names it has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
EXPANSION = 4


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolution with a shortcut.

    Args:
        inputs: Channels that come in.
        width: Channels of the 3 x 3 convolution; four times as many go out.
        stride: Of the 3 x 3 convolution.
    """

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, 4 width, H / stride, W / stride)``."""
        inner = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


class ResNet50(nn.Module):
    """Pictures to features, without the layer of classes."""

    features = STAGES[-1][0] * EXPANSION

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for number, (width, count) in enumerate(STAGES, 1):
            blocks = [
                Bottleneck(
                    inputs if index == 0 else width * EXPANSION,
                    width,
                    2 if index == 0 and number > 1 else 1,
                )
                for index in range(count)
            ]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            inputs = width * EXPANSION

    def forward(self, images: Tensor) -> Tensor:
        """``(B, 3, H, W)`` as the weights want them, to ``(B, 2048)``."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images))), 3, 2, 1)
        for number in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        pooled: Tensor = torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)
        return pooled
