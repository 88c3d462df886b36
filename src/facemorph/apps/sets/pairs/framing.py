"""One crop box for all pictures of a person, so that what does not move stays in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.faces.alignment import cut_square, reenactment_box

APART = 0.35  # of a box's side: pictures whose boxes differ by more are not framed alike
COMMON, OWN = "common", "own"


@dataclass(frozen=True)
class Seen:
    """Where a picture shows the face.

    Attributes:
        landmarks: ``(68, 2)`` in pixels.
        width: Of the picture, in pixels.
        group: Name of the photograph or video; frames of a video have the same.
    """

    landmarks: Tensor
    width: int
    group: str


def boxes_of(pictures: Sequence[Seen]) -> tuple[Tensor, str]:
    """Centre and side of the box of each picture ``(N, 3)``, as shares of its width.

    Shares, because photographs of one session often have several resolutions. All have the mean
    box where they are framed alike; else all frames of a video have that of the video, unless the
    head wanders through it, and every photograph has its own.

    Args:
        pictures: Of one person.

    Returns:
        The boxes, and ``common`` or ``own``.

    Raises:
        GeometryError: The landmarks of one lie in one place.
    """
    own = torch.stack([_own_box(one) for one in pictures])
    groups: dict[str, list[int]] = {
        name: [] for name in dict.fromkeys(one.group for one in pictures)
    }
    for row, one in enumerate(pictures):
        groups[one.group].append(row)
    boxes, means = own.clone(), []
    for rows in groups.values():
        means.append(own[rows].mean(0))
        if _alike(own[rows], means[-1]):
            boxes[rows] = means[-1]
    common = torch.stack(means).mean(0)
    if _alike(boxes, common):
        return common.expand_as(boxes), COMMON
    return boxes, OWN


def _own_box(picture: Seen) -> Tensor:
    centre, side = reenactment_box(picture.landmarks.double())
    return torch.cat([centre, centre.new_tensor([side])]) / picture.width


def _alike(boxes: Tensor, mean: Tensor) -> bool:
    return bool(((boxes - mean).abs() <= APART * mean[2]).all())


def cut(image: Tensor, points: Tensor, box: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """A picture cut by a box, its borders repeated beyond it, and its landmarks there.

    Args:
        image: ``(3, H, W)``.
        points: ``(68, 2)`` in pixels.
        box: ``(3,)`` centre and side as shares of the width.
        size: Side of the crop in pixels.

    Returns:
        ``(3, size, size)`` and ``(68, 2)``.
    """
    pixels = box.double() * image.shape[2]
    return cut_square(image, points, pixels[:2], float(pixels[2]), size)[:2]
