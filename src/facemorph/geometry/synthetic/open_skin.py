"""Texture maps of random people whose skin comes from statistics of real ones.

Face, brows and beard are drawn from a texture model; eyes, mouth, hair and clothes are those of
procedural people whose skin is as light or dark.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.synthetic.procedural_skin import (
    dress,
    skin_basis,
    surface_noise,
    tone,
)
from facemorph.geometry.synthetic.random_skin import Skin, melanin_of, random_skin
from facemorph.geometry.textures.texture_model import TextureModel

PORES = 0.012  # of the skin's brightness, what maps of portraits are too coarse to show
NEAR = 1e4  # what the face's colours count against the prior where a nearest skin is looked for


@dataclass(frozen=True)
class OpenSkin:
    """A random person.

    Attributes:
        coefficients: ``(K,)`` of the texture model.
        nearest: ``(A,)`` of the procedural skin that comes nearest, by ``random_skin.NAMES``.
        rest: Eyes, hair and clothes.
    """

    coefficients: Tensor
    nearest: Tensor
    rest: Skin


def random_open_skin(
    model: MorphableModel, textures: TextureModel, random: np.random.Generator
) -> OpenSkin:
    """A random person's skin: eyes and hair darker the darker it is.

    Args:
        model: The face model of the texture model.
        textures: Statistics of real skins.
        random: The random numbers.
    """
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    coefficients = textures.sample(1, generator)[0]
    mean, basis = textures.at_vertices(model.topology)
    colours = mean + (coefficients @ basis.flatten(1)).view_as(mean)
    face = model.topology.masks["face"]
    rest = random_skin(random, _melanin_coefficient(colours[face].mean(0)))
    return OpenSkin(coefficients, nearest_coefficients(model, colours), rest)


def _melanin_coefficient(colour: Tensor) -> float:
    """Coefficient of the procedural melanin whose skin is as bright as a colour ``(3,)``."""
    steps = np.linspace(-2.2, 2.2, 89)
    brightness = [float(tone(melanin_of(step), 0.25).mean()) for step in steps]
    return float(steps[np.abs(np.array(brightness) - float(colour.mean())).argmin()])


def open_skin_texture(
    model: MorphableModel, textures: TextureModel, skin: OpenSkin, size: int = 512
) -> Tensor:
    """The texture map of a person.

    Args:
        model: The face model of the texture model.
        textures: Statistics of real skins.
        skin: The person.
        size: Texels along each side.

    Returns:
        ``(3, size, size)`` in [0, 1]; the same for the same arguments.
    """
    small = textures.decode(skin.coefficients[None])
    whole = functional.interpolate(small, (size, size), mode="bicubic", antialias=True)[0]
    random = np.random.default_rng(skin.rest.seed)
    colour = whole.flatten(1).T.contiguous().numpy()
    colour *= 1 + PORES * surface_noise(random, size)[:, None]
    return dress(model, colour, skin.rest, size, random)


def nearest_coefficients(model: MorphableModel, colours: Tensor) -> Tensor:
    """Coefficients ``(A,)`` of the procedural skin that comes nearest to colours of the vertices
    ``(V, 3)``, by ``NAMES``.
    """
    matrix, rows, mean = _projection(model)
    return torch.linalg.solve(matrix, rows @ (colours - mean).flatten())


@lru_cache(maxsize=4)
def _projection(model: MorphableModel) -> tuple[Tensor, Tensor, Tensor]:
    """Normal equations of ``nearest_coefficients``, their right side's rows, and the mean."""
    mean, basis = skin_basis(model)
    face = model.topology.masks["face"].to(mean)[:, None].expand(-1, 3).flatten()
    rows = basis.flatten(1) * (face * NEAR / face.sum())
    return rows @ basis.flatten(1).T + torch.eye(len(basis)), rows, mean
