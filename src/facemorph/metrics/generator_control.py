"""Whether a generator does what its conditions say: separation of people, and answer to light."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facemorph.errors import DataError
from facemorph.ops.shapes import check_shape

SMOOTH = 5  # pixels over which brightness is averaged
TINY = 0.02  # added to a brightness before its logarithm


def separation(same: Tensor, other: Tensor) -> float:
    """Area under the curve of distances within people against those between people: 1 where every
    person is nearer to itself than to anybody else.

    Args:
        same: Distances ``(N,)`` of two pictures of one person.
        other: Distances ``(M,)`` of pictures of two people.

    Raises:
        DataError: One of them is empty.
    """
    if not len(same) or not len(other):
        raise DataError("there is nothing to compare", where="separation")
    ordered, values = np.sort(same.numpy()), other.numpy()
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return float(below.mean() / (2 * len(ordered)))


def light_response(
    first: Tensor, second: Tensor, light_first: Tensor, light_second: Tensor, inside: Tensor
) -> tuple[float, float]:
    """How pictures follow a change of light: correlation, and slope, of the logarithms of ratios.

    Args:
        first: ``(B, 3, S, S)`` pictures in one light.
        second: The same in another.
        light_first: ``(B, 3, S, S)`` shading of the first.
        light_second: Of the second.
        inside: ``(B, 1, S, S)`` bool, pixels that count.

    Returns:
        Medians over the pictures; slope 1 is that of skin that follows the light.

    Raises:
        DataError: Shapes differ, or no picture has pixels that count.
    """
    sizes = check_shape(first, "B 3 S T", "pictures")
    for name, values in (("second", second), ("light", light_first), ("light", light_second)):
        check_shape(values, f"{sizes['B']} 3 {sizes['S']} {sizes['T']}", name)

    def log(pictures: Tensor) -> Tensor:
        grey = pictures.mean(1, keepdim=True) + TINY
        return functional.avg_pool2d(grey, SMOOTH, 1, SMOOTH // 2).log()

    picture, light = log(second) - log(first), log(light_second) - log(light_first)
    found = []
    for row in range(sizes["B"]):
        u, v = picture[row][inside[row]], light[row][inside[row]]
        if len(u) < 2 or float(v.std()) < 1e-4:
            continue
        correlation = torch.corrcoef(torch.stack([u, v]))[0, 1]
        found.append((float(correlation), float((u * v).sum() / (v * v).sum())))
    if not found:
        raise DataError("no picture has pixels to compare", where="light_response")
    correlations, slopes = zip(*found, strict=True)
    return float(np.median(correlations)), float(np.median(slopes))
