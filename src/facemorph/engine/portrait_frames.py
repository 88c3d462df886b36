"""Heads placed as generators of portraits know them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from facemorph.faces.alignment import ffhq_quad
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.ops.rotations import rotation_from_vector


def framed(model: MorphableModel, parameters: FaceParameters, size: int) -> FaceParameters:
    """The same heads placed as the crops of FFHQ place faces, without leveling them.

    Args:
        model: The model.
        parameters: Of weak perspective.
        size: Side of the picture in pixels.
    """
    zero = torch.zeros(len(parameters))
    placed = replace(parameters, log_size=zero, origin=torch.zeros(len(parameters), 2))
    rotation = rotation_from_vector(placed.rotation)
    camera = Camera(rotation, placed.origin, placed.log_size)
    points = camera.project(model.landmarks(vertices_of(model, placed))).pixels
    origins, sizes = [], []
    for face in points:
        centre, half = ffhq_quad(face, "ibug68", rotate=False)
        scale = size / (2 * float(half.norm()))
        sizes.append(math.log(scale))
        origins.append(size / 2 - centre.float() * scale)
    return replace(placed, origin=torch.stack(origins), log_size=torch.tensor(sizes))
