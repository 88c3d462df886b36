"""Pictures that show what a morph did: landmarks, deformed grids, contact sheets."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional

from facemorph.faces.files.image_output import to_picture
from facemorph.fields.warps.maps import dense_map
from facemorph.fields.warps.warp import Warp
from facemorph.ops.frames import Frame

LANDMARK_COLOUR = (60, 255, 90)
GRID_COLOUR = (0.1, 0.1, 0.35)


def draw_landmarks(image: Tensor, points: Tensor) -> Tensor:
    """``image`` (3, H, W) with dots at ``points`` (P, 2) in pixels."""
    picture = to_picture(image)
    draw = ImageDraw.Draw(picture)
    radius = max(1.0, max(picture.size) / 170)  # seen in a contact sheet too
    for x, y in points.tolist():
        draw.ellipse(
            [x - radius, y - radius, x + radius, y + radius],
            fill=LANDMARK_COLOUR,
            outline=(0, 0, 0),
        )
    return picture_of(picture)


def picture_of(picture: Image.Image) -> Tensor:
    """A picture of Pillow as ``(3, H, W)`` in [0, 1]."""
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255


def draw_grid(warp: Warp, image: Tensor, time: float, end: float, lines: int = 33) -> Tensor:
    """``image`` (3, H, W), the picture of ``end`` carried to ``time``, under the grid carried with
    it.

    Lines crowd where the warp shrinks and spread where it stretches; lines that cross would be
    folds.
    """
    frame = Frame.of(image)
    phase = dense_map(warp, frame, time, end).cpu() * ((lines - 1) / 2)
    # Distance to the nearest line, in pixels, from the phase and its slope.
    slope = torch.stack(
        [torch.stack(torch.gradient(phase[..., axis]), 0).norm(dim=0) for axis in (0, 1)], -1
    )
    distance = ((phase - phase.round()).abs() / slope.clamp_min(1e-6)).amin(-1)
    share = (1.2 - distance).clamp(0, 1)[None] * 0.6
    return torch.lerp(
        image.cpu(), image.new_tensor(GRID_COLOUR).cpu()[:, None, None].expand_as(image), share
    )


def contact_sheet(rows: list[list[tuple[str, Tensor]]], cell: int = 256) -> Tensor:
    """Captioned pictures in rows: ``(3, H, W)`` in [0, 1].

    Args:
        rows: Caption and picture ``(3, h, w)`` of every cell; those of a row may differ in shape.
        cell: Longer side of a cell in pixels.
    """
    strips = []
    for row in rows:
        cells = []
        for caption, image in row:
            scale = cell / max(image.shape[1:])
            size = [max(1, round(side * scale)) for side in image.shape[1:]]
            small = functional.interpolate(
                image[None].cpu(), size, mode="bilinear", antialias=True
            )[0]
            bar = Image.new("RGB", (size[1], 22), (255, 255, 255))
            ImageDraw.Draw(bar).text((4, 5), caption, fill=(20, 20, 20))
            cells.append(torch.cat([picture_of(bar), small], 1))
        height = max(one.shape[1] for one in cells)
        strips.append(
            torch.cat(
                [
                    functional.pad(one, (3, 3, 3, 3 + height - one.shape[1]), value=1.0)
                    for one in cells
                ],
                2,
            )
        )
    width = max(strip.shape[2] for strip in strips)
    filled = [
        functional.pad(strip, (0, width - strip.shape[2], 0, 0), value=1.0) for strip in strips
    ]
    return torch.cat(filled, 1)
