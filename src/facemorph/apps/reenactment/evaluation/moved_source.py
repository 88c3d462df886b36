"""One photograph of a set, moved by the network and by what it is compared with."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from facemorph.apps.fitting.face_fitting import FittedFaces
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.faces.alignment import apply_affine, crop, fit_similarity, invert_affine
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.portraits.portrait_warp import PortraitWarp
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler
from facemorph.systems.gdpw.moved_portrait import MovedPortrait
from facemorph.systems.gdpw.small_system import SmallGDPW

TEXELS = 1024  # along a side of the photograph's texture


class MovedSource:
    """A photograph that each method moves to given parameters.

    Args:
        system: The trained reenactment.
        model: Its model.
        image: ``(3, S, S)`` in [0, 1].
        parameters: Of the head in it, one row.
    """

    def __init__(
        self, system: SmallGDPW, model: MorphableModel, image: Tensor, parameters: FaceParameters
    ) -> None:
        self.model, self.image, self.frame = model, image, Frame.of(image)
        self.view = self._view(parameters)
        fitted = FittedFaces.known(model, parameters, self.frame)
        self.texture = texture_of([fitted], [image], TEXELS)
        self.warp = PortraitWarp(model, image, self.view, self.texture)
        self.reenact = MovedPortrait(system.generator, model, image, parameters)

    @torch.no_grad()
    def animate(self, parameters: FaceParameters) -> Tensor:
        """The picture ``(3, S, S)`` that the mesh alone makes, as ``facemorph animate`` does."""
        return self.warp(self._view(parameters))

    @torch.no_grad()
    def animate_aligned(self, parameters: FaceParameters) -> Tensor:
        """The same, but the photograph is first shifted, turned and scaled as a whole, so that its
        head lies where the target's does: borders then move with the head.
        """
        target = self._view(parameters)
        own, wanted = (
            view.camera.project(self.model.landmarks(view.vertices)).pixels[0]
            for view in (self.view, target)
        )
        matrix = fit_similarity(wanted, own)
        image = crop(self.image, matrix, self.frame.width, mode="bicubic", padding="border")
        camera = moved_camera(self.view.camera, invert_affine(matrix))
        view = replace(self.view, camera=camera)
        return PortraitWarp(self.model, image.clamp(0, 1), view, self.texture)(target)

    def methods(self, parameters: FaceParameters) -> dict[str, Tensor]:
        """The pictures of all methods by their names, the photograph as it is among them."""
        return {
            "copy": self.image,
            "animate": self.animate(parameters),
            "animate_aligned": self.animate_aligned(parameters),
            "reenact": self.reenact(parameters),
        }

    def _view(self, parameters: FaceParameters) -> HeadView:
        return HeadView(vertices_of(self.model, parameters), camera_of(parameters, self.frame))


def moved_camera(camera: Camera, matrix: Tensor) -> Camera:
    """The weak-perspective camera that sees a head where a similarity carries its picture.

    Args:
        camera: Of one picture.
        matrix: ``(2, 3)`` from pixels of the picture to those of the moved one; no reflection.
    """
    scale = float(matrix[:, 0].norm())
    # Pixels count downwards, the head's frame upwards: the turn is the other way round there.
    roll = -torch.atan2(matrix[1, 0], matrix[0, 0])[None].to(camera.rotation)
    turn = rotation_from_euler(torch.zeros_like(roll), torch.zeros_like(roll), roll)
    return replace(
        camera,
        rotation=turn @ camera.rotation,
        origin=apply_affine(camera.origin, matrix),
        log_size=camera.log_size + math.log(scale),
    )
