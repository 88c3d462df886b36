"""Blending two pictures by a weight for each pixel: linear, darker or lighter, and in bands of
frequency.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class FaceAutoencoder(Protocol):
    """What generative blending needs; a latent may be anything that its own methods understand."""

    def encode(self, image: Tensor) -> Any:
        """The latent of ``image`` (1, 3, H, W) in [0, 1]."""
        ...

    def interpolate(self, first: Any, second: Any, time: float) -> Any:
        """The latent at ``time`` in [0, 1] between two."""
        ...

    def decode(self, latent: Any) -> Tensor:
        """The picture ``(1, 3, H', W')`` of a latent, H' >= H and W' >= W; what is more is
        cut off.
        """
        ...


BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def blend_linear(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """``(1 - weight) first + weight second``.

    Args:
        first: ``(B, 3, H, W)``.
        second: ``(B, 3, H, W)``.
        weight: Share of ``second`` in [0, 1], ``(B, 1, H, W)``.
    """
    return torch.lerp(first, second, weight.expand_as(first))


def blend_darker(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """The darker of both at weight 1/2; linearly from ``first`` to it, and from it to ``second``.

    Args:
        first: ``(B, 3, H, W)``.
        second: ``(B, 3, H, W)``.
        weight: Share of ``second`` in [0, 1], ``(B, 1, H, W)``.
    """
    return _by_way_of(first, torch.minimum(first, second), second, weight)


def blend_lighter(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """The lighter of both at weight 1/2, as ``blend_darker`` otherwise."""
    return _by_way_of(first, torch.maximum(first, second), second, weight)


def _by_way_of(first: Tensor, middle: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    weight = weight.expand_as(first)
    return torch.where(
        weight < 0.5,
        torch.lerp(first, middle, 2 * weight),
        torch.lerp(middle, second, 2 * weight - 1),
    )


def blend_generative(
    first: Tensor, second: Tensor, time: float, autoencoder: FaceAutoencoder
) -> Tensor:
    """``D((1 - t) E(first) + t E(second))`` where ``interpolate`` is linear: ``(1, 3, H, W)`` in
    [0, 1].

    Args:
        first: ``(1, 3, H, W)`` in [0, 1].
        second: The same.
        time: In [0, 1].
        autoencoder: The encoder E and decoder D.

    Source: Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024), generative
    blending.
    """
    latent = autoencoder.interpolate(autoencoder.encode(first), autoencoder.encode(second), time)
    height, width = first.shape[-2:]
    return autoencoder.decode(latent)[..., :height, :width].to(first).clamp(0, 1)


def blend_multiband(first: Tensor, second: Tensor, weight: Tensor, levels: int = 5) -> Tensor:
    """Blend each band of a Laplacian pyramid with the equally smoothed weight.

    Seams between skin tones spread over the coarse bands, while fine detail changes over within a
    few pixels. Source: Burt and Adelson, A multiresolution spline (1983). With a constant weight it
    equals ``blend_linear``.

    Args:
        first: ``(B, 3, H, W)`` in [0, 1].
        second: ``(B, 3, H, W)`` in [0, 1].
        weight: Share of ``second`` in [0, 1], ``(B, 1, H, W)``.
        levels: Number of bands; fewer where the picture is small.

    Returns:
        ``(B, 3, H, W)``, clipped to [0, 1].
    """
    # The pyramid is linear: blending the difference needs one pyramid instead of two.
    band, result = second - first, []
    for _ in range(levels - 1):
        if min(band.shape[-2:]) < 8:
            break
        coarse = pyramid_down(band)
        result.append((band - pyramid_up(coarse, band.shape[-2:])) * weight)
        band, weight = coarse, pyramid_down(weight)
    total = band * weight
    for detail in reversed(result):
        total = pyramid_up(total, detail.shape[-2:]) + detail
    return (first + total).clamp(0, 1)


def pyramid_down(image: Tensor) -> Tensor:
    """Binomial smoothing and every second pixel: ``(B, C, H, W)`` to ``(B, C, ceil(H/2),
    ceil(W/2))``.
    """
    return _smooth(image, stride=2)


def pyramid_up(image: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Twice the size by binomial interpolation: ``(B, C, h, w)`` to ``(B, C, *size)``."""
    # Along each axis even pixels are (1, 6, 1)/8 of their neighbours, odd ones (1, 1)/2.
    return _up(_up(image, -2, int(size[0])), -1, int(size[1]))


def _smooth(image: Tensor, stride: int) -> Tensor:
    batch, channels, height, width = image.shape
    kernel = image.new_tensor(BINOMIAL)
    flat = F.pad(image.reshape(batch * channels, 1, height, width), (2, 2, 2, 2), mode="reflect")
    flat = F.conv2d(flat, kernel.view(1, 1, 5, 1), stride=(stride, 1))
    flat = F.conv2d(flat, kernel.view(1, 1, 1, 5), stride=(1, stride))
    return flat.reshape(batch, channels, *flat.shape[-2:])


def _up(image: Tensor, axis: int, size: int) -> Tensor:
    count = image.shape[axis]
    before = torch.cat(
        [image.narrow(axis, min(1, count - 1), 1), image.narrow(axis, 0, count - 1)], axis
    )
    after = torch.cat([image.narrow(axis, 1, count - 1), image.narrow(axis, count - 1, 1)], axis)
    even = 0.75 * image + 0.125 * (before + after)
    odd = 0.5 * (image + after)
    return (
        torch.stack([even, odd], axis if axis >= 0 else image.dim() + axis + 1)
        .flatten(image.dim() + axis, image.dim() + axis + 1)
        .narrow(axis, 0, size)
    )
