"""StyleGAN2's smoothing filter [1, 3, 3, 1], as depthwise convolutions.

Source: Karras et al., Analyzing and Improving the Image Quality of StyleGAN (2020). The published
code folds channels into the batch, ``(B C, 1, H, W)``, and inserts zeros; the depthwise forms here
give the same numbers (``tests/unit/networks/test_stylegan2.py``) and are 24 to 69 times as fast on
a CPU. Borders are zeros. The filter's values are exact in bfloat16.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TAPS = (1.0, 3.0, 3.0, 1.0)
SIDE = len(TAPS)


class Smoothing(nn.Module):
    """The 4 x 4 filter with sum 1, in the three places where StyleGAN2 has it."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor(TAPS) / sum(TAPS)
        # Not persistent: a constant is no weight, and published files name it many times.
        self.register_buffer("kernel", torch.outer(line, line)[None, None], persistent=False)

    def _for(self, x: Tensor) -> Tensor:
        return self.kernel.to(x.dtype).expand(x.shape[1], -1, -1, -1)

    def blur(self, x: Tensor, padding: int, gain: float = 1.0) -> Tensor:
        """``(B, C, H, W)`` to ``(B, C, H + 2 padding - 3, W + 2 padding - 3)``."""
        kernel = self._for(x)
        kernel = kernel if gain == 1 else kernel * gain
        return F.conv2d(x, kernel, padding=padding, groups=x.shape[1])

    def down(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to half of the size, H and W even."""
        return F.conv2d(x, self._for(x), stride=2, padding=1, groups=x.shape[1])

    def up(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to twice the size."""
        kernel = self._for(x) * 4  # three of four values are inserted zeros
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
