"""Filling in what a photograph does not show of a face: the other side, the neck, the eyes and the
mouth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.textures.atlas import EYES, MOUTH, Atlas, atlas_of
from facemorph.geometry.textures.unprojection import Texture, skin_tone, spread_mask
from facemorph.ops.filters import dilated
from facemorph.ops.shapes import check_shape

LUMA = (0.2126, 0.7152, 0.0722)
# Colours of what a camera hardly sees, as factors of the skin's tone or of its brightness.
CAVITY, SOCKET = (0.30, 0.20, 0.19), (0.55, 0.45, 0.43)
TONGUE, TEETH = (0.72, 0.50, 0.48), (1.18, 1.12, 1.02)
SHADE_DEPTH = 35.0  # millimetres behind the front teeth where the mouth is darkest
TRUST = 0.4  # confidence from which a photograph is better than any filling
REACH = 10  # 128ths of the map from what is seen to where a region's own colour begins
RINGS = 16  # circles of an eye, from the pupil outwards
GUTTER = 4  # texels around a part that carry its colour on, for bilinear look-up


@dataclass(frozen=True)
class _Regions:
    """Weights of regions at the texels, each ``(S, S)``, which no photograph changes.

    Attributes:
        place: ``(3, S, S)`` millimetres, on the mean face.
        inner: Well inside of the scalp and of the neck.
        around: The same with what lies around, softly.
        rest: Below the eyes, and neither.
        clothed: Where clothes and background may be: neck and ears.
        hidden: Sockets and the inside of the mouth.
    """

    place: Tensor
    inner: tuple[Tensor, ...]
    around: tuple[Tensor, ...]
    rest: Tensor
    clothed: Tensor
    hidden: tuple[Tensor, ...]


@lru_cache(maxsize=4)
def _regions(model: MorphableModel, size: int, device: str) -> _Regions:
    """Made once for each model, size and device, since half of the time would go into it."""
    del device
    topology, atlas = model.topology, atlas_of(model, size)
    eyes = topology.landmarks.of(model.mean)[36:48, 1].mean()
    inner, around = (
        [spread_mask(topology, name, rings=rings) for name in ("scalp", "neck")]
        for rings in (-2, 3)
    )
    rest = (model.mean[:, 1] < eyes) & (around[0] == 0) & (around[1] == 0)
    clothed = torch.maximum(
        spread_mask(topology, "neck", rings=1), spread_mask(topology, "ears", rings=6)
    )
    hidden = [spread_mask(topology, name, rings=1) for name in ("socket", "inside_mouth")]
    if "lips" in topology.masks:
        hidden[1] = hidden[1] * ~topology.masks["lips"]
    weights = torch.stack([*inner, *around, rest.to(inner[0]), clothed, *hidden], 1)
    maps = atlas.at_texels(
        torch.cat([model.mean, weights.to(model.mean)], 1), topology.faces
    ).unbind(0)
    return _Regions(
        torch.stack(maps[:3]), maps[3:5], maps[5:7], maps[7], (2 * maps[8]).clamp(max=1), maps[9:11]
    )


def complete_texture(model: MorphableModel, texture: Texture) -> Tensor:
    """A texture without holes.

    The skin that was not seen is taken from the other side of the face, brought to this side's
    light; what neither side shows grows in smoothly from around. Eyes grow from the circles of the
    iris and the white that are seen. Teeth, tongue and the inside of the mouth that the photograph
    does not show have colours after the person's skin, darker towards the throat.

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
    regions = _regions(model, size, str(model.mean.device))
    tone = skin_tone(model, atlas, texture)
    texture = _without_clothes(regions, texture, tone)
    texture = Texture(texture.colour, (texture.confidence / TRUST).clamp(max=1))
    mirrored = mirror_fill(atlas, texture)
    eyes, mouth = atlas.part(topology, *EYES), atlas.part(topology, *MOUTH)
    parts = eyes | mouth
    skin = push_pull(*_with_distant_tones(regions, mirrored, tone, atlas.mask & ~parts))
    skin = _darken_hidden(regions, skin, tone, texture.confidence)
    if not bool(parts.any()):
        return skin.clamp(0, 1)
    inner = _mouth_colours(regions, atlas.part(topology, "teeth"), tone)
    inner = inner + (texture.colour - inner) * (texture.confidence * mouth)
    eye_parts = [
        atlas.part(topology, name) for name in topology.components if name.startswith(EYES)
    ]
    inner = torch.where(eyes, _complete_eyes(regions, eye_parts, texture, tone), inner)
    inner = push_pull(inner, parts.to(inner.dtype))
    near = dilated(parts[None].float(), GUTTER)[0] > 0
    return torch.where(near & ~(atlas.mask & ~parts), inner, skin).clamp(0, 1)


