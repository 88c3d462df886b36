"""What a person's skin, eyes and hair are like, and plausible ones at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Coefficients of a skin, standard normal each.
Array = np.ndarray[Any, Any]
LIGHTEST, DARKEST = 0.08, 2.3  # melanin: very light to very dark skin
NAMES = (
    "melanin",
    "blood",
    "lips",
    "lip_blood",
    "brows",
    "beard",
    "cheeks",
    "nose",
    "under_eye",
    "forehead",
    "height",
    "width",
    "depth",
)
IRIS = np.array(
    [
        [0.22, 0.13, 0.08],
        [0.34, 0.20, 0.10],
        [0.44, 0.34, 0.18],
        [0.40, 0.44, 0.30],
        [0.36, 0.47, 0.56],
        [0.52, 0.58, 0.62],
    ],
    np.float32,
)  # dark brown, brown, hazel, green, blue, grey
HAIR = np.array(
    [
        [0.06, 0.05, 0.05],
        [0.16, 0.10, 0.07],
        [0.29, 0.19, 0.12],
        [0.50, 0.36, 0.22],
        [0.42, 0.20, 0.10],
        [0.62, 0.60, 0.58],
    ],
    np.float32,
)  # black, dark brown, brown, blond, red, grey
CLOTHES = np.array(
    [
        [0.15, 0.17, 0.22],
        [0.75, 0.75, 0.73],
        [0.20, 0.28, 0.42],
        [0.45, 0.14, 0.15],
        [0.25, 0.33, 0.24],
        [0.55, 0.52, 0.47],
        [0.10, 0.10, 0.10],
    ],
    np.float32,
)


@dataclass(frozen=True)
class Skin:
    """How a person looks, apart from the shape.

    Attributes:
        coefficients: By the names of ``NAMES``, standard normal.
        iris: Colour of the eyes ``(3,)``.
        hair: Colour of hair, brows and beard ``(3,)``.
        clothes: Colour ``(3,)``.
        hairline: Millimetres that the hair begins further down; -200 is bald.
        beard: 0 none or shaved light hair, 0.5 a shadow, 1 a short beard.
        freckles: 0 to 1.
        moles: How many.
        pupil: Radius in millimetres.
        seed: Of the noise.
    """

    coefficients: Mapping[str, float]
    iris: Array
    hair: Array
    clothes: Array
    hairline: float
    beard: float
    freckles: float
    moles: int
    pupil: float
    seed: int


def random_skin(random: np.random.Generator, melanin: float | None = None) -> Skin:
    """A plausible person's skin: all tones alike often; eyes and hair darker the darker
    the skin.

    Args:
        random: The random numbers.
        melanin: Its coefficient, where it is known.
    """
    values = {name: float(np.clip(random.standard_normal(), -2.2, 2.2)) for name in NAMES}
    if melanin is not None:
        values["melanin"] = melanin
    dark = (melanin_of(values["melanin"]) - LIGHTEST) / (DARKEST - LIGHTEST)
    fair = max(0.0, 1 - 2.2 * dark)
    iris = random.choice(6, p=_shares([1.0, 1.2, 0.9 * fair, 0.5 * fair, 1.1 * fair, 0.5 * fair]))
    hair = random.choice(6, p=_shares([0.8 + dark, 1.2, 1.2 * fair, 1.0 * fair, 0.25 * fair, 0.18]))
    man = random.random() < 0.5
    beard = float(
        random.choice(
            [0.0, random.uniform(0.15, 0.5), random.uniform(0.6, 1.0)], p=[0.3, 0.45, 0.25]
        )
    )
    bald = random.random() < (0.12 if man else 0.0)
    return Skin(
        values,
        _shifted(IRIS[iris], random, 0.04),
        _shifted(HAIR[hair], random, 0.03),
        _shifted(CLOTHES[random.integers(len(CLOTHES))], random, 0.05),
        -200.0 if bald else random.uniform(-10, 6),
        beard if man else 0.0,
        float(random.random() * fair) if random.random() < 0.35 else 0.0,
        int(random.poisson(1.2)),
        float(random.uniform(1.5, 2.5)),
        int(random.integers(2**31)),
    )


def _shares(weights: list[float]) -> list[float]:
    return [weight / sum(weights) for weight in weights]


def _shifted(colour: Array, random: np.random.Generator, spread: float) -> Array:
    result: Array = np.clip(
        colour * (1 + 2 * spread * random.standard_normal())
        + spread / 2 * random.standard_normal(3),
        0.03,
        0.85,
    ).astype(np.float32)
    return result


def melanin_of(coefficient: float) -> float:
    """Absorption of a standard normal coefficient: all from the lightest to the darkest skin are
    alike likely.
    """
    from scipy.special import ndtr

    return float(LIGHTEST + (DARKEST - LIGHTEST) * ndtr(coefficient) ** 1.15)
