"""What is known of expressions before a face is seen: how far they go, and which go together."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel

LEFT, RIGHT = "Left", "Right"
TOGETHER = 0.8  # correlation of both sides of a face
# Names where left and right are directions, not sides.
DIRECTIONS = ("jaw", "mouth", "eyeLookIn", "eyeLookOut")
COMMON = {"mouthSmile": 2.0}  # how many times as far as other expressions


def expression_precision(model: MorphableModel, sigma: float) -> Tensor:
    """Inverse covariance ``(E, E)`` of a model's expressions: both sides of a face mostly do the
    same, and people smile more than they sneer.

    Without this a third of the width of a smile in a single photograph is taken for a wide mouth.
    Statistical expressions, which know no bounds, are independent.

    Args:
        model: The model.
        sigma: Standard deviation of an expression that is bounded; statistical ones have 1.
    """
    if not math.isfinite(model.expression_range[1]):
        return torch.eye(model.num_expression)
    names = list(model.expression_names)
    covariance = torch.eye(len(names))
    for row, name in enumerate(names):
        stem = name.removesuffix(LEFT)
        if stem != name and stem not in DIRECTIONS and stem + RIGHT in names:
            column = names.index(stem + RIGHT)
            covariance[row, column] = covariance[column, row] = TOGETHER
    spread = torch.tensor([sigma * _commonness(name) for name in names])
    return torch.linalg.inv(covariance * spread[:, None] * spread)


def _commonness(name: str) -> float:
    return next((much for start, much in COMMON.items() if name.startswith(start)), 1.0)
