"""Small made-up models of the families that edits meet."""

from __future__ import annotations

import math

import torch

from facemorph.geometry.models.morphable_model import (
    FaceTopology,
    MorphableModel,
    Skeleton,
    SurfacePoints,
)

VERTICES = 4


def small_model(name, expressions, joints=(), bounds=(0.0, 1.0)):
    """Two triangles, five identities, the expressions and joints that are asked for."""
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    topology = FaceTopology(
        faces,
        torch.rand(VERTICES, 2),
        faces,
        ("skin",),
        torch.zeros(2, dtype=torch.long),
        SurfacePoints(torch.zeros(68, 3, dtype=torch.long), torch.full((68, 3), 1 / 3)),
        masks={"face": torch.ones(VERTICES, dtype=torch.bool)},
    )
    skeleton = Skeleton(
        tuple(joints),
        (-1,) * len(joints),
        torch.randn(len(joints), 3),
        torch.zeros(5, len(joints), 3),
        torch.full((VERTICES, len(joints)), 0.2),
    )
    return MorphableModel(
        name,
        torch.randn(VERTICES, 3),
        torch.randn(5, VERTICES, 3),
        torch.randn(len(expressions), VERTICES, 3),
        expressions,
        topology,
        expression_range=bounds,
        skeleton=skeleton if joints else None,
    )


def flame_like():
    """Numbered expressions without bounds, and joints of jaw and eyes."""
    names = [f"expression_{number:03}" for number in range(1, 7)]
    joints = ("neck", "jaw", "eye_left", "eye_right")
    return small_model("flame2020", names, joints, (-math.inf, math.inf))


def ict_like():
    """Named expressions with ``_L`` and ``_R``, and no joints."""
    units = ("eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "mouthSmile")
    names = [f"{unit}_{side}" for unit in units for side in "LR"]
    return small_model("ict", [*names, "jawLeft", "jawOpen", "jawRight"])


def bfm_like():
    """Numbered expressions without bounds, and no joints."""
    return small_model("bfm2017", ["expression_001", "expression_002"], (), (-math.inf, math.inf))
