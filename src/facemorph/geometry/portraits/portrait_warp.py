"""A photograph that follows a head: the whole picture is bent smoothly with it, and the rendered
face laid over.

Inside the face the textured mesh is drawn, which knows what turning uncovers and has a mouth to
open; `PortraitMotion` says where all the rest goes.
"""

from __future__ import annotations

from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.portraits.portrait_motion import GRID, HeadView, PortraitMotion
from facemorph.geometry.rendering.renders import MeshView, sample_texture
from facemorph.geometry.rendering.shaded_pictures import render_picture, shaded_view
from facemorph.ops.frames import edge_grid

DRAFT_GRID = 24  # places along the longer side, of a draft


class PortraitWarp:
    """A photograph of a head that can be moved.

    Args:
        model: The model.
        image: ``(3, H, W)`` in [0, 1].
        source: The head in it.
        texture: ``(3, S, S)`` its texture.
    """

    def __init__(
        self, model: MorphableModel, image: Tensor, source: HeadView, texture: Tensor
    ) -> None:
        self.model, self.image, self.texture = model, image, texture
        self.motion = PortraitMotion(model, source, (image.shape[1], image.shape[2]))

    def __call__(self, target: HeadView) -> Tensor:
        """The photograph ``(3, H, W)`` with the head of ``target``."""
        size = self.motion.size
        view = self.motion.look(target)
        plate = self._plate(view, GRID)
        face = render_picture(
            target.vertices,
            self.model.topology,
            target.camera,
            size,
            self.texture[None],
            supersample=2,
        )
        share = self.motion.share(view)
        return (plate + share * (face.colour[0] / face.alpha[0].clamp(min=1e-3) - plate)).clamp(
            0, 1
        )

    def draft(self, target: HeadView) -> Tensor:
        """The same in a third of the time, for pages that follow a hand: the face has one sample
        for each pixel, and the plate is evaluated at fewer places.
        """
        view = self.motion.look(target)
        plate = self._plate(view, DRAFT_GRID)
        face = shaded_view(view, self.model.topology, self.texture[None])[0]
        return (plate + self.motion.share(view) * (face - plate)).clamp(0, 1)

    def _plate(self, view: MeshView, grid: int) -> Tensor:
        """The photograph ``(3, H, W)`` bent as a whole."""
        size = self.motion.size
        flow = self.motion.bend(view, grid).permute(0, 2, 3, 1) * 2
        at = edge_grid(*size, flow) + flow / flow.new_tensor([size[1], size[0]])
        return sample_texture(self.image[None], (at.permute(0, 3, 1, 2) + 1) / 2)[0]
