"""Photographs' light taken out of skin: which texels show skin, what light fell on them, and how
their brightness is divided between light and skin.

A photograph tells only the product of albedo and light. The level of the light is therefore settled
by what both are like: lights as ``random_light`` draws them, and skins as a set of people has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.lighting import (
    LEVEL,
    LEVEL_SIGMA,
    fit_light,
    light_level,
    shading,
)
from facemorph.geometry.synthetic.procedural_skin import skin_basis
from facemorph.geometry.synthetic.skin_fields import smooth_step, texel_fields
from facemorph.geometry.textures.atlas import EYES, MOUTH, atlas_of
from facemorph.geometry.textures.texture_completion import LUMA
from facemorph.geometry.textures.unprojection import Texture
from facemorph.ops.filters import dilated
from facemorph.ops.meshes import vertex_normals

# Fields of what differs from the skin around it, and where each counts fully.
VARIED = {"brow": 0.2, "lips": 0.2, "lip_rim": 0.3, "lashes": 0.2, "eyelid": 0.9, "beard": 0.5}
DARKEST = 0.3  # shading, as a share of the light's level, below which a texel tells no colour
SATURATED = 0.06  # below 1, where a photograph begins to show no more light
GREYEST = 0.02  # difference of red and blue below which a photograph has no colours
SKIN_SIGMA = 0.02  # least standard deviation of the logarithm of a set's skins
# Logarithms of light times skin, over 1,500 portraits.
USUAL_MEAN = (-0.489, -0.794, -0.933)
USUAL_COVARIANCE = ((0.0185, 0.0151, 0.0140), (0.0151, 0.0234, 0.0305), (0.0140, 0.0305, 0.0553))
HUE_SIGMA = 0.06  # most of it apart from light and dark: the rest is the light's tint


@dataclass(frozen=True)
class FaceTexels:
    """The texels of a map that a texture model describes.

    Attributes:
        index: ``(P,)`` flat places in the map of ``size`` x ``size`` texels.
        size: Texels along each side.
        mirror: ``(P,)`` for each the number of its mirror image.
        inner: ``(P,)`` 1 well inside of the face, 0 where ears and clothes may be seen.
        varied: ``(P,)`` 1 where a face has other colours than its skin's tone: brows, lids, lips
            and beard.
        first: ``(P, 3)`` colours of the mean procedural skin.
    """

    index: Tensor
    size: int
    mirror: Tensor
    inner: Tensor
    varied: Tensor
    first: Tensor

    def maps(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Values ``(..., P)`` as maps ``(..., S, S)``, with ``fill`` where no texel is."""
        flat = values.new_full((*values.shape[:-1], self.size * self.size), fill)
        flat[..., self.index.to(values.device)] = values
        return flat.unflatten(-1, (self.size, self.size))

    def of(self, maps: Tensor) -> Tensor:
        """Values ``(..., P)`` of maps ``(..., S, S)``."""
        return maps.flatten(-2)[..., self.index.to(maps.device)]


