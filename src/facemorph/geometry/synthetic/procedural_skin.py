"""Skin, eyes, brows, beard and hair of people who do not exist, without any photograph.

The colour of the skin is that of light which passes the melanin of the outer skin twice and comes
back from the blood of the inner one (after Donner and Jensen 2006, with absorptions read off light
to dark skin in sRGB):

    linear RGB = DERMIS exp(-blood HAEMOGLOBIN) exp(-melanin MELANIN) + SURFACE

Everything else is placed by ``skin_fields``. The same colours are a linear basis at the vertices,
``skin_basis``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.synthetic.random_skin import (
    HAIR,
    IRIS,
    NAMES,
    Skin,
    melanin_of,
)
from facemorph.geometry.synthetic.skin_fields import (
    EYE,
    SKIN,
    TEETH,
    TONGUE,
    SkinFields,
    smooth_step,
    texel_fields,
    vertex_fields,
)

Array = np.ndarray[Any, Any]
DERMIS = np.array([0.80, 0.555, 0.445], np.float32)
HAEMOGLOBIN = np.array([0.10, 0.42, 0.36], np.float32)
MELANIN = np.array([1.0, 1.42, 1.80], np.float32)
SURFACE = 0.012
GAMMA = 1 / 2.2


def tone(melanin: Array | float, blood: Array | float) -> Array:
    """SRGB colours ``(..., 3)`` of skin from its absorptions; blood 0 is average."""
    melanin, blood = (
        np.asarray(melanin, np.float32)[..., None],
        np.asarray(blood, np.float32)[..., None],
    )
    linear = DERMIS * np.exp(-blood * HAEMOGLOBIN - melanin * MELANIN) + SURFACE
    result: Array = np.power(linear, np.float32(GAMMA))
    return result


def even_skin(
    fields: SkinFields,
    values: Mapping[str, float],
    noise: Mapping[str, Array] | None = None,
    freckles: float = 0.0,
) -> Array:
    """Colours ``(P, 3)`` of skin and lips, without hair: what the coefficients say, plus noise.

    Args:
        fields: Where what is.
        values: Coefficients by ``NAMES``.
        noise: Standard normal fields ``(P,)``: ``large``, ``small``, ``freckles``; None is none.
        freckles: How strong they are.
    """
    melanin = melanin_of(values["melanin"])
    lips = fields["lips"]
    x, y, z = (fields.place / np.array([45.0, 60.0, 60.0], np.float32)).T
    low = (
        values["height"] * np.sin(np.clip(y, -1.5, 1.5))
        + values["width"] * np.cos(1.5 * np.clip(x, -2, 2))
        + values["depth"] * np.sin(np.clip(z, -1.5, 1.5))
    )
    brown = 1 + 0.05 * low + fields["under_eye"] * (0.16 + 0.08 * values["under_eye"])
    brown = (
        brown
        + fields["eyelid"] * 0.12
        + fields["forehead"] * 0.04 * values["forehead"]
        + fields["lip_rim"] * 0.04
    )
    red = (
        0.25 * values["blood"]
        + 0.06 * low
        + fields["cheek"] * (0.40 + 0.32 * values["cheeks"])
        + (fields["nose"] + fields["wing"]) * (0.34 + 0.2 * values["nose"])
        + fields["ears"] * 0.3
        + fields["under_eye"] * 0.2
        + fields["chin"] * 0.12
        + fields["eyelid"] * 0.15
        + fields["lashes"] * 0.4
    )
    red = red + lips * (1.25 + 0.35 * values["lip_blood"] - 0.7 * red)
    brown = brown + lips * (0.06 + 0.12 * values["lips"]) + fields["upper_lip"] * 0.16
    amount = melanin * brown + lips * 0.06 + 0.03 * fields["crease"] + 0.05 * fields["under_eye"]
    if noise is not None:
        amount = amount * (1 + 0.045 * noise["large"]) + (0.022 + 0.014 * melanin) * noise[
            "small"
        ] * (1 - 0.5 * lips)
        red = red + 0.09 * noise["large"] * np.float32(0.7) + 0.035 * noise["small"]
        face = np.maximum(np.maximum(fields["cheek"], fields["nose"]), 0.5 * fields["forehead"])
        amount = amount + freckles * smooth_step(1.3, 2.2, noise["freckles"]) * face * 0.8
    return tone(amount, red)


def _hair_cover(fields: SkinFields, values: Mapping[str, float]) -> dict[str, Array]:
    """Share of each point that brows cover, from the coefficients."""
    return {"brow": fields["brow"] * np.float32(np.clip(0.62 + 0.13 * values["brows"], 0.3, 0.95))}


@lru_cache(maxsize=2)
def skin_basis(model: MorphableModel) -> tuple[Tensor, Tensor]:
    """The skin as a linear model at the vertices, for ``photometric_fit.refine_by_picture``.

    Kept for the next call, as sets of photographs ask once for each: not to be changed.

    Args:
        model: Any model with landmarks.

    Returns:
        Mean ``(V, 3)`` in [0, 1] and basis ``(A, V, 3)``, one standard deviation of each of
        ``NAMES``: half of the difference between the skins of coefficients 1 and -1. The melanin is
        so coarsely linear.
    """
    fields = vertex_fields(model)
    zero = dict.fromkeys(NAMES, 0.0)
    mean = _plain(fields, zero)
    basis = [
        (_plain(fields, {**zero, name: 1.0}) - _plain(fields, {**zero, name: -1.0})) / 2
        for name in NAMES
    ]
    return torch.from_numpy(mean).float(), torch.from_numpy(np.stack(basis)).float()


def _plain(fields: SkinFields, values: Mapping[str, float]) -> Array:
    """Colours at the vertices without noise; average hair, eyes and teeth."""
    skin = even_skin(fields, values)
    cover = _hair_cover(fields, values)["brow"][:, None]
    skin = skin + (HAIR[1] - skin) * cover
    shadow = (
        fields["beard"]
        * (1 - fields["lips"])
        * np.float32(np.clip(0.12 + 0.12 * values["beard"], 0, 0.9))
    )
    skin = skin + (HAIR[1] - skin) * shadow[:, None]
    skin = _occluded(fields, skin)
    skin[fields.part == EYE] = _plain_eyes(fields)
    for code, colour in (
        (TEETH, (0.80, 0.76, 0.68)),
        (TONGUE, (0.55, 0.32, 0.30)),
    ):
        skin[fields.part == code] = colour
    return skin


def _plain_eyes(fields: SkinFields) -> Array:
    """Colours of the eyes' vertices: the white, a brown iris and a pupil, as far as a coarse mesh
    shows them.
    """
    here = fields.part == EYE
    radius = np.hypot(*fields.iris[here].T)
    middle = np.median(fields.place[here, 2]) if here.any() else 0.0
    front = (fields.place[here, 2] > middle).astype(np.float32)
    eye = np.tile(np.array([0.62, 0.58, 0.56], np.float32), (len(radius), 1))
    eye += (IRIS[1] - eye) * (smooth_step(6.0, 5.4, radius) * front)[:, None]
    eye += (0.03 - eye) * (smooth_step(3.4, 1.6, radius) * front)[:, None]
    return eye


def _occluded(fields: SkinFields, colour: Array) -> Array:
    """Cavities darker, redder as the light in them has met skin before; the inside of the mouth
    darkest.
    """
    hidden = smooth_step(0.25, 0.95, fields["occlusion"])
    strength = np.array([0.45, 0.58, 0.60], np.float32)
    colour = colour * (1 - hidden[:, None] * strength)
    mouth = smooth_step(0.2, 1.0, fields["inside_mouth"])[:, None]
    deep = np.array([0.30, 0.12, 0.11], np.float32) * (0.4 + 0.6 * (1 - hidden[:, None]))
    colour = colour + (deep - colour) * mouth
    result: Array = colour * (1 - 0.35 * fields["socket"][:, None])
    return result


def skin_texture(model: MorphableModel, skin: Skin, size: int = 512) -> Tensor:
    """The texture map of a person.

    Args:
        model: Any model with landmarks; with masks (``ears``, ``inside_mouth``, ``eye_left`` ...)
            it is better.
        skin: The person.
        size: Texels along each side.

    Returns:
        ``(3, size, size)`` in [0, 1]; the same for the same arguments.
    """
    fields = texel_fields(model, size)
    random = np.random.default_rng(skin.seed)
    noise = {
        "large": _noise(random, size, 14),
        "small": _noise(random, size, size // 2) * 0.6 + _noise(random, size, 90) * 0.6,
        "freckles": _noise(random, size, int(size / 3.2)),
    }
    colour = even_skin(fields, skin.coefficients, noise, skin.freckles)
    _add_moles(fields, colour, skin.moles, random)
    _add_hair(fields, colour, skin, size, random)
    colour = _occluded(fields, colour)
    lashes = (
        np.clip(fields["lashes"] * 0.85, 0, 1)[:, None]
        * (1 - smooth_step(0.3, 0.8, fields["socket"]))[:, None]
    )
    colour += (skin.hair * 0.35 + 0.02 - colour) * lashes
    _add_clothes(fields, colour, skin, noise)
    _paint_mouth(fields, colour, random)
    _paint_eyes(fields, colour, skin, random)
    return torch.from_numpy(np.clip(colour.T.reshape(3, size, size), 0, 1).astype(np.float32))


def dress(
    model: MorphableModel, colour: Array, skin: Skin, size: int, random: np.random.Generator
) -> Tensor:
    """A texture map of bare skin with hair, lashes, clothes, mouth and eyes.

    Args:
        model: Any model with landmarks.
        colour: ``(size * size, 3)`` of the skin, with brows and beard.
        skin: The person.
        size: Texels along each side.
        random: The random numbers.

    Returns:
        ``(3, size, size)`` in [0, 1].
    """
    fields, colour = texel_fields(model, size), colour.astype(np.float32)
    noise = {name: _noise(random, size, cells) for name, cells in (("large", 14), ("small", 90))}
    _add_scalp_hair(fields, colour, skin, size, _noise(random, size, size), random)
    lashes = 0.5 * fields["lashes"] * (1 - smooth_step(0.3, 0.8, fields["socket"]))
    colour += (skin.hair * 0.35 + 0.02 - colour) * lashes[:, None]
    _add_clothes(fields, colour, skin, noise)
    _paint_mouth(fields, colour, random)
    _paint_eyes(fields, colour, skin, random)
    return torch.from_numpy(np.clip(colour.T.reshape(3, size, size), 0, 1).astype(np.float32))


def surface_noise(random: np.random.Generator, size: int) -> Array:
    """Fine noise ``(size * size,)`` of standard deviation about 1, as skin has."""
    return 0.6 * _noise(random, size, size // 2) + 0.6 * _noise(random, size, 90)


def _noise(random: np.random.Generator, size: int, cells: int, rows: int | None = None) -> Array:
    """Smooth noise ``(size * size,)`` of standard deviation 1, with so many bumps across and down
    the map.
    """
    lattice = random.standard_normal((rows or cells, cells), dtype=np.float32)
    field = cv2.resize(lattice, (size, size), interpolation=cv2.INTER_CUBIC).ravel()
    return (field - field.mean()) / field.std()


def _add_moles(fields: SkinFields, colour: Array, count: int, random: np.random.Generator) -> None:
    front = np.flatnonzero(
        (fields["front"] > 0.6)
        & (fields.part == SKIN)
        & (fields["lips"] == 0)
        & (fields["socket"] == 0)
        & (fields["lashes"] < 0.1)
        & (fields["inside_mouth"] == 0)
    )
    for place in random.choice(front, count):
        distance = np.linalg.norm(fields.place - fields.place[place], axis=1)
        radius = random.uniform(0.7, 1.5)
        near = distance < 2 * radius
        colour[near] *= 1 - 0.55 * smooth_step(radius * 1.4, radius * 0.6, distance[near])[:, None]


def _add_hair(
    fields: SkinFields, colour: Array, skin: Skin, size: int, random: np.random.Generator
) -> None:
    """Beard, brows of single strokes, and short hair with an uneven hair line."""
    grain = _noise(random, size, size)
    lips = 1 - smooth_step(0.0, 0.5, fields["lips"] + 0.6 * fields["lip_rim"])
    beard = fields["beard"] * lips * (0.75 + 0.12 * _noise(random, size, 40))
    if skin.beard > 0:
        cover = np.clip(beard * skin.beard * (0.55 + 0.22 * grain), 0, 0.92)[:, None]
        colour += (skin.hair * 0.8 + 0.02 - colour) * cover
    values = skin.coefficients
    cover = _hair_cover(fields, values)["brow"]
    strokes = brow_strokes(fields, size, random)
    cover = np.clip(cover * (0.25 + 0.95 * strokes), 0, 0.95)[:, None]
    colour += (np.minimum(skin.hair * 0.75, 0.85 * colour) - colour) * cover
    _add_scalp_hair(fields, colour, skin, size, grain, random)


def _add_scalp_hair(
    fields: SkinFields,
    colour: Array,
    skin: Skin,
    size: int,
    grain: Array,
    random: np.random.Generator,
) -> None:
    """Short hair with an uneven hair line."""
    streaks = 0.6 * _noise(random, size, size // 3, 12) + 0.5 * grain
    line = (
        (fields["hair"] - 0.5) * 60 + skin.hairline + 1.6 * _noise(random, size, 24) + 1.8 * streaks
    )
    full = smooth_step(-5, 9, line) * 0.97
    strand = np.clip(1 + 0.20 * streaks, 0.4, 1.8)[:, None] * skin.hair
    bald = 0.25 * smooth_step(0.45, 0.9, fields["hair"]) if skin.hairline < -100 else full
    colour += (strand - colour) * bald[:, None]


def brow_strokes(fields: SkinFields, size: int, random: np.random.Generator) -> Array:
    """Hairs of both brows, ``(size * size,)`` in [0, 1]: each leans from the nose
    outwards and up.
    """
    canvas = np.zeros((size, size), np.uint8)
    for sign in (1, -1):
        inside = np.flatnonzero((fields["brow"] > 0.25) & (fields.place[:, 0] * sign > 0))
        roots = random.choice(inside, min(len(inside), 260))
        along, across = fields["brow_along"][roots], fields["brow_across"][roots]
        lean = np.radians(75 - 70 * along - 40 * (across - 0.4)) + 0.15 * random.standard_normal(
            len(roots)
        )
        length = size / 512 * random.uniform(5, 10, len(roots))
        row, column = np.divmod(roots, size)
        start = np.stack([column, row], 1) + random.uniform(0, 1, (len(roots), 2))
        end = start + length[:, None] * np.stack([np.cos(lean) * sign, -np.sin(lean)], 1)
        lines = np.round(np.stack([start, end], 1) * 16).astype(np.int32)
        cv2.polylines(canvas, list(lines), False, 255, 1, cv2.LINE_AA, 4)
    return (cv2.GaussianBlur(canvas, (0, 0), 0.45 * size / 512).ravel() / 255).astype(np.float32)


def _add_clothes(fields: SkinFields, colour: Array, skin: Skin, noise: Mapping[str, Array]) -> None:
    depth = (fields["clothes"] - 0.5) * 60
    cover = smooth_step(-0.8, 0.8, depth)[:, None]
    fabric = skin.clothes * (1 + 0.05 * noise["small"] + 0.05 * noise["large"])[:, None]
    colour *= 1 - 0.25 * np.exp(-np.square(depth / 4))[:, None] * (1 - cover)
    colour += (fabric - colour) * cover


def _paint_mouth(fields: SkinFields, colour: Array, random: np.random.Generator) -> None:
    white = np.array([0.86, 0.82, 0.74], np.float32) * random.uniform(0.88, 1.05)
    for code, own in ((TEETH, white), (TONGUE, np.array([0.60, 0.33, 0.32], np.float32))):
        here = fields.part == code
        if here.any():
            z = fields.place[here, 2]
            shade = np.clip(1 - (z.max() - z) / 45, 0.25, 1)[:, None]
            colour[here] = own * shade


def _paint_eyes(fields: SkinFields, colour: Array, skin: Skin, random: np.random.Generator) -> None:
    """Pupil, iris with fibres and limbus, and the white, with a small reflection of a lamp."""
    here = np.flatnonzero(fields.part == EYE)
    if not len(here):
        return
    x, y = fields.iris[here].T
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    outer = random.uniform(5.1, 5.7)
    fibres = (
        sum(
            random.uniform(0.4, 1) * np.sin(count * angle + random.uniform(0, 6.3))
            for count in random.integers(9, 60, 8)
        )
        / 4
    )
    ring = np.clip((radius - skin.pupil) / (outer - skin.pupil), 0, 1)
    iris = (
        skin.iris
        * (1.15 - 0.25 * ring + 0.16 * fibres + 0.25 * np.exp(-(((ring - 0.2) / 0.15) ** 2)))[
            :, None
        ]
    )
    iris *= (1 - 0.6 * smooth_step(0.72, 1.0, ring))[:, None]
    white = np.array([0.76, 0.73, 0.71], np.float32) * random.uniform(0.9, 1.02)
    rosy = np.array([0.0, 0.09, 0.10], np.float32) * smooth_step(7, 14, np.abs(x))[:, None]
    white = (white - rosy) * (
        1 - 0.3 * smooth_step(1, 8, y) - 0.25 * smooth_step(9, 14, np.abs(x))
    )[:, None]
    mix = smooth_step(outer + 0.35, outer - 0.35, radius)[:, None]
    eye = white + (iris * (1 - 0.25 * smooth_step(1, 6, y))[:, None] - white) * mix
    pupil = smooth_step(skin.pupil + 0.25, skin.pupil - 0.25, radius)[:, None]
    eye += (0.02 - eye) * pupil
    lamp = np.hypot(x - random.uniform(-2.5, 2.5), y - random.uniform(1.4, 2.6))
    size = random.uniform(0.6, 1.0)
    colour[here] = eye + (0.95 - eye) * 0.9 * smooth_step(size + 0.35, size - 0.2, lamp)[:, None]
