"""Losses of generators against discriminators, and their regularisations, as pure functions.

Source: Goodfellow et al. (2014) for the non-saturating logistic loss, Lim and Ye (2017) for the
hinge, Mao et al. (2017) for least squares, Mescheder et al. (2018) for R1, Karras et al.,
Analyzing and Improving the Image Quality of StyleGAN (2020), appendix B, for the path length,
Wang et al., pix2pixHD (2018), for feature matching. Scores have any shape: ``(B,)`` of a whole
picture, ``(B, 1, H, W)`` of patches; ``real`` and ``fake`` may differ in it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.errors import DataError
from facemorph.ops.shapes import check_shape

TINY = 1e-12  # keeps the gradient of a root finite at zero


def logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """The mean of softplus(-real) plus the mean of softplus(fake)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def logistic_generator(fake: Tensor) -> Tensor:
    """The mean of softplus(-fake), which does not saturate where the discriminator is sure."""
    return F.softplus(-fake).mean()


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """The mean of max(0, 1 - real) plus the mean of max(0, 1 + fake)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_generator(fake: Tensor) -> Tensor:
    """The mean of -fake."""
    return -fake.mean()


def least_squares_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Half of the mean of (real - 1)^2 plus half of the mean of fake^2."""
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def least_squares_generator(fake: Tensor) -> Tensor:
    """Half of the mean of (fake - 1)^2."""
    return 0.5 * (fake - 1).square().mean()


def r1_penalty(scores: Tensor, images: Tensor) -> Tensor:
    """Squared length of the scores' gradient by the images: the mean of the samples' sums.

    The caller multiplies by gamma / 2, and by the interval where the penalty is lazy. The scores
    should come from the discriminator without autocast; here the squares are of float32 at least.

    Args:
        scores: ``(B,)`` scores of ``images``, or their sum.
        images: ``(B, C, H, W)`` that the scores were made from, with ``requires_grad``; conditions
            that the discriminator saw beside them are left out.

    Returns:
        A scalar that can be differentiated by the discriminator's weights.

    Raises:
        DataError: The images are without gradients, or the scores do not depend on them.
    """
    squares = _gradient(scores.sum(), images, "images").square()
    return squares.flatten(1).sum(1).mean()


def path_lengths(images: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """Lengths ``(B,)`` of the images' gradients by the styles, in a random direction of the images.

    ``|J^T y|`` with ``y`` the noise over the root of the number of pixels. The length of styles per
    layer is the root of the mean of their squares. The penalty is the mean of their squared
    differences from their running mean (decay 0.01), which the caller keeps, over all processes and
    parts of a batch.

    Args:
        images: ``(B, C, H, W)`` generated from ``styles``.
        styles: ``(B, S)``, or one for each layer ``(B, L, S)``, with ``requires_grad``.
        noise: Standard normal numbers of the images' shape.

    Raises:
        DataError: The noise has another shape, the styles are without gradients, or the images do
            not depend on them.
    """
    sizes = check_shape(images, "B C H W", "images")
    check_shape(noise, " ".join(map(str, images.shape)), "noise")
    if images.dtype != torch.float64:
        images, noise = images.float(), noise.float()
    weighted = images * noise / (sizes["H"] * sizes["W"]) ** 0.5
    squares = _gradient(weighted.sum(), styles, "styles").square().sum(-1)
    if squares.ndim == 2:
        squares = squares.mean(1)
    return (squares + TINY).sqrt()


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of a discriminator's features, averaged over the layers.

    Args:
        real: Features of real pictures, layer by layer; no gradients go there.
        fake: Features of the generated ones, of the same shapes.

    Raises:
        DataError: There are none, or their numbers differ.
    """
    if not real or len(real) != len(fake):
        raise DataError(
            "features do not belong together", expected=len(real) or "some", found=len(fake)
        )
    terms = [F.l1_loss(mine, other.detach()) for other, mine in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def _gradient(total: Tensor, by: Tensor, name: str) -> Tensor:
    """Gradient of a scalar in at least float32, itself differentiable."""
    if not by.requires_grad or not total.requires_grad:
        raise DataError(
            f"there is no gradient by the {name}",
            remedy=f"Call requires_grad_() on the {name} before the network sees them.",
        )
    try:
        (gradient,) = torch.autograd.grad(total, by, create_graph=True)
    except RuntimeError as error:
        if "not have been used" not in str(error):
            raise
        raise DataError(
            f"what is differentiated does not depend on these {name}",
            remedy=f"Give the very tensor of {name} that the network saw.",
        ) from error
    return gradient if gradient.dtype == torch.float64 else gradient.float()
