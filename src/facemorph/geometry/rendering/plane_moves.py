"""Turns, shifts, zooms and mirror images of pictures, and of the cameras that saw them: maps
rendered with a moved camera are exact, where a moved map is resampled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.shapes import check_shape

WHERE = "data.moves"


@dataclass(frozen=True)
class MoveRanges:
    """How far pictures are moved at most; all are drawn evenly.

    Attributes:
        turn: Degrees, either way.
        shift: Shares of the side, either way, in both directions.
        zoom: Largest factor, from 1 on.
        mirror: Whether half of the pictures are mirrored.

    Raises:
        ConfigError: A number is out of range.
    """

    turn: float = 15.0
    shift: float = 0.2
    zoom: float = 1.2
    mirror: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (("turn", 0, 180), ("shift", 0, 1), ("zoom", 1, 10)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    "out of range",
                    where=f"{WHERE}.{name}",
                    expected=f"{low} to {high}",
                    found=value,
                )


@dataclass(frozen=True)
class PlaneMoves:
    """One move for each of B square pictures: about the middle turned and zoomed, then shifted,
    then mirrored.

    Attributes:
        angle: ``(B,)`` radians, with the clock as one sees it.
        zoom: ``(B,)``.
        shift: ``(B, 2)`` shares of the side, right and down.
        mirrored: ``(B,)`` bool.
    """

    angle: Tensor
    zoom: Tensor
    shift: Tensor
    mirrored: Tensor

    @classmethod
    def drawn(cls, random: np.random.Generator, count: int, ranges: MoveRanges) -> Self:
        """Random moves.

        Args:
            random: What decides.
            count: B.
            ranges: How far.
        """
        numbers = torch.from_numpy(random.random((count, 5))).float()
        return cls(
            (2 * numbers[:, 0] - 1) * math.radians(ranges.turn),
            1 + numbers[:, 1] * (ranges.zoom - 1),
            (2 * numbers[:, 2:4] - 1) * ranges.shift,
            (numbers[:, 4] < 0.5) & ranges.mirror,
        )

    def __len__(self) -> int:
        """B."""
        return len(self.angle)

    def pictures(self, pictures: Tensor, *, whole: bool = False) -> Tensor:
        """Pictures moved, 0 where they do not reach.

        Args:
            pictures: ``(B, C, S, S)``.
            whole: Take the nearest pixel, for masks, numbers and places, which have no values
                between two pixels.

        Raises:
            DataError: These are not B pictures.
        """
        check_shape(pictures, f"{len(self)} C S S", "pictures")
        # From a pixel of the result back to one of the picture, in [-1, 1].
        back = self._rotation().transpose(1, 2) / self.zoom[:, None, None]
        offset = -(back @ (2 * self.shift)[:, :, None])
        flip = torch.where(self.mirrored, -1.0, 1.0)
        columns = torch.stack([back[:, :, 0] * flip[:, None], back[:, :, 1]], 2)
        theta = torch.cat([columns, offset], 2).to(pictures)
        grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
        mode = "nearest" if whole else "bilinear"
        return F.grid_sample(pictures, grid, mode, "zeros", align_corners=False)

    def camera(self, camera: Camera, side: float) -> Camera:
        """The camera that sees heads where moved pictures show them, but for mirror images: what it
        renders is to be mirrored by `mirror`.

        Args:
            camera: Of B heads.
            side: Of the pictures in pixels.
        """
        turn = torch.eye(3).repeat(len(self), 1, 1).to(camera.rotation)
        # y is up there and down here.
        turn[:, :2, :2] = self._rotation().transpose(1, 2)
        moved = replace(
            camera,
            rotation=turn @ camera.rotation,
            origin=self._points(camera.origin, side),
            log_size=camera.log_size + self.zoom.log(),
        )
        if camera.focal is None or camera.centre is None:
            return moved
        centre = self._points(camera.centre, side)
        return replace(moved, focal=camera.focal * self.zoom, centre=centre)

    def mirror(self, maps: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)``, those of mirrored pictures mirrored."""
        return torch.where(self.mirrored[:, None, None, None], maps.flip(-1), maps)

    def _rotation(self) -> Tensor:
        """``(B, 2, 2)`` of pixels, y down."""
        sine, cosine = self.angle.sin(), self.angle.cos()
        return torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)

    def _points(self, pixels: Tensor, side: float) -> Tensor:
        """Pixels ``(B, 2)`` moved, before they are mirrored."""
        turned = (self._rotation() @ (pixels - side / 2)[:, :, None])[:, :, 0]
        return side / 2 + self.zoom[:, None] * turned + side * self.shift
