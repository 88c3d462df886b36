"""Skins of many people without their photographs' light, and the statistics of them.

Light and skin are found in turns. The first albedo is the mean procedural skin, later ones are what
the components of the last round say of each person, the same on both sides of the face, since what
differs smoothly between the sides is light rather than skin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facemorph import console
from facemorph.geometry.models.mirroring import OF_X
from facemorph.geometry.rendering.lighting import light_level
from facemorph.geometry.textures.delighting import (
    FaceTexels,
    divided_brightness,
    light_on,
    skin_shown,
    without_light,
)
from facemorph.geometry.textures.texture_statistics import TexelStatistics, texel_statistics

ALBEDO_COMPONENTS = (8, 16, 24)  # of each round's albedo: few, so that no lamp is among them
LEFT = (0.6, 1.6)  # of a texel, what a light may do beyond the harmonics
SMOOTH = 2.5  # 128ths of the map: half a window, thrice, of what differs smoothly
RIDGE = 0.002  # of the regression on lights, for each picture


@dataclass(frozen=True)
class SeenSkins:
    """What photographs show of N people's faces at P texels.

    Attributes:
        colour: ``(N, 3, P)`` in [0, 1].
        confidence: ``(N, P)`` in [0, 1].
        normals: ``(N, P, 3)`` in the camera's frame.
    """

    colour: Tensor
    confidence: Tensor
    normals: Tensor


@dataclass(frozen=True)
class BareSkins:
    """The same without light.

    Attributes:
        albedo: ``(N, 3, P)``; more than 1 in highlights.
        weight: ``(N, P)`` how far the photographs tell it.
        light: ``(N, 9, 3)``: the photographs are albedo times ``shading(normals, light)``.
    """

    albedo: Tensor
    weight: Tensor
    light: Tensor


def bare_skins(
    texels: FaceTexels,
    seen: SeenSkins,
    rows: Tensor,
    rounds: tuple[int, ...] = ALBEDO_COMPONENTS,
) -> BareSkins:
    """Take the light out of photographs.

    Args:
        texels: Of the face.
        seen: All photographs.
        rows: ``(R,)`` those that the statistics are made of; the light of the others is found with
            these statistics.
        rounds: Components of the albedo in each round after the first.
    """
    guess = texels.first.T.expand(len(seen.colour), -1, -1)
    bare = _without_light(texels, seen, rows, guess, seen.confidence)
    for components in console.track(rounds, "light"):
        bare = without_leftovers(texels, bare, rows)
        count = min(components, 2 * len(rows) - 2)
        found = texel_statistics(bare.albedo[rows], bare.weight[rows], texels.mirror, count, 1)
        coefficients = found.encode(bare.albedo, bare.weight) * ~found.odd
        guess = found.decode(coefficients).clamp(0.02, 1)
        bare = _without_light(texels, seen, rows, guess, bare.weight)
    return without_leftovers(texels, bare, rows)


def _without_light(
    texels: FaceTexels, seen: SeenSkins, rows: Tensor, guess: Tensor, weight: Tensor
) -> BareSkins:
    """Skins from a guess of their albedo ``(N, 3, P)``."""
    light = torch.stack(
        [
            light_on(texels, colour.T, normals, trust, albedo.T)
            for colour, normals, trust, albedo in zip(
                seen.colour, seen.normals, weight, guess, strict=True
            )
        ]
    )
    level = light_level(light).clamp(min=1e-3)
    total = level * (guess * texels.inner).sum(2) / texels.inner.sum()
    logarithm = total[rows].log()
    covariance = torch.cov(logarithm.T) if len(rows) > 3 else torch.eye(3) * 0.1
    divided = divided_brightness(total, logarithm.mean(0), covariance)
    light = light * (divided / level)[:, None]
    albedo, shown = [], []
    for colour, normals, lamp, seen_here in zip(
        seen.colour, seen.normals, light, seen.confidence, strict=True
    ):
        bare, told = without_light(colour.T, normals, lamp)
        albedo.append(bare.T)
        shown.append(skin_shown(texels, bare, seen_here) * told)
    return BareSkins(torch.stack(albedo), torch.stack(shown), light)


def without_leftovers(texels: FaceTexels, bare: BareSkins, rows: Tensor) -> BareSkins:
    """Skins without what harmonics of second order leave of the light: shadows, highlights.

    Relative to each person's tone, a texel is a function of the light over all people, linear for
    each strength of lamps; the skin is what it would be under even light.

    Args:
        texels: Of the face.
        bare: Skins.
        rows: ``(R,)`` people that the function is made of.
    """
    lamps = bare.light[:, 1:].mean(2) / light_level(bare.light).mean(1)[:, None]
    lamps = torch.cat([lamps, lamps * lamps[:, :3].norm(dim=1, keepdim=True)], 1)
    weight = bare.weight * texels.inner
    tone = (bare.albedo * weight[:, None]).sum(2) / weight.sum(1).clamp(min=1e-6)[:, None]
    relative = (bare.albedo / tone.clamp(min=0.02)[..., None]).clamp(max=3)
    left, usual = _leftovers(texels, relative[rows], bare.weight[rows], lamps[rows])
    extra = torch.einsum("nl,lcp->ncp", lamps, left)
    share = (1 + extra / usual.clamp(min=0.05)).clamp(*LEFT)
    even = evened(texels, bare.albedo / share, bare.weight)
    return replace(bare, albedo=even)


def evened(texels: FaceTexels, albedo: Tensor, weight: Tensor) -> Tensor:
    """Skins ``(N, 3, P)`` without what differs smoothly between both sides of the face, which is
    light: each side gives half of the ratio.

    Args:
        texels: Of the face.
        albedo: ``(N, 3, P)``.
        weight: ``(N, P)`` how far each is told; where one side is not, the ratio next to it holds.
    """
    reach = max(1, round(SMOOTH * texels.size / 128))
    sides = 2 * reach + 1
    found = []
    for one, trust in zip(albedo, weight, strict=True):
        both = trust * trust[texels.mirror]
        ratio = (one.clamp(min=0.02) / one[:, texels.mirror].clamp(min=0.02)).clamp(0.2, 5).log()
        maps = texels.maps(torch.cat([ratio * both, both[None]]))[None]
        for _ in range(3):
            maps = functional.avg_pool2d(maps, sides, 1, reach)
        smooth = texels.of(maps[0, :3]) / (texels.of(maps[0, 3]) + 0.02)
        found.append(one / (smooth / 2).exp())
    return torch.stack(found)


def _leftovers(
    texels: FaceTexels, relative: Tensor, weight: Tensor, lamps: Tensor
) -> tuple[Tensor, Tensor]:
    """How relative texels ``(N, 3, P)`` go with lamps ``(N, L)``: slopes ``(L, 3, P)`` and values
    ``(3, P)`` under even light, by ridge regression with mirror images.
    """
    signs = [-1.0 if place in OF_X else 1.0 for place in range(1, 9)]
    turned = lamps * lamps.new_tensor(signs).repeat(lamps.shape[1] // len(signs))
    mirrored = relative[..., texels.mirror]
    rows = torch.cat([torch.ones(2 * len(lamps), 1), torch.cat([lamps, turned])], 1)
    colours = torch.cat([relative, mirrored])
    mass = torch.cat([weight, weight[:, texels.mirror]])
    matrix = torch.einsum("np,ni,nj->pij", mass, rows, rows)
    ridge = torch.full((rows.shape[1],), RIDGE * len(rows))
    ridge[0] = 1e-3
    target = torch.einsum("np,ncp,ni->pic", mass, colours, rows)
    found = np.linalg.solve((matrix + ridge.diag()).double().numpy(), target.double().numpy())
    slopes = torch.from_numpy(found).to(relative).permute(1, 2, 0)
    return slopes[1:], slopes[0]


def signal_to_noise(found: TexelStatistics, bare: BareSkins, rows: Tensor) -> tuple[float, float]:
    """PSNR in dB of people's texels drawn with the components, and with the mean alone.

    Args:
        found: The statistics.
        bare: Skins.
        rows: ``(R,)`` people, none of whom is in the statistics.
    """
    texels, weight = bare.albedo[rows], bare.weight[rows]
    valid = (weight > 0.5).to(texels)
    mass = valid.sum() * 3
    drawn = found.decode(found.encode(texels, weight))
    errors = [
        ((texels - one).square() * valid[:, None]).sum() / mass for one in (drawn, found.mean)
    ]
    full, alone = (float(-10 * error.log10()) for error in errors)
    return full, alone
