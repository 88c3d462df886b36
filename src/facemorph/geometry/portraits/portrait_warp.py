"""A photograph that follows a head: the whole picture is bent smoothly with it, and the rendered
face laid over.

Inside the face the textured mesh is drawn, which knows what turning uncovers and has a mouth to
open; `PortraitMotion` says where all the rest goes.
"""

from __future__ import annotations

from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.portraits.portrait_motion import HeadView, PortraitMotion
from facemorph.geometry.rendering.renders import sample_texture
from facemorph.geometry.rendering.shaded_pictures import render_picture
from facemorph.ops.frames import edge_grid


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
        flow = self.motion.bend(view).permute(0, 2, 3, 1) * 2
        at = edge_grid(*size, flow) + flow / flow.new_tensor([size[1], size[0]])
        plate = sample_texture(self.image[None], (at.permute(0, 3, 1, 2) + 1) / 2)[0]
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
