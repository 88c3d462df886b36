"""Sheets of random people, each from several sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from facemorph.engine.portrait_frames import framed
from facemorph.engine.step_noise import StepNoise
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.systems.varitex.generator import VariTexGenerator
from facemorph.systems.varitex.uv_faces import rendered_places

YAWS = (-45, -30, -15, 0, 15, 30, 45)  # degrees


@torch.no_grad()
def turned_people(
    generator: VariTexGenerator, model: MorphableModel, count: int, seed: int, spread: float
) -> Tensor:
    """A sheet ``(3, H, W)`` of random people at rest, each in a row, turned from -45 to 45 degrees.

    Args:
        generator: In evaluation mode.
        model: Morphable model of its places.
        count: How many people.
        seed: Decides who they are; each has its own.
        spread: Factor of the codes' and shapes' deviation from the mean.
    """
    side, device = generator.picture_size, generator.mean.weight.device
    neutral = FaceParameters.neutral(model, len(YAWS))
    turns = torch.deg2rad(torch.tensor(YAWS, dtype=torch.float32))
    rotation = torch.stack([torch.zeros_like(turns), turns, torch.zeros_like(turns)], 1)
    rows = []
    for person in range(count):
        noise = StepNoise(seed, person, torch.arange(1), 1)
        code = spread * noise.normal("code", sum(generator.code_sizes)).to(device)
        identity = spread * noise.normal("identity", model.num_identity)
        posed = replace(neutral, identity=identity.expand(len(YAWS), -1), rotation=rotation)
        places = rendered_places(model, framed(model, posed, side), side)
        output = generator.decode(code, *(one.to(device) for one in places))
        rows.append(list(output.picture))
    return sheet_of(rows)


def sheet_of(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Rows of pictures ``(3, S, S)`` as one ``(3, H, W)``, in [0, 1]."""
    return torch.cat([torch.cat(list(row), 2).float() for row in rows], 1).clamp(0, 1).cpu()
