"""A photograph of a head that is turned to the side, as if taken from the front.

The portrait warp turns the head; what it uncovers is the mirror image of the side that the
photograph shows, skin, ear and hair alike: a head seen from the front is nearly symmetric.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.portraits.portrait_warp import PortraitWarp
from facemorph.geometry.textures.texture_completion import complete_texture
from facemorph.geometry.textures.unprojection import unproject
from facemorph.ops.blending import blend_multiband
from facemorph.ops.frames import edge_grid
from facemorph.ops.rotations import euler_from_rotation, rotation_from_euler

TEXTURE = 1024
ENLARGED = 2  # times, before the texture is taken: lids and lips are a few pixels wide
# Degrees to the camera of the photograph between which skin is too much at a slant to be used: in
# the turned picture, these minus the turn.
SLANT = (45.0, 60.0)
SOFT = 0.15  # width of the seam at least, in halves of the face's width
BANDS = 3  # of the seam: more would spread what is beyond the face
REACH = (2.0, 2.6)  # from the middle of the face, in halves of its width: hair and ears
MIDDLE = (27, 28, 29, 30, 33, 51, 62, 66, 57, 8)  # landmarks on the line that halves a face
BELOW = (0.02, 0.25)  # the chin, in the same unit: the neck stays
NARROWER = 0.55  # of the reach, lost from the root of the nose to the chin: collars stay


@dataclass(frozen=True)
class PosedHead:
    """A head in a photograph.

    Attributes:
        view: Its surface and camera.
        angles: Yaw, pitch and roll in degrees; a positive yaw is a turn to the right of the
            picture.
    """

    view: HeadView
    angles: tuple[float, float, float]


def pose_of(model: MorphableModel, landmarks: Tensor, source: str = "embedded") -> PosedHead:
    """The head that fits landmarks.

    Args:
        model: The model.
        landmarks: ``(68, 2)`` iBUG landmarks in pixels.
        source: Whose they are, for the calibration.

    Raises:
        GeometryError: The landmarks determine no pose.
    """
    fit = LandmarkFitter(model, None, detector_offsets(model, source))(landmarks[None].float())
    vertices = model.vertices(fit.identity, fit.expression, fit.joints)
    yaw, pitch, roll = torch.rad2deg(euler_from_rotation(fit.camera.rotation)[0]).tolist()
    return PosedHead(HeadView(vertices, fit.camera), (yaw, pitch, roll))


class FrontalPortrait:
    """A photograph whose head can be turned to the front.

    Args:
        model: The model.
        image: ``(3, H, W)`` in [0, 1].
        head: The head in it, of ``pose_of``.
    """

    @torch.no_grad()
    def __init__(self, model: MorphableModel, image: Tensor, head: PosedHead) -> None:
        self.head = head
        fine = functional.interpolate(
            image[None], scale_factor=ENLARGED, mode="bicubic", antialias=True
        )[0].clamp(0, 1)
        near = head.view.camera.scaled(ENLARGED)
        texture = unproject(model, head.view.vertices[0], near, fine, TEXTURE)
        self.warp = PortraitWarp(model, image, head.view, complete_texture(model, texture))

    @torch.no_grad()
    def turned(self, yaw: float = 0.0, pitch: float | None = None) -> Tensor:
        """The photograph ``(3, H, W)`` with its head turned; its hidden side is still to be
        mirrored.

        Args:
            yaw: Degrees to the side afterwards.
            pitch: Degrees that it nods afterwards; its own when None. The roll stays.
        """
        _, own, roll = self.head.angles
        angles = torch.tensor([yaw, own if pitch is None else pitch, roll]).deg2rad()
        view = self.head.view
        camera = replace(view.camera, rotation=rotation_from_euler(*angles[:, None]))
        return self.warp(HeadView(view.vertices, camera))


@torch.no_grad()
def mirrored_side(picture: Tensor, landmarks: Tensor, yaw: float) -> Tensor:
    """A head from the front with the side that a photograph hid replaced by the mirror image of the
    other.

    Args:
        picture: ``(3, H, W)`` in [0, 1], of ``FrontalPortrait.turned``.
        landmarks: ``(68, 2)`` iBUG landmarks in it; those of the hidden side do not matter.
        yaw: Degrees that the head was turned to the right of the photograph.

    Returns:
        ``(3, H, W)``.
    """
    marks = landmarks.float()
    middle, down = _middle_line(marks)
    across = torch.stack([down[1], -down[0]])  # to the right of the picture,
    across = across if yaw > 0 else -across  # or the left: to the side that was hidden
    seen = marks[0 if yaw > 0 else 16]
    half = float((middle - seen) @ across)
    height, width = picture.shape[1:]
    places = (edge_grid(height, width, picture)[0] + 1) / 2
    places = places * places.new_tensor([width, height])
    side = (places - middle) @ across / half
    low, high = (math.sin(math.radians(max(one - abs(yaw), 2.0))) for one in SLANT)
    from_middle = (places - middle).norm(dim=-1) / half
    below = (places - marks[8]) @ down / half
    lower = _rise((places - marks[27]) @ down, 0.0, float((marks[8] - marks[27]) @ down))
    from_middle = from_middle / (1 - NARROWER * lower)
    weight = _rise(side, low, max(high, low + SOFT))
    weight = weight * (1 - _rise(from_middle, *REACH)) * (1 - _rise(below, *BELOW))
    at = places - 2 * (side * half)[..., None] * across
    at = at / at.new_tensor([width, height]) * 2 - 1
    other = functional.grid_sample(
        picture[None], at[None], mode="bicubic", padding_mode="border", align_corners=False
    )
    return blend_multiband(picture[None], other.clamp(0, 1), weight[None, None], BANDS)[0]


def _middle_line(marks: Tensor) -> tuple[Tensor, Tensor]:
    """A point of the line that halves a face from the front, and its direction down."""
    line = marks[list(MIDDLE)]
    middle = line.mean(0)
    down = torch.linalg.svd(line - middle, full_matrices=False)[2][0]
    return middle, down if float(down @ (line[-1] - line[0])) > 0 else -down


def _rise(value: Tensor, low: float, high: float) -> Tensor:
    """From 0 at ``low`` to 1 at ``high``, smoothly."""
    share = ((value - low) / (high - low)).clamp(0, 1)
    return share * share * (3 - 2 * share)
