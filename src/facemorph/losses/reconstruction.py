"""How a generated picture differs from the photograph that it should be."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

COARSE, COARSE_WEIGHT = 4, 0.5  # side of the squares whose mean colours are compared, too


def reconstruction(fake: Tensor, real: Tensor, mask: Tensor, outside: float) -> Tensor:
    """Mean difference of colours, of their means over 4x4 pixels, and of their gradients.

    Every picture counts alike, however much of it the head covers.

    Args:
        fake: ``(B, 3, S, S)``.
        real: The same.
        mask: ``(B, 1, S, S)`` share of each pixel that the head covers.
        outside: Weight of a pixel off the head, against one on it.
    """
    weight = outside + (1 - outside) * mask
    weight = weight / weight.mean((1, 2, 3), keepdim=True)
    error = (fake - real) * weight
    fine = error.abs().mean()
    coarse = functional.avg_pool2d(error, COARSE).abs().mean()
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[:, :, 1:] - error[:, :, :-1]).abs().mean()
    return fine + COARSE_WEIGHT * coarse + across + down