@lru_cache(maxsize=4)
def face_texels(model: MorphableModel, size: int) -> FaceTexels:
    """The texels of a model's face: its skin, lips and brows, without eyes, teeth, ears and neck.

    Args:
        model: A model whose map is symmetrical, as MakeHuman's and ICT's are.
        size: Texels along each side of the map.
    """
    topology, atlas = model.topology, atlas_of(model, size)
    face = atlas.at_texels(topology.masks["face"].float()[:, None], topology.faces)[0] > 0.5
    face &= atlas.mask & ~atlas.part(topology, *EYES, *MOUTH)
    face |= face.flip(1)
    index = face.flatten().nonzero()[:, 0]
    number = torch.full((size * size,), -1, dtype=torch.long)
    number[index] = torch.arange(len(index))
    other = number.view(size, size).flip(1).flatten()[index]
    fields = texel_fields(model, size)
    near_hair = smooth_step(-26, -10, (fields["hair"] - 0.5) * 60)
    side = smooth_step(40, 56, abs(fields.place[:, 0]))
    low = smooth_step(-96, -112, fields.place[:, 1])
    outer = torch.from_numpy(1 - (1 - near_hair) * (1 - side) * (1 - low))
    mean, _ = skin_basis(model)
    first = atlas.at_texels(mean, topology.faces).flatten(1)[:, index].T
    inner = 1 - outer[index].float()
    varied = torch.zeros(size * size)
    for name, least in VARIED.items():
        varied = torch.maximum(varied, torch.from_numpy(smooth_step(0, least, fields[name])))
    varied = dilated(varied.view(1, size, size), max(1, size // 128)).flatten()[index]
    return FaceTexels(index, size, other, inner, inner * varied, first.clamp(min=0.02))


def texel_normals(model: MorphableModel, normals: Tensor, texels: FaceTexels) -> Tensor:
    """Unit normals ``(P, 3)`` at the texels of a face, from those of the vertices ``(V, 3)``."""
    atlas = atlas_of(model, texels.size)
    found = texels.of(atlas.at_texels(normals, model.topology.faces)).T
    return functional.normalize(found, dim=-1)


def skin_shown(texels: FaceTexels, colour: Tensor, confidence: Tensor) -> Tensor:
    """How far each texel shows skin ``(P,)`` and not hair, glasses, a collar or the wall behind.

    Brows, lids, lips and beards may have any colour; all else has the tone of the inside of the
    face. Next to what is not seen, which may be an eye or teeth, nothing is believed.

    Args:
        texels: Of the face.
        colour: ``(P, 3)`` without light, or at least of even light.
        confidence: ``(P,)`` how well each texel is seen.
    """
    reach = max(1, texels.size // 128)
    confidence = texels.of(-dilated(-texels.maps(confidence)[None], reach)[0])
    inside = (texels.inner > 0.9) & (confidence > 0.5)
    if int(inside.sum()) < 16:
        return confidence * texels.inner
    tone = colour[inside].median(0).values
    difference = colour / tone.clamp(min=0.05) - 1
    luma = difference @ difference.new_tensor(LUMA)
    chroma = (difference - luma[:, None]).norm(dim=-1)
    distance = chroma + (luma - 0.2).clamp(min=0) + (-0.22 - luma).clamp(min=0)
    foreign = ((distance - 0.2) / 0.15).clamp(0, 1) * (1 - texels.varied)
    grown = texels.of(dilated(texels.maps(foreign)[None], reach)[0])
    return confidence * (1 - grown * (1 - texels.varied))


def is_grey(colour: Tensor, confidence: Tensor) -> bool:
    """Whether a photograph has no colours, from texels ``(P, 3)`` seen as well as ``(P,)`` says."""
    seen = colour[confidence > 0.5]
    return len(seen) == 0 or float((seen[:, 0] - seen[:, 2]).mean()) < GREYEST


def light_on(
    texels: FaceTexels, colour: Tensor, normals: Tensor, weight: Tensor, albedo: Tensor
) -> Tensor:
    """The light ``(9, 3)`` that explains a face's texels by their albedo; its level is whatever
    the albedo leaves.

    Args:
        texels: Of the face.
        colour: ``(P, 3)`` in the photograph.
        normals: ``(P, 3)`` in the camera's frame.
        weight: ``(P,)`` how far each is to be believed.
        albedo: ``(P, 3)``.
    """
    step = max(1, len(colour) // 3000)  # light is smooth: some thousand points tell it
    part = slice(None, None, step)
    trusted = weight * (0.3 + 0.7 * texels.inner)
    return fit_light(normals[part], albedo[part], colour[part], trusted[part])


def without_light(colour: Tensor, normals: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
    """Colours ``(P, 3)`` without light, and how far they are told by the photograph ``(P,)``: less
    in deep shade, and in highlights that it cannot show.
    """
    lit = shading(normals, light)
    level = light_level(light)
    share = lit / level.clamp(min=1e-3)
    told = ((share.amin(-1) - DARKEST) / DARKEST).clamp(0, 1)
    told = told * ((1 - colour.amax(-1)) / SATURATED).clamp(0, 1)
    return colour / torch.maximum(lit, DARKEST * level), told


def divided_brightness(total: Tensor, mean: Tensor, covariance: Tensor) -> Tensor:
    """The levels of lights ``(N, 3)`` in what lights and skins are together.

    The most probable division where the logarithms of both are normally distributed. Lights differ
    in brightness as photographs of faces do, and are tinted as far as the set differs in hue by
    more than skins do; what is left of the set's spread is that of its skins.

    Args:
        total: ``(N, 3)`` level of the light times tone of the skin.
        mean: ``(3,)`` mean logarithm of the set's totals.
        covariance: ``(3, 3)`` of these logarithms.
    """
    brightness = torch.full((3, 3), (LEVEL_SIGMA / LEVEL) ** 2).to(total)
    values, vectors = torch.linalg.eigh(covariance - brightness)
    values = values.clamp(min=SKIN_SIGMA**2)
    values = torch.cat([values[:2].clamp(max=HUE_SIGMA**2), values[2:]])
    skins = (vectors * values) @ vectors.T
    values, vectors = torch.linalg.eigh(covariance - skins - brightness)
    lights = brightness + (vectors * values.clamp(min=0)) @ vectors.T
    gain = lights @ torch.linalg.inv(lights + skins)
    return LEVEL * ((total.log() - mean) @ gain.T).exp()


def bare_texture(
    model: MorphableModel, vertices: Tensor, camera: Camera, texture: Texture
) -> tuple[Texture, Tensor]:
    """A photograph's texture without the photograph's light.

    Args:
        model: The model, see `face_texels`.
        vertices: ``(V, 3)`` the fitted face.
        camera: Of the photograph.
        texture: From ``unproject``.

    Returns:
        The texture, less believed in deep shade, and the light ``(9, 3)``.
    """
    size = texture.colour.shape[-1]
    atlas, texels = atlas_of(model, size), face_texels(model, size)
    normals = vertex_normals(camera.view(vertices[None]), model.topology.faces)[0]
    everywhere = atlas.at_texels(normals, model.topology.faces)
    everywhere = functional.normalize(everywhere, dim=0).flatten(1).T
    colour, confidence = texels.of(texture.colour).T, texels.of(texture.confidence)
    here, weight = everywhere[texels.index], confidence
    for _ in range(2):
        light = light_on(texels, colour, here, weight, texels.first)
        level = light_level(light).clamp(min=1e-3)
        tone = (texels.first * texels.inner[:, None]).sum(0) / texels.inner.sum()
        mean, covariance = torch.tensor(USUAL_MEAN), torch.tensor(USUAL_COVARIANCE)
        light = light * (divided_brightness((level * tone)[None], mean, covariance)[0] / level)
        bare, told = without_light(colour, here, light)
        weight = skin_shown(texels, bare, confidence) * told
    bare, told = without_light(texture.colour.flatten(1).T, everywhere, light)
    return Texture(
        bare.T.view_as(texture.colour).clamp(0, 1),
        texture.confidence * (0.5 + 0.5 * told).view_as(texture.confidence),
    ), light
