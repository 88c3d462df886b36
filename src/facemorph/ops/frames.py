"""Picture frames and their coordinates.

Two coordinate systems, both x right and y down:

* *pixels*: 0 at the left/top edge of the picture, so that the centre of pixel i is at i + 0.5;
* *field coordinates*: the centre of the frame is the origin and half of its **longer** side is 1.
  For a square frame of N pixels the centre of pixel i is at (2i + 1)/N - 1, as everywhere in the
  package. On other frames they are isotropic, so that nothing bends or blurs differently along x
  and y.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.errors import ConfigError


@dataclass(frozen=True)
class Frame:
    """A picture frame of ``height`` x ``width`` pixels."""

    height: int
    width: int

    @classmethod
    def of(cls, image: Tensor) -> Frame:
        """Frame of an image ``(..., H, W)``."""
        return cls(int(image.shape[-2]), int(image.shape[-1]))

    def scaled_to(self, longer_side: int) -> Frame:
        """The frame of the same shape whose longer side has so many pixels.

        Raises:
            ConfigError: ``longer_side`` is not 1 to 65536.

        >>> Frame(300, 400).scaled_to(200)
        Frame(height=150, width=200)
        """
        if not 1 <= longer_side <= 65536:
            raise ConfigError(
                "the picture has an unusable size",
                where="size",
                expected="1 to 65536 pixels",
                found=longer_side,
            )
        scale = longer_side / max(self.height, self.width)
        return Frame(max(1, round(self.height * scale)), max(1, round(self.width * scale)))

    @property
    def half_extent(self) -> float:
        """Half of the longer side in pixels: one unit of field coordinates."""
        return max(self.height, self.width) / 2

    def from_pixels(self, pixels: Tensor) -> Tensor:
        """Pixels ``(..., 2)`` to field coordinates ``(..., 2)``.

        >>> Frame(4, 8).from_pixels(torch.tensor([[4.0, 2.0], [8.0, 4.0]]))
        tensor([[0.0000, 0.0000],
                [1.0000, 0.5000]])
        """
        return (pixels - pixels.new_tensor([self.width / 2, self.height / 2])) / self.half_extent

    def to_pixels(self, xy: Tensor) -> Tensor:
        """Field coordinates ``(..., 2)`` to pixels ``(..., 2)``."""
        return xy * self.half_extent + xy.new_tensor([self.width / 2, self.height / 2])

    def pixel_centres(
        self, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
    ) -> Tensor:
        """Field coordinates ``(H, W, 2)`` of all pixel centres."""
        x = (
            torch.arange(self.width, dtype=torch.float64) + 0.5 - self.width / 2
        ) / self.half_extent
        y = (
            torch.arange(self.height, dtype=torch.float64) + 0.5 - self.height / 2
        ) / self.half_extent
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        return grid.to(device=device, dtype=dtype)

    def border_anchors(self, per_side: int = 4) -> Tensor:
        """Points on the frame's border in field coordinates ``(4 per_side, 2)``, corners
        included.
        """
        half = torch.tensor([self.width, self.height], dtype=torch.float64) / (2 * self.half_extent)
        corners = (
            torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
            * half
        )
        steps = torch.linspace(0, 1, per_side + 1, dtype=torch.float64)[:-1, None]
        return torch.cat(
            [a + steps * (b - a) for a, b in zip(corners, corners.roll(-1, 0), strict=True)]
        )


def edge_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Centres of a picture's pixels ``(1, H, W, 2)``, x and y, in [-1, 1] from edge to edge, as
    ``grid_sample`` wants them without ``align_corners``.

    Args:
        height: H.
        width: W.
        like: Tensor whose type and device to take.
    """
    y, x = (
        (2 * torch.arange(size, dtype=like.dtype, device=like.device) + 1) / size - 1
        for size in (height, width)
    )
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
