"""How much the frames of a moved photograph change beyond the head's motion, against the video's
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.reenactment.evaluation.reenactment_measures import (
    REGIONS_SIDE,
    ReenactmentMeasures,
)
from facemorph.data.face_set import scaled
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.head_flow import MovedHead
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.systems.gdpw.small_generator import warp_clamped

LEAST = 1e-6  # of the video's own change


@dataclass(frozen=True)
class Shown:
    """A frame of a video, as each method makes it and as it is."""

    clip: str
    pictures: Mapping[str, Tensor]
    target: Tensor
    parameters: FaceParameters


class Flicker:
    """Compares each frame of a video with the one before it.

    That one is bent by the motion of the head; what then differs in the face, where both show it,
    is light, speech and noise in the video itself, and flicker besides in moved photographs. The
    frames are those of the set: neighbours of the video only where all of its frames were taken.

    Args:
        measures: Of the pictures.
    """

    def __init__(self, measures: ReenactmentMeasures) -> None:
        self.measures = measures
        self.before: Shown | None = None

    @torch.no_grad()
    def __call__(self, now: Shown) -> dict[str, float | None]:
        """The change of each method's pictures over that of the video; None for photographs and
        first frames.

        Args:
            now: The next frame.
        """
        before, self.before = self.before, now
        if before is None or not now.clip or before.clip != now.clip:
            return dict.fromkeys(now.pictures)
        head = MovedHead(
            self.measures.model, self._view(before.parameters), REGIONS_SIDE, self.measures.maps
        )
        moved = head(self._view(now.parameters))
        size = now.target.shape[-2:]
        flow = functional.interpolate(moved.flow, size, mode="bilinear", align_corners=False)
        seen = functional.interpolate(moved.visible, size, mode="nearest")[0, 0] > 0.5
        face = seen & self.measures.regions(now.parameters).face

        def change(first: Tensor, second: Tensor) -> float:
            bent = warp_clamped(first[None], flow)[0]
            return float((bent - second).abs().mean(0)[face].mean())

        own = max(change(before.target, now.target), LEAST)
        return {
            name: change(before.pictures[name], picture) / own
            for name, picture in now.pictures.items()
        }

    def _view(self, parameters: FaceParameters) -> HeadView:
        small = scaled(parameters, REGIONS_SIDE / self.measures.size)
        camera = camera_of(small, Frame(REGIONS_SIDE, REGIONS_SIDE))
        return HeadView(vertices_of(self.measures.model, small), camera)
