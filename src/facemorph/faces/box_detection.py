"""Where the faces of a picture are: the embedded detector on the whole picture and on tiles.

One face must span about 1/9 of the longer side of what the network sees, so a picture in which no
face, or only a small one, was found is searched again in overlapping tiles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.faces.alignment import apply_affine
from facemorph.faces.embedded_networks import face_detector
from facemorph.ops.shapes import check_shape

OVERLAP = 0.3  # boxes of a higher IoU are one face
SMALL_FACE = 1 / 6  # of the longer side: below, tiles are searched too
TILE_SHARE = 0.6  # side of a tile in units of the level above: two of them share a fifth of it
MIN_TILE_PIXELS = 160  # smaller tiles would only be magnified


@dataclass(frozen=True)
class Detection:
    """One face found by the embedded detector, in pixels of the picture.

    Attributes:
        box: ``(4,)`` x0, y0, x1, y1; it may pass the border of the picture.
        score: Confidence in [0, 1].
        keypoints: ``(6, 2)`` left and right eye (of the picture), nose tip, mouth, left and right
            ear.
    """

    box: Tensor
    score: float
    keypoints: Tensor

    @property
    def center(self) -> Tensor:
        """Centre of the box, ``(2,)``."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def side(self) -> float:
        """Longer side of the box in pixels."""
        return float((self.box[2:] - self.box[:2]).max())

    @property
    def roll(self) -> float:
        """Rotation in the picture plane in radians, from the eyes."""
        delta = self.keypoints[1] - self.keypoints[0]
        return math.atan2(float(delta[1]), float(delta[0]))


def box_iou(box: Tensor, others: Tensor) -> Tensor:
    """Intersection over union ``(N,)`` of a box ``(4,)`` with boxes ``(N, 4)``."""
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:], others[:, 2:])
    intersection = (high - low).clamp_min(0).prod(-1)
    union = (box[2:] - box[:2]).prod(-1) + (others[:, 2:] - others[:, :2]).prod(-1) - intersection
    return intersection / union.clamp_min(1e-9)


def suppress(
    boxes: Tensor, scores: Tensor, values: Tensor, overlap: float = OVERLAP
) -> tuple[Tensor, Tensor]:
    """Weighted non-maximum suppression.

    Every cluster of overlapping boxes becomes the score-weighted mean of its ``values`` and keeps
    its best score.

    Args:
        boxes: ``(N, 4)``.
        scores: ``(N,)``.
        values: ``(N, ...)`` whatever belongs to the boxes.
        overlap: IoU above which two boxes are one face.

    Returns:
        Values ``(M, ...)`` and scores ``(M,)``, best first.
    """
    order = scores.argsort(descending=True)
    boxes, scores, values = boxes[order], scores[order], values[order]
    kept_values, kept_scores = [], []
    while len(scores):
        same = box_iou(boxes[0], boxes) > overlap
        same[0] = True  # also for a box without area
        weight = scores[same].view(-1, *[1] * (values.dim() - 1))
        kept_values.append((values[same] * weight).sum(0) / weight.sum())
        kept_scores.append(scores[0])
        boxes, scores, values = boxes[~same], scores[~same], values[~same]
    if not kept_scores:
        return values, scores
    return torch.stack(kept_values), torch.stack(kept_scores)


@dataclass(frozen=True)
class _View:
    """A part of the picture, in pixels, and the share of the network's input that its longer side
    fills.
    """

    left: int
    top: int
    right: int
    bottom: int
    fill: float = 1.0

    def inside(self, boxes: Tensor, height: int, width: int) -> Tensor:
        """Boxes ``(N, 4)`` that no inner border of the view cuts."""
        fits = torch.ones(len(boxes), dtype=torch.bool)
        for side, border, end in ((0, self.left, 0), (1, self.top, 0)):
            fits &= (boxes[:, side] > border) if border > end else True
        for side, border, end in ((2, self.right, width), (3, self.bottom, height)):
            fits &= (boxes[:, side] < border) if border < end else True
        return fits


