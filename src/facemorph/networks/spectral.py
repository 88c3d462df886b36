"""Convolutions with spectral normalisation.

Departure from torch's and the papers' code: the vectors start after 15 power iterations, not at
random.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.networks.stylegan2.blocks import full_precision

TINY = 1e-12  # least length to divide by
FIRST_ITERATIONS = 15  # of the vectors, at the start


class SpectralConvolution(nn.Conv2d):
    """A convolution whose weights are divided by their largest singular value.

    Source: Miyato et al., Spectral Normalization for Generative Adversarial Networks (2018): two
    vectors follow the weights by one power iteration in each pass of the training; in evaluation
    they stay. It is not torch's parametrisation, as copies of such a network share a class: taking
    the normalisation out of one breaks the other.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        kernel: Side of the kernel.
        padding: Zeros around the picture; half of the kernel where None.
        stride: Of the convolution.
        bias: Whether it has one.
    """

    left: Tensor
    right: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        padding: int | None = None,
        stride: int = 1,
        bias: bool = True,
    ) -> None:
        padding = kernel // 2 if padding is None else padding
        super().__init__(inputs, outputs, kernel, stride, padding, bias=bias)
        for name, size in (("left", outputs), ("right", inputs * kernel**2)):
            self.register_buffer(name, F.normalize(torch.randn(size), dim=0, eps=TINY))
        # Without them an untrained network would divide by anything. They are slow on `meta`.
        if self.weight.device.type != "meta":
            for _ in range(FIRST_ITERATIONS):
                self._iterate()

    @torch.no_grad()
    def _iterate(self) -> None:
        matrix = self.weight.flatten(1)
        self.right.copy_(F.normalize(matrix.t() @ self.left, dim=0, eps=TINY))
        self.left.copy_(F.normalize(matrix @ self.right, dim=0, eps=TINY))

    def norm(self) -> Tensor:
        """The largest singular value, as far as the vectors know it; in float32 at least."""
        with full_precision(self.weight):
            if self.training:
                self._iterate()
            # Copies: a second pass before the backward one changes the vectors in place.
            left, right = self.left.clone(), self.right.clone()
            return torch.dot(left, self.weight.flatten(1) @ right)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        return self._conv_forward(x, self.weight / self.norm(), self.bias)

    @torch.no_grad()
    def plain(self) -> nn.Conv2d:
        """The same convolution with its norm divided out, as it is in evaluation."""
        layer = nn.Conv2d(
            self.in_channels,
            self.out_channels,
            self.kernel_size[0],
            self.stride[0],
            int(self.padding[0]),
            bias=self.bias is not None,
            device=self.weight.device,
            dtype=self.weight.dtype,
        )
        layer.weight.copy_(self.weight / self.norm())
        if layer.bias is not None and self.bias is not None:
            layer.bias.copy_(self.bias)
        return layer.eval()
