"""A made-up performance: a head that speaks, looks around a little and blinks."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.synthetic.random_faces import indices_of
from facemorph.ops.filters import smoothstep
from facemorph.ops.rotations import rotation_from_euler, rotation_from_vector, vector_from_rotation

SECONDS = 4.0
# Shapes of the mouth that syllables are made of: expressions by name, at full strength.
SYLLABLES = (
    {"jawOpen": 0.55, "mouthUpperUp": 0.25, "mouthLowerDown": 0.3},  # a
    {"jawOpen": 0.2, "mouthStretch": 0.3, "mouthUpperUp": 0.3, "mouthLowerDown": 0.35},  # e
    {"jawOpen": 0.3, "mouthFunnel": 0.55},  # o
    {"jawOpen": 0.12, "mouthPucker": 0.7},  # u
    {"mouthPress": 0.5},  # m
)
RATE, REACH = 3.6, 0.75  # syllables a second, and how far each lasts, in their distance
PAUSE = (0.55, 0.68)  # of the time: the mouth is shut and smiles
SMILE = 0.55
BLINKS, BLINK = (0.22, 0.6, 0.93), 0.18  # shares of the time, and seconds that one lasts
SWAY = ((9.0, 0.5), (4.0, 0.8), (2.5, 0.35))  # degrees of yaw, pitch and roll, and hertz


def talk(
    model: MorphableModel,
    source: FaceParameters,
    frames_per_second: float = 25.0,
    seconds: float = SECONDS,
    seed: int = 0,
) -> FaceParameters:
    """A row for each frame; it begins and ends at the photograph.

    Args:
        model: The model; expressions that it lacks are left out.
        source: The head of the photograph, one row.
        frames_per_second: Its speed.
        seconds: How long it lasts.
        seed: Which syllables there are.
    """
    count = max(2, round(seconds * frames_per_second))
    share = torch.linspace(0, 1, count)
    expression = source.expression.expand(count, -1).clone()
    # What the photograph's own mouth does fades, so that syllables are not added to a smile.
    inside = smoothstep(share / 0.08) * smoothstep((1 - share) / 0.08)
    for index, name in enumerate(model.expression_names):
        if name.startswith(("mouth", "jaw")):
            expression[:, index] *= 1 - 0.8 * inside
    for names, strength in _performed(share, seconds, seed):
        for name, value in names.items():
            for index in indices_of(model, name):
                expression[:, index] += value * strength * inside
    low, high = model.expression_range
    angles = [
        math.radians(degrees) * torch.sin(2 * math.pi * hertz * share * seconds) * inside
        for degrees, hertz in SWAY
    ]
    rows = source[torch.zeros(count, dtype=torch.long)]
    turned = rotation_from_euler(*angles) @ rotation_from_vector(rows.rotation)
    return replace(
        rows,
        expression=expression.clamp(low, high),
        rotation=vector_from_rotation(turned),
    )


def _performed(share: Tensor, seconds: float, seed: int) -> list[tuple[dict[str, float], Tensor]]:
    """Expressions by name, and how strong they are in each frame."""
    draw = torch.Generator().manual_seed(seed)
    speaking = 1 - smoothstep((share - PAUSE[0]) / 0.03) * smoothstep((PAUSE[1] - share) / 0.03)
    found = []
    count = max(1, int(seconds * RATE))
    for number in range(count):
        chosen = int(torch.randint(len(SYLLABLES), (1,), generator=draw))
        loud = 0.7 + 0.3 * float(torch.rand(1, generator=draw))
        away = (share * count - number - 0.5).abs() / REACH
        shape = loud * (0.5 + 0.5 * torch.cos(math.pi * away.clamp(max=1)))
        found.append((SYLLABLES[chosen], shape * speaking))
    found.append(({"mouthSmile": SMILE}, 1 - speaking))
    for place in BLINKS:
        away = ((share - place) * seconds / (BLINK / 2)).abs()
        found.append(({"eyeBlink": 1.0}, 0.5 + 0.5 * torch.cos(math.pi * away.clamp(max=1))))
    return found
