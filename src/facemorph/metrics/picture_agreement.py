"""How well two aligned pictures of different faces agree inside a region: structure and gradients.

Neither proves that an alignment is right: both rise when edges of shading are matched that are no
anatomy. Held-out landmarks (``facemorph.metrics.warp_quality``) are the proof.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from facemorph.errors import GeometryError
from facemorph.ops.filters import luminance


def picture_agreement(first: Tensor, second: Tensor, region: Tensor) -> dict[str, float]:
    """Agreement of two pictures in a region.

    Args:
        first: ``(3, H, W)`` in [0, 1].
        second: ``(3, H, W)``.
        region: Weights ``(1, H, W)`` in [0, 1], not all 0.

    Returns:
        ``ssim``: mean structural similarity of the luminance (Wang et al., 2004);
        ``gradient_correlation``: sum of g1 . g2 over the root of the sums of |g1|^2 and |g2|^2, g
        the central differences of the luminance.

    Raises:
        GeometryError: The region is empty.
    """
    weight = region[0].double()
    if not bool((weight > 0).any()):
        raise GeometryError("nothing to compare: the region is empty", where="region")
    grey = [luminance(picture.double())[0] for picture in (first, second)]
    _, similarity = structural_similarity_index_measure(
        grey[0][None, None], grey[1][None, None], data_range=1.0, return_full_image=True
    )
    slopes = [torch.stack(torch.gradient(one)) for one in grey]
    products = [
        (weight * (a * b).sum(0)).sum()
        for a, b in ((slopes[0], slopes[1]), (slopes[0], slopes[0]), (slopes[1], slopes[1]))
    ]
    return {
        "ssim": float((weight * torch.as_tensor(similarity)[0, 0]).sum() / weight.sum()),
        "gradient_correlation": float(
            products[0] / (products[1] * products[2]).sqrt().clamp_min(1e-12)
        ),
    }