def _letterbox(image: Tensor, size: int, fill: float) -> tuple[Tensor, Tensor]:
    """The picture scaled into the middle of a black square ``(1, 3, size, size)``, and the matrix
    back.
    """
    height, width = image.shape[1:]
    scale = size * fill / max(height, width)
    new_height, new_width = (max(1, round(side * scale)) for side in (height, width))
    small = functional.interpolate(
        image[None], (new_height, new_width), mode="bilinear", antialias=True
    )
    left, top = (size - new_width) // 2, (size - new_height) // 2
    padded = functional.pad(small, (left, size - new_width - left, top, size - new_height - top))
    x, y = width / new_width, height / new_height
    return padded, torch.tensor([[x, 0, -left * x], [0, y, -top * y]])


class BoxDetector:
    """Faces of a picture as boxes with six key points.

    Args:
        min_score: Least confidence in (0, 1]. At 0.7 every frontal studio portrait measured was
            found (lowest 0.85) and nothing in pictures without faces (highest 0.57).
        tile: Search overlapping tiles where no face, or only a small one, is found in the whole
            picture.
        device: Where the network runs.
    """

    def __init__(self, min_score: float = 0.7, *, tile: bool = True, device: str = "cpu") -> None:
        self.min_score, self.tile, self.device = min_score, tile, device

    def __call__(self, image: Tensor) -> list[Detection]:
        """Faces of ``image`` (3, H, W) in [0, 1], best first; an empty list where there is none."""
        check_shape(image, "3 H W", "image")
        return self._search(image, self.min_score)

    def best_score(self, image: Tensor) -> float:
        """Confidence of the best candidate, however low."""
        found = self._search(image, 0.0)
        return found[0].score if found else 0.0

    def _search(self, image: Tensor, min_score: float) -> list[Detection]:
        height, width = image.shape[1:]
        boxes, scores, values = self._candidates(image, _View(0, 0, width, height), min_score)
        for group in self._more_views(height, width):
            sides = (boxes[:, 2:] - boxes[:, :2]).amax(-1)
            if bool(
                ((scores >= self.min_score) & (sides >= SMALL_FACE * max(height, width))).any()
            ):
                break
            parts = [
                (boxes, scores, values),
                *(self._candidates(image, view, min_score) for view in group),
            ]
            boxes, scores, values = (torch.cat(column) for column in zip(*parts, strict=True))
        values, scores = suppress(boxes, scores, values)
        return [
            Detection(value[:2].flatten(), float(score), value[2:])
            for value, score in zip(values, scores, strict=True)
        ]

    def _more_views(self, height: int, width: int) -> list[list[_View]]:
        """Where to look next: the picture with a black margin (faces cut by the border), then
        tiles.
        """
        groups = [[_View(0, 0, width, height, fill=0.7)]]
        share = TILE_SHARE
        cells = 2
        while self.tile and cells <= 4 and min(height, width) * share >= MIN_TILE_PIXELS:
            tile_height, tile_width = math.ceil(height * share), math.ceil(width * share)
            steps = [index / (cells - 1) for index in range(cells)]
            corners = [
                (round(x * (width - tile_width)), round(y * (height - tile_height)))
                for y in steps
                for x in steps
            ]
            groups.append([_View(x, y, x + tile_width, y + tile_height) for x, y in corners])
            cells, share = cells * 2, share * TILE_SHARE
        return groups

    @torch.no_grad()
    def _candidates(
        self, image: Tensor, view: _View, min_score: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes ``(N, 4)``, scores ``(N,)``, box corners and key points ``(N, 8, 2)`` in picture
        pixels.
        """
        network = face_detector(self.device)
        part = (
            image[:, view.top : view.bottom, view.left : view.right]
            .detach()
            .to(self.device, torch.float32)
        )
        patch, matrix = _letterbox(part, network.input_size, view.fill)
        boxes, scores, points = (result[0].cpu() for result in network(patch))
        # Without a least score the best candidate is enough: suppressing all 896 anchors would be
        # slow.
        keep = scores >= min_score if min_score > 0 else scores >= scores.max()
        values = torch.cat([boxes[keep].view(-1, 2, 2), points[keep]], 1)
        values = apply_affine(values, matrix) + torch.tensor([view.left, view.top])
        boxes, scores = values[:, :2].flatten(1), scores[keep]
        fits = view.inside(boxes, *image.shape[1:])
        return boxes[fits], scores[fits], values[fits]
