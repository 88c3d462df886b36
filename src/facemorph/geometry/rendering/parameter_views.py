"""Heads and cameras that face parameters tell."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from facemorph.errors import DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_vector


def vertices_of(model: MorphableModel, parameters: FaceParameters) -> Tensor:
    """Vertices ``(B, V, 3)`` of parameters.

    Raises:
        DataError: The parameters are those of another model.
    """
    if parameters.model != model.name:
        raise DataError(
            "these parameters belong to another model",
            where="parameters",
            expected=model.name,
            found=parameters.model,
            remedy=f"Give the model with --model {parameters.model}.",
        )
    joints = parameters.joints if bool(parameters.joints.any()) else None
    return model.vertices(parameters.identity, parameters.expression, joints)


def camera_of(parameters: FaceParameters, frame: Frame) -> Camera:
    """The camera of parameters in the frame that they were fitted in.

    Raises:
        DataError: Some are seen through a pinhole and some are not.
    """
    rotation = rotation_from_vector(parameters.rotation)
    pinhole = parameters.focal > 0
    if bool(pinhole.any()) and not bool(pinhole.all()):
        raise DataError(
            "these faces have different kinds of cameras", where="focal", expected="all 0, or none"
        )
    camera = Camera(rotation, parameters.origin, parameters.log_size)
    if not bool(pinhole.any()):
        return camera
    middle = parameters.origin.new_tensor([frame.width / 2, frame.height / 2]).expand_as(
        parameters.origin
    )
    return replace(camera, focal=parameters.focal, centre=middle)