def _without_clothes(regions: _Regions, texture: Texture, tone: Tensor) -> Texture:
    """The texture, not believing what on neck and ears is no skin: clothes, hair, background.

    Skin may be in the shadow of the chin, and somewhat brighter than the face; it is not greyer.
    """
    difference = texture.colour - tone[:, None, None]
    luma = (difference * difference.new_tensor(LUMA)[:, None, None]).sum(0)
    distance = (
        (difference - luma).norm(dim=0) * 1.5
        + (luma - 0.12).clamp(min=0)
        + (-0.2 - luma).clamp(min=0)
    )
    foreign = ((distance - 0.12) / 0.08).clamp(0, 1)
    spread = max(1, texture.colour.shape[-1] // 128)
    foreign = dilated((foreign * (texture.confidence > 0))[None], spread)[0]
    return Texture(texture.colour, texture.confidence * (1 - foreign * regions.clothed))


def _with_distant_tones(
    regions: _Regions, texture: Texture, tone: Tensor, skin: Tensor
) -> tuple[Tensor, Tensor]:
    """Colour and weight for the push-pull filling of the skin.

    Far from everything that is seen the scalp has the colour of what is seen of it (hair, or bare
    skin), the neck that of what is seen of the neck, and the rest the skin's tone; in between the
    filling passes softly from one to the other.
    """
    weight = ((texture.confidence - 0.05) / 0.95).clamp(min=0) * skin
    side = weight.shape[-1]
    coarse = max(1, side // 128)
    seen = F.max_pool2d((weight > 0.05).to(weight)[None, None], coarse, ceil_mode=True)
    near = dilated(seen, REACH)
    near = F.avg_pool2d(near, REACH + 1, 1, REACH // 2, count_include_pad=False)
    far = 1 - F.interpolate(near, size=(side, side), mode="bilinear", align_corners=False)[0, 0]
    colour, trusted = texture.colour, (weight > 0.2) & skin
    tones = [
        _seen_tone(
            colour[:, trusted & (inner > 0.99)], colour[:, trusted & (around > 0.2)], tone, usual
        )
        for inner, around, usual in zip(regions.inner, regions.around, (1.0, 0.9), strict=True)
    ]
    for region, value in zip((*regions.inner, regions.rest), (*tones, tone * 0.95), strict=True):
        given = (region > 0.5) & (weight == 0) & (far > 0) & skin
        colour = torch.where(given, value[:, None, None], colour)
        weight = torch.where(given, 0.5 * far, weight)
    return colour, weight


def _seen_tone(well_inside: Tensor, around: Tensor, tone: Tensor, usual: float) -> Tensor:
    """Colour ``(3,)`` of a region from what is seen well inside of it ``(3, P)``, or else around
    its border ``(3, Q)``.

    At the border half of it is taken, the one that differs more from the skin's tone: hair rather
    than forehead. Without either it is the skin's tone times a usual factor.
    """
    if well_inside.shape[1] >= 256:
        return well_inside.median(1).values
    if around.shape[1] < 64:
        return tone * usual
    distance = (around - tone[:, None]).norm(dim=0)
    return around[:, distance >= distance.median()].median(1).values


def mirror_fill(atlas: Atlas, texture: Texture) -> Texture:
    """The texture, with what it is not confident about from the other side of the face.

    The other side is multiplied with the smooth ratio of the two sides' brightness where both are
    seen, so that light from one side does not leave a seam.
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
    """Fill an image where its weight is small from what lies around, coarse to fine (Gortler et al.
    1996).

    Args:
        colour: ``(C, H, W)``.
        weight: ``(H, W)`` in [0, 1].

    Returns:
        ``(C, H, W)``: ``colour`` where the weight is 1; the weighted mean of everything far from
        any.
    """
    value, mass = (colour * weight)[None], weight[None, None].to(colour.dtype)
    if max(mass.shape[-2:]) <= 2:
        mean = value.sum((2, 3), keepdim=True) / mass.sum((2, 3), keepdim=True).clamp(min=1e-8)
        return (value + mean * (1 - mass))[0]
    small_value, small_mass = (F.avg_pool2d(one, 2, ceil_mode=True) for one in (value, mass))
    coarse = push_pull(
        (small_value / small_mass.clamp(min=1e-8))[0], (small_mass[0, 0] * 4).clamp(max=1)
    )
    fill = F.interpolate(coarse[None], size=mass.shape[-2:], mode="bilinear", align_corners=False)
    return (value + fill * (1 - mass))[0]


def _darken_hidden(regions: _Regions, skin: Tensor, tone: Tensor, confidence: Tensor) -> Tensor:
    """The skin with the inside of the mouth and the sockets dark where they are not seen, softly at
    lips and lids.
    """
    for weight, factor in zip(regions.hidden, (SOCKET, CAVITY), strict=True):
        skin = skin + ((tone * tone.new_tensor(factor))[:, None, None] - skin) * weight * (
            1 - confidence
        )
    return skin


def _mouth_colours(regions: _Regions, is_teeth: Tensor, tone: Tensor) -> Tensor:
    """Teeth and tongue ``(3, S, S)`` as no photograph shows them: in the light of this face, darker
    further back.
    """
    grey = (tone * tone.new_tensor(LUMA)).sum()
    teeth = (grey * tone.new_tensor(TEETH)).clamp(max=0.85)[:, None, None]
    tongue = (tone * tone.new_tensor(TONGUE))[:, None, None]
    z = regions.place[2]
    front = z[is_teeth].amax() if bool(is_teeth.any()) else z.amax()
    shade = (1 - (front - z) / SHADE_DEPTH * 0.65).clamp(0.35, 1)
    return torch.where(is_teeth, teeth, tongue) * shade


def _complete_eyes(
    regions: _Regions, eyes: Sequence[Tensor], texture: Texture, tone: Tensor
) -> Tensor:
    """Eyes ``(3, S, S)``: what is seen, and elsewhere the median colour of that circle of both
    irises.

    The circles are those around the middle of what is dark in each eye, since the person may look
    elsewhere than the model does. Beyond them, and on the back, an eye has the colour of the white
    that is seen.
    """
    filled = texture.colour.clone()
    found = []
    for region in eyes:
        place = regions.place[:, region]  # (3, P)
        colour, confidence = texture.colour[:, region], texture.confidence[region]
        found.append((region, colour, confidence, _iris_circle(place, colour, confidence)))
    if not found:
        return filled
    colours = torch.cat([colour for _, colour, _, _ in found], 1)
    circles = torch.cat([circle for _, _, _, circle in found])
    seen = torch.cat([confidence for _, _, confidence, _ in found]) > 0.5
    profile = _iris_profile(colours[:, seen], circles[seen], tone)
    for region, colour, confidence, circle in found:
        position = (circle - 0.5).clamp(0, RINGS - 1)
        lower = position.long().clamp(max=RINGS - 2)
        mix = profile[:, lower] + (profile[:, lower + 1] - profile[:, lower]) * (position - lower)
        filled[:, region] = mix + (colour - mix) * confidence
    return filled


def _iris_circle(place: Tensor, colour: Tensor, confidence: Tensor) -> Tensor:
    """Number of the circle around the iris ``(P,)``, 0 at its middle and ``RINGS`` at the eye's rim
    and behind it.
    """
    middle = (place.amax(1) + place.amin(1)) / 2
    radius = (place.amax(1) - place.amin(1)).amax() / 2
    luma = (colour * colour.new_tensor(LUMA)[:, None]).sum(0)
    seen = confidence > 0.5
    centre = middle[:2]
    if int(seen.sum()) >= 32:
        dark = (
            (luma[seen].quantile(0.8) - luma).clamp(min=0).square()
            * confidence
            * (place[2] > middle[2])
        )
        offset = (place[:2] * dark).sum(1) / dark.sum().clamp(min=1e-6) - centre
        centre = centre + offset.clamp(-0.25 * radius, 0.25 * radius)
    distance = (place[:2] - centre[:, None]).norm(dim=0) / radius * RINGS
    return torch.where(place[2] > middle[2], distance.clamp(max=RINGS), float(RINGS))


def _iris_profile(colour: Tensor, circle: Tensor, tone: Tensor) -> Tensor:
    """Median colour of each circle ``(3, RINGS)`` from the texels that are seen, ``(3, P)`` and
    ``(P,)``.

    What is seen of the white lies in the lids' shadow: it is made at least as bright as the skin.
    """
    if colour.shape[1] < 32:
        return colour.new_tensor([0.75, 0.73, 0.71])[:, None].expand(3, RINGS)
    luma = (colour * colour.new_tensor(LUMA)[:, None]).sum(0)
    outside = circle > RINGS * 0.5
    if int(outside.sum()) < 16:
        outside = torch.ones_like(outside)
    bright = outside & (luma >= luma[outside].quantile(0.7))
    white = colour[:, bright].median(1).values
    grey = white @ white.new_tensor(LUMA)
    white = (white + grey) / 2  # lids shine into it
    white = (white * (tone @ white.new_tensor(LUMA) / grey.clamp(min=0.05)).clamp(1, 2)).clamp(
        max=0.9
    )
    profile = [white] * RINGS
    for number in range(RINGS):
        here = circle.long() == number
        if number < RINGS * 0.55 and int(here.sum()) >= 8:
            profile[number] = colour[:, here].median(1).values
        elif number < RINGS * 0.4 and number:
            profile[number] = profile[number - 1]
    return torch.stack(profile, 1)
