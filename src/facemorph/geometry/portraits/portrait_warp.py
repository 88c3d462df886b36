"""A photograph that follows a head: the whole picture is bent smoothly with it, and the rendered
face laid over.

Inside the face the textured mesh is drawn, which knows what turning uncovers and has a mouth to
open; `PortraitMotion` says where all the rest goes.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.portraits.portrait_motion import HeadView, PortraitMotion
from facemorph.geometry.rendering.renders import MeshView, sample_texture
from facemorph.geometry.rendering.shaded_pictures import render_picture
from facemorph.ops.frames import edge_grid

DRAFT_GRID, DRAFT_POINTS = 24, 60  # places along the longer side and of the face, of a draft
# Pixels between the places where its plate, which is smooth, and its seam are evaluated.
PLATE_STEP, SEAM_STEP = 4, 2


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
        plate = self._plate(view)
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

    @torch.no_grad()
    def draft(self, target: HeadView) -> Tensor:
        """The same in a fraction of the time, for pages that follow a hand: the face has one sample
        for each pixel, the plate and the softness of the seam are evaluated at fewer places, and
        all of it is drawn in one compiled pass. On the CPU.
        """
        # Not at the top: numba is loaded where drafts are drawn.
        from facemorph.geometry.portraits.draft_numba import covered, draw

        view, motion = self.motion.look(target, draft=True), self.motion
        height, width = motion.size
        found, topology = view.fragments, self.model.topology
        mask, face, weights = (one[0].numpy() for one in (found.mask, found.face, found.weights))
        share = covered(mask, face, weights, view.faces.numpy(), motion.drawn.float().numpy())
        small = functional.avg_pool2d(torch.from_numpy(share)[None], SEAM_STEP)
        coarse = (height // PLATE_STEP, width // PLATE_STEP)
        flow = motion.bend(view, DRAFT_GRID, DRAFT_POINTS, coarse)[0]
        result = np.empty((height, width, 3), np.float32)
        draw(
            mask,
            face,
            weights,
            topology.faces_uv[motion.moving_faces].numpy(),
            topology.uv.float().numpy(),
            self._texture_rows,
            self._image_rows,
            flow.permute(1, 2, 0).contiguous().numpy(),
            share,
            motion.softened(small).permute(1, 2, 0).contiguous().numpy(),
            result,
        )
        return torch.from_numpy(result).permute(2, 0, 1)

    @cached_property
    def _image_rows(self) -> np.ndarray:
        return self.image.permute(1, 2, 0).float().contiguous().numpy()

    @cached_property
    def _texture_rows(self) -> np.ndarray:
        return self.texture.permute(1, 2, 0).float().contiguous().numpy()

    def _plate(self, view: MeshView) -> Tensor:
        """The photograph ``(3, H, W)`` bent as a whole."""
        size = self.motion.size
        flow = self.motion.bend(view).permute(0, 2, 3, 1) * 2
        at = edge_grid(*size, flow) + flow / flow.new_tensor([size[1], size[0]])
        return sample_texture(self.image[None], (at.permute(0, 3, 1, 2) + 1) / 2)[0]
