"""What pictures with rendered conditions show of a head's texture, and of what surrounds it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.rendering.lighting import shading

DARKEST = 0.15  # shading below which a pixel says nothing of the skin
FACING = (0.25, 0.6)  # cosine to the camera between which a pixel begins to count
INSIDE = 0.98  # share of a pixel that the head must cover: at outlines the fit is not exact
ENOUGH = 0.5  # weight of pixels from which a texel is known
BRIGHTEST = 1.5


@torch.no_grad()
def texels_shown(
    images: Tensor, conditions: Tensor, lights: Tensor, side: int
) -> tuple[Tensor, Tensor]:
    """Sums of what pictures show of each texel, without its light, and of how far that counts.

    Args:
        images: ``(B, 3, S, S)`` in [0, 1].
        conditions: ``(B, 9, S, S)``, see `ConditionRenderer`.
        lights: ``(B, 9, 3)``.
        side: T of the texture.

    Returns:
        ``(B, 3, T, T)`` colours times weights, and weights ``(B, 1, T, T)``.
    """
    normals, mask, uv = conditions[:, 3:6], conditions[:, 6:7], conditions[:, 7:9]
    unit = functional.normalize(normals, dim=1)
    lit = shading(unit.movedim(1, -1), lights[:, None, None]).movedim(-1, 1)
    facing = ((unit[:, 2:] - FACING[0]) / (FACING[1] - FACING[0])).clamp(0, 1)
    weight = (mask > INSIDE) * facing * (lit.amin(1, keepdim=True) > DARKEST)
    colour = (images / lit.clamp(min=DARKEST)).clamp(0, BRIGHTEST) * weight
    index = _texel_of(uv, mask, side)
    values = torch.cat([colour, weight], 1).flatten(2)
    sums = values.new_zeros(len(images), 4, side * side)
    sums.scatter_add_(2, index[:, None].expand(-1, 4, -1), values)
    sums = sums.view(-1, 4, side, side)
    return sums[:, :3], sums[:, 3:]


@torch.no_grad()
def texels_in_sight(conditions: Tensor, side: int, cosines: tuple[float, float]) -> Tensor:
    """How far pictures show each texel ``(1, 1, T, T)``, 0 to 1: by how the skin faces the camera
    around it, in the picture where it faces it most.

    Args:
        conditions: ``(N, 9, S, S)``, see `ConditionRenderer`.
        side: T of the texture, even; it is told of texels of twice the size, which all have pixels.
        cosines: To the camera, below which a texel is out of sight, and above which in full.
    """
    mask, inside = conditions[:, 6:7], (conditions[:, 6:7] > INSIDE).to(conditions)
    cosine = functional.normalize(conditions[:, 3:6], dim=1)[:, 2:]
    weight = inside * ((cosine - cosines[0]) / (cosines[1] - cosines[0])).clamp(0, 1)
    coarse = side // 2
    index = _texel_of(conditions[:, 7:9], mask, coarse)
    sums = conditions.new_zeros(len(conditions), 2, coarse**2)
    values = torch.cat([weight, inside], 1).flatten(2)
    sums.scatter_add_(2, index[:, None].expand(-1, 2, -1), values)
    # Means over what has pixels, so that small charts, as those of eyes, keep their borders.
    near = _around(sums.view(-1, 2, coarse, coarse), 3)
    share, known = near[:, :1] / near[:, 1:].clamp(min=1e-6), (near[:, 1:] > 0).to(near)
    wide = _around(share * known, 5) / _around(known, 5).clamp(min=1e-6)
    sight = torch.minimum(share, wide).amax(0, keepdim=True)
    return functional.interpolate(sight, (side, side), mode="bilinear", align_corners=False)


def sampled(textures: Tensor, conditions: Tensor) -> Tensor:
    """Features ``(B, C, S, S)`` of textures where the mesh shows them, 0 off it."""
    mask, uv = conditions[:, 6:7].float(), conditions[:, 7:9].float()
    places = (uv / mask.clamp(min=1e-3)).movedim(1, -1) * 2 - 1
    found = functional.grid_sample(
        textures.float(), places, padding_mode="border", align_corners=False
    )
    return found * mask


def roughness(texels: Tensor) -> Tensor:
    """How much neighbours of textures ``(B, C, T, T)`` differ: means over texels, all channels'."""
    across, down = texels.diff(dim=-1), texels.diff(dim=-2)
    return across.abs().mean((2, 3)).sum() + down.abs().mean((2, 3)).sum()


def _around(values: Tensor, size: int) -> Tensor:
    return functional.avg_pool2d(values, size, 1, size // 2)


def _texel_of(uv: Tensor, mask: Tensor, side: int) -> Tensor:
    """Number of the texel ``(B, S * S)`` at each pixel, row by row."""
    place = ((uv / mask.clamp(min=1e-3)).clamp(0, 0.9999) * side).long()
    return (place[:, 1] * side + place[:, 0]).flatten(1)


def share_known(weight: Tensor) -> Tensor:
    """How far a texel is known, for the sum of the weights of its pixels."""
    return (weight / ENOUGH).clamp(0, 1)


@torch.no_grad()
def surroundings(images: Tensor, conditions: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Small pictures ``(B, 3, s, s)`` of what is off the head, and how far each pixel is.

    Args:
        images: ``(B, 3, S, S)``.
        conditions: ``(B, 9, S, S)``.
        side: s.
    """
    outside = 1 - (conditions[:, 6:7] > 0).to(images)
    size = (side, side)
    mass = functional.interpolate(outside, size, mode="area")
    colour = functional.interpolate(images * outside, size, mode="area")
    return colour / mass.clamp(min=1e-3), (mass > 0.05) * mass
