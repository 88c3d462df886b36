"""Filters of pictures."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B: ITU-R BT.601
AT_ONCE = 32  # rows or columns of an enlarged picture that are made together


def luminance(images: Tensor) -> Tensor:
    """Grey ``(..., 1, H, W)`` of pictures ``(..., 3, H, W)``."""
    return (images * images.new_tensor(LUMINANCE)[:, None, None]).sum(-3, keepdim=True)


def smoothstep(values: Tensor) -> Tensor:
    """From 0 at 0 to 1 at 1 and flat at both; values beyond stay there."""
    values = values.clamp(0, 1)
    return values * values * (3 - 2 * values)


def gaussian_blur(values: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of each channel of ``(B, C, H, W)``, ``sigma`` in pixels; the border's values
    go on.

    The kernel ends at three sigma; 0 changes nothing.
    """
    if sigma <= 0:
        return values
    radius = max(1, int(3 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=values.dtype, device=values.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    batch, channels, height, width = values.shape
    flat = F.pad(
        values.reshape(batch * channels, 1, height, width), (radius,) * 4, mode="replicate"
    )
    flat = F.conv2d(F.conv2d(flat, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return flat.reshape(values.shape)


def dilated(values: Tensor, reach: int) -> Tensor:
    """Largest value within ``reach`` pixels along x and y, which makes what is 1 in a mask wider.

    The plain twin is ``max_pool2d`` with windows of ``2 reach + 1``, which takes the longer the
    wider they are; here the largest values of two neighbouring stretches make those of both.

    Args:
        values: ``(..., H, W)``, of floating point.
        reach: In pixels, 0 or more.
    """
    wanted = 2 * reach + 1
    values = F.pad(values, (reach,) * 4, value=-torch.inf)
    for axis in (-1, -2):
        known = 1
        while known < wanted:
            step = min(known, wanted - known)
            left = values.shape[axis] - step
            values = torch.maximum(values.narrow(axis, 0, left), values.narrow(axis, step, left))
            known += step
    return values


def enlarged(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures ``(B, C, H, W)`` in another, larger size, bicubic: what torch's interpolation gives
    (pixel centres, not corners, are kept), as products of small matrices, which is faster.

    Args:
        values: The pictures.
        size: Height and width of the result.
    """
    wide = torch.cat(
        [
            values[..., first:end] @ weights.to(values).mT
            for first, end, weights in _bicubic(values.shape[3], size[1])
        ],
        -1,
    )
    return torch.cat(
        [
            weights.to(values) @ wide[..., first:end, :]
            for first, end, weights in _bicubic(values.shape[2], size[0])
        ],
        -2,
    )


@lru_cache(maxsize=8)
def _bicubic(old: int, new: int) -> list[tuple[int, int, Tensor]]:
    """Torch's own weights of ``old`` values for ``new`` ones, so many of these at once: the first
    and the end of the values that they are made of, and the weights ``(rows, end - first)``.
    """
    with torch.inference_mode(False), torch.no_grad():
        weights = F.interpolate(
            torch.eye(old)[None, None], (new, old), mode="bicubic", align_corners=False
        )[0, 0]
        blocks = []
        for block in weights.split(AT_ONCE):
            used = block.any(0).nonzero()[:, 0]
            first, end = int(used[0]), int(used[-1]) + 1
            blocks.append((first, end, block[:, first:end].clone()))
        return blocks
