"""Landmarks of the embedded head, seen from any side."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation

SIZE = 512


def marks(
    model: MorphableModel,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    seed: int | None = None,
    **expression: float,
) -> Tensor:
    """Landmarks ``(68, 2)`` of a head as a camera sees it in a picture of ``SIZE`` pixels.

    Args:
        model: The head.
        yaw: Degrees.
        pitch: Degrees.
        roll: Degrees.
        seed: Of a random identity; the mean one when None.
        expression: Strengths by name.
    """
    one = FaceParameters.neutral(model).with_expression(**expression)
    if seed is not None:
        draw = torch.Generator().manual_seed(seed)
        one = replace(one, identity=torch.randn(one.identity.shape, generator=draw))
    angles = torch.deg2rad(torch.tensor([[yaw], [pitch], [roll]]))
    one = replace(
        one,
        rotation=vector_from_rotation(rotation_from_euler(*angles)),
        origin=torch.full((1, 2), SIZE / 2),
        log_size=torch.tensor([math.log(SIZE / 400)]),
    )
    points = model.landmarks(vertices_of(model, one))
    return camera_of(one, Frame(SIZE, SIZE)).project(points).pixels[0]
