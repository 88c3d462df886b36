"""Filling in what a photograph does not show of a face: the other side, the neck, the eyes and the mouth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from facemorph.geometry.atlas import Atlas, atlas_of
from facemorph.geometry.morphable_model import MorphableModel
from facemorph.geometry.unprojection import Texture, skin_tone, spread_mask
from facemorph.ops.shapes import check_shape

LUMA = (0.2126, 0.7152, 0.0722)
# Colours of what a camera hardly sees, as factors of the skin's tone or of its brightness.
CAVITY, SOCKET = (0.30, 0.20, 0.19), (0.55, 0.45, 0.43)
TONGUE, TEETH = (0.72, 0.50, 0.48), (1.18, 1.12, 1.02)
SHADE_DEPTH = 35.0               # millimetres behind the front teeth where the mouth is darkest
RINGS = 16                       # circles of an eye, from the pupil outwards
GUTTER = 4                       # texels around a part that carry its colour on, for bilinear look-up


def complete_texture(model: MorphableModel, texture: Texture) -> Tensor:
    """A texture without holes.

    The skin that was not seen is taken from the other side of the face, brought to this side's light; what neither side
    shows grows in smoothly from around. Eyes grow from the circles of the iris and the white that are seen. Teeth,
    tongue and the inside of the mouth that the photograph does not show have colours after the person's skin, darker
    towards the throat.

    Args:
        model: The model the texture belongs to.
        texture: From ``unproject`` or ``blend_views``.

    Returns:
        ``(3, S, S)`` in [0, 1].

    Raises:
        DataError: The texture is not square.
    """
    size = check_shape(texture.colour, "3 S S", "texture")["S"]
    atlas, topology = atlas_of(model, size), model.topology
    tone = skin_tone(model, atlas, texture)
    mirrored = mirror_fill(atlas, texture)
    eyes, mouth = atlas.part(topology, "eye"), atlas.part(topology, "teeth", "tongue")
    parts = eyes | mouth
    skin = push_pull(mirrored.colour, mirrored.confidence * (atlas.mask & ~parts))
    skin = _darken_hidden(model, atlas, skin, tone)
    if not bool(parts.any()):
        return skin.clamp(0, 1)
    inner = _mouth_colours(model, atlas, tone)
    inner = inner + (texture.colour - inner) * (texture.confidence * mouth)
    for name in topology.components:
        if name.startswith("eye"):
            region = atlas.part(topology, name)
            inner = torch.where(region, _complete_eye(model, atlas, texture, region), inner)
    inner = push_pull(inner, parts.to(inner.dtype))
    near = F.max_pool2d(parts[None].float(), 2 * GUTTER + 1, 1, GUTTER)[0] > 0
    return torch.where(near & ~(atlas.mask & ~parts), inner, skin).clamp(0, 1)


def mirror_fill(atlas: Atlas, texture: Texture) -> Texture:
    """The texture, with what it is not confident about from the other side of the face.

    The other side is multiplied with the smooth ratio of the two sides' brightness where both are seen, so that light
    from one side does not leave a seam.
    """
    weighted = torch.cat([texture.colour * texture.confidence, texture.confidence[None]])
    grid = atlas.mirrored * 2 - 1
    other = F.grid_sample(weighted[None], grid[None], align_corners=False)[0] * atlas.has_mirror
    confidence = other[3]
    colour = other[:3] / confidence.clamp(min=1e-4)
    colour = (colour * _side_gain(texture, colour, confidence)).clamp(0, 1)
    missing = (1 - texture.confidence) * confidence
    total = texture.confidence + missing
    mixed = (texture.colour * texture.confidence + colour * missing) / total.clamp(min=1e-6)
    return Texture(mixed, total.clamp(max=1))


def _side_gain(texture: Texture, other: Tensor, confidence: Tensor) -> Tensor:
    """Smooth ratio ``(3, S, S)`` of a texture to its mirror image."""
    side = other.shape[-1]
    both = (texture.confidence * confidence)[None, None]
    ratio = (texture.colour.clamp(min=0.02) / other.clamp(min=0.02)).clamp(0.25, 4).log()
    coarse = max(1, side // 32)
    value, mass = F.avg_pool2d(ratio[None] * both, coarse), F.avg_pool2d(both, coarse)
    mean = value / mass.clamp(min=1e-6)
    smooth = push_pull(mean[0], (mass[0, 0] * 4).clamp(max=1))
    smooth = F.avg_pool2d(smooth[None], 3, 1, 1, count_include_pad=False)
    return F.interpolate(smooth, size=(side, side), mode="bilinear", align_corners=False)[0].exp()


def push_pull(colour: Tensor, weight: Tensor) -> Tensor:
    """Fill an image where its weight is small from what lies around, coarse to fine (Gortler et al. 1996).

    Args:
        colour: ``(C, H, W)``.
        weight: ``(H, W)`` in [0, 1].

    Returns:
        ``(C, H, W)``: ``colour`` where the weight is 1; the weighted mean of everything far from any.
    """
    value, mass = (colour * weight)[None], weight[None, None].to(colour.dtype)
    if max(mass.shape[-2:]) <= 2:
        mean = value.sum((2, 3), keepdim=True) / mass.sum((2, 3), keepdim=True).clamp(min=1e-8)
        return (value + mean * (1 - mass))[0]
    small_value, small_mass = (F.avg_pool2d(one, 2, ceil_mode=True) for one in (value, mass))
    coarse = push_pull((small_value / small_mass.clamp(min=1e-8))[0], (small_mass[0, 0] * 4).clamp(max=1))
    fill = F.interpolate(coarse[None], size=mass.shape[-2:], mode="bilinear", align_corners=False)
    return (value + fill * (1 - mass))[0]


def _darken_hidden(model: MorphableModel, atlas: Atlas, skin: Tensor, tone: Tensor) -> Tensor:
    """The skin with the inside of the mouth and the sockets darkened, softly from the lips and lids inwards."""
    topology = model.topology
    for name, factor in (("socket", SOCKET), ("inside_mouth", CAVITY)):
        if name in topology.masks:
            weight = spread_mask(topology, name, rings=1)
            if name == "inside_mouth" and "lips" in topology.masks:
                weight = weight * ~topology.masks["lips"]
            inside = atlas.at_texels(weight[:, None].to(skin), topology.faces)
            skin = skin + ((tone * tone.new_tensor(factor))[:, None, None] - skin) * inside
    return skin


def _mouth_colours(model: MorphableModel, atlas: Atlas, tone: Tensor) -> Tensor:
    """Teeth and tongue ``(3, S, S)`` as no photograph shows them: in the light of this face, darker further back."""
    topology = model.topology
    grey = (tone * tone.new_tensor(LUMA)).sum()
    teeth = (grey * tone.new_tensor(TEETH)).clamp(max=0.85)[:, None, None]
    tongue = (tone * tone.new_tensor(TONGUE))[:, None, None]
    z = atlas.at_texels(model.mean[:, 2:], topology.faces)[0]
    is_teeth = atlas.part(topology, "teeth")
    front = z[is_teeth].amax() if bool(is_teeth.any()) else z.amax()
    shade = (1 - (front - z) / SHADE_DEPTH * 0.65).clamp(0.35, 1)
    return torch.where(is_teeth, teeth, tongue) * shade


def _complete_eye(model: MorphableModel, atlas: Atlas, texture: Texture, region: Tensor) -> Tensor:
    """One eye ``(3, S, S)``: what is seen, and elsewhere the median colour of its circle around the iris."""
    topology = model.topology
    place = atlas.at_texels(model.mean, topology.faces)[:, region]                   # (3, P)
    colour, confidence = texture.colour[:, region], texture.confidence[region]
    middle = (place.amax(1) + place.amin(1)) / 2
    radius = (place.amax(1) - place.amin(1)).amax() / 2
    seen = confidence > 0.5
    luma = (colour * colour.new_tensor(LUMA)[:, None]).sum(0)
    filled = texture.colour.clone()
    if int(seen.sum()) < 32:
        filled[:, region] = texture.colour.new_tensor([0.75, 0.73, 0.71])[:, None]
        return filled
    white = luma[seen].quantile(0.8)
    # The middle of what is dark among what is seen; the head's own eye may look elsewhere.
    dark = (white - luma).clamp(min=0).square() * confidence * (place[2] > middle[2])
    centre = (place[:2] * dark).sum(1) / dark.sum().clamp(min=1e-6)
    limit = 0.25 * radius
    centre = middle[:2] + (centre - middle[:2]).clamp(-limit, limit)
    distance = (place[:2] - centre[:, None]).norm(dim=0) / radius
    ring = torch.where(place[2] > middle[2], distance * RINGS, float(RINGS)).long().clamp(max=RINGS - 1)
    profile = []
    for number in range(RINGS):
        here = seen & (ring == number)
        if int(here.sum()) >= 8:
            profile.append(colour[:, here].median(1).values)
        else:                    # beyond the lids: as the last circle that is seen, else the white of the eye
            profile.append(profile[-1] if profile else colour[:, seen].median(1).values)
    whites = colour[:, seen & (luma >= white)].median(1).values
    circles = torch.stack([one if number < RINGS * 0.6 else whites for number, one in enumerate(profile)], 1)
    position = (distance * RINGS - 0.5).clamp(0, RINGS - 1)
    lower = position.long().clamp(max=RINGS - 2)
    mix = circles[:, lower] + (circles[:, lower + 1] - circles[:, lower]) * (position - lower)
    mix = torch.where(place[2] > middle[2], mix, whites[:, None])
    filled[:, region] = mix + (colour - mix) * confidence
    return filled
