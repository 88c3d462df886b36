"""The spaces that VariTex works in: colours by ImageNet's statistics, and places in a texture.

Source: Buehler et al., VariTex (ICCV 2021), and the released code. Two of its habits are functions
of their own here, for training as it did: ``published_background`` and ``published_uv``. What is
done without them: outside the mask a picture is 0, black; places are not rounded, and whether a
pixel shows the mesh is a mask, not a value of the place.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.networks.features.vgg import DEVIATION, MEAN
from facemorph.networks.stylegan2.blocks import at_least_float, full_precision
from facemorph.ops.shapes import check_shape

HALF_RANGE = 127.5  # of 8 bits


def normalised(pictures: Tensor) -> Tensor:
    """Pictures ``(B, 3, H, W)`` in [0, 1] less ImageNet's mean, over its deviation."""
    mean, deviation = _statistics(pictures)
    return (pictures - mean) / deviation


def pictures_of(colours: Tensor) -> Tensor:
    """The inverse of `normalised`; in [0, 1] only where the colours are such, so clamp to show."""
    mean, deviation = _statistics(colours)
    return colours * deviation + mean


def _statistics(like: Tensor) -> tuple[Tensor, Tensor]:
    mean, deviation = (like.new_tensor(one)[:, None, None] for one in (MEAN, DEVIATION))
    return mean, deviation


def published_background(pictures: Tensor, mask: Tensor) -> Tensor:
    """Pictures whose background is what the released code calls black.

    There, pixels outside the mask become the least of all normalised values of a picture, in all
    three channels: a colour that depends on the picture, and may lie a little below black.

    Args:
        pictures: ``(B, 3, H, W)`` in [0, 1].
        mask: ``(B, 1, H, W)``, true where the picture stays.

    Returns:
        ``(B, 3, H, W)``, not clamped.

    Raises:
        DataError: The shapes do not belong together.
    """
    sizes = check_shape(pictures, "B 3 H W", "pictures")
    check_shape(mask, f"{sizes['B']} 1 {sizes['H']} {sizes['W']}", "mask")
    colours = normalised(pictures)
    least = colours.amin((1, 2, 3), keepdim=True).expand(-1, 3, 1, 1)
    return torch.where(mask.bool(), pictures, pictures_of(least))


def published_uv(uv: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Places in a texture as the released code trains with them: of 8 bits.

    Its augmentation stores u and v, from -1 to 1, as bytes: of 256 texels, places are off by up to
    one; and as -1 means that there is no mesh, pixels are lost where both are below -0.992. When
    the network is used, places are exact.

    Args:
        uv: ``(B, 2, H, W)`` in [0, 1].
        mask: ``(B, 1, H, W)``, true where a pixel shows the mesh.

    Returns:
        Places and mask of the same shapes.

    Raises:
        DataError: The shapes do not belong together.
    """
    sizes = check_shape(uv, "B 2 H W", "uv")
    check_shape(mask, f"{sizes['B']} 1 {sizes['H']} {sizes['W']}", "uv_mask")
    stored = torch.where(mask.bool(), 2 * uv - 1, -1)
    levels = ((stored + 1) * HALF_RANGE).to(torch.uint8)
    return levels.to(uv.dtype) / (2 * HALF_RANGE), (levels > 0).any(1, keepdim=True)


def sample_texture(texture: Tensor, uv: Tensor, mask: Tensor) -> Tensor:
    """Textures seen in pictures: bilinear, the border continued, 0 where there is no mesh.

    Args:
        texture: ``(B, C, S, S)``.
        uv: ``(B, 2, H, W)`` in [0, 1], u right and v down; edges of the texture are at 0 and 1.
        mask: ``(B, 1, H, W)``, true where a pixel shows the mesh.

    Returns:
        ``(B, C, H, W)``.

    Raises:
        DataError: The shapes do not belong together.
    """
    sizes = check_shape(texture, "B C h w", "texture")
    check_shape(uv, f"{sizes['B']} 2 H W", "uv")
    check_shape(mask, f"{sizes['B']} 1 {uv.shape[2]} {uv.shape[3]}", "uv_mask")
    with full_precision(texture):
        exact = at_least_float(texture)
        grid = 2 * uv.to(exact.dtype).permute(0, 2, 3, 1) - 1
        sampled = F.grid_sample(exact, grid, padding_mode="border", align_corners=False)
    return torch.where(mask.bool(), sampled, 0).to(texture.dtype)
