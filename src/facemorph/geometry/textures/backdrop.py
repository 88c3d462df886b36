"""The plain wall behind a head: what a photograph shows where the model's skull is larger than the
person's.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from facemorph.ops.filters import dilated

SIDE = 256  # pixels of the longer side where the wall is looked for
EVEN = 0.03  # largest difference to the neighbours within a plain wall
BORDER = 0.8  # share of the picture's upper border that a plain wall takes at least
HEIGHT = 0.4  # of the picture, what counts as its upper part


def plain_backdrop(image: Tensor) -> Tensor:
    """Where a photograph shows a plain wall: ``(h, w)`` in {0, 1}, reduced to 256 pixels; nowhere
    before another scene.

    An even area that takes most of the border of the picture's upper part is the wall. Hair that
    reaches the border, a textured or a busy background are none.

    Args:
        image: ``(3, H, W)`` in [0, 1].
    """
    scale = min(1.0, SIDE / max(image.shape[1:]))
    size = [max(3, round(length * scale)) for length in image.shape[1:]]
    small = functional.interpolate(image[None], size, mode="area")
    spread = functional.max_pool2d(small, 3, 1, 1) + functional.max_pool2d(-small, 3, 1, 1)
    even = (spread.amax(1)[0] < 2 * EVEN).cpu().numpy()
    count, labels = cv2.connectedComponents(even.astype(np.uint8), connectivity=4)
    lower = max(1, round(HEIGHT * size[0]))
    border = np.concatenate([labels[0], labels[:lower, 0], labels[:lower, -1]])
    shares = np.bincount(border, minlength=count)[1:] / len(border)
    if not len(shares) or shares.max() < BORDER:
        return small.new_zeros(size)
    # An edge belongs to both sides: it is off the even area by a pixel.
    wall = torch.from_numpy(labels == shares.argmax() + 1).to(small)
    return dilated(wall, 2)
