"""Lids that shut over an eye: skin where the photograph has none to stretch.

A photograph with open eyes shows a thin strip of the upper lid. Stretched over the eye it is skin,
or what lies over it: the rim of glasses, lashes, a shadow. Where it comes out far from the skin
below the eye, this skin's colour takes its place. Where both lids meet, a ragged row of pixels,
goes a line of lashes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.filters import dilated, enlarged, gaussian_blur
from facemorph.ops.frames import Frame

LEAST = 0.2  # of a blink, from which lids are looked at
RING = (1 / 40, 1 / 14)  # of the side: where the skin around an eye begins and ends
FAR, CERTAIN = 0.15, 0.25  # difference of the colours from which skin is put in, and where wholly
SOFT = 1 / 90  # of the side: over which it becomes the rest
SHUT, WHOLLY = 0.6, 0.85  # of a blink, between which the line of lashes sets in
LASHES = 0.3  # colour of the line, as a share of the skin's
LINE, STRENGTH = 1 / 90, 0.85  # of the side: half height of the line; how far it covers
LOWER, THICK = 0.45, 0.75  # of that: how far the line lies below where the lids meet, its softness
CORNERS = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47))  # iBUG landmarks of both eyes


@dataclass(frozen=True)
class ShutEyes:
    """Eyes whose lids shut.

    Attributes:
        covered: ``(2, S, S)`` what the lid of each eye covers that is open in the photograph.
        lids: ``(2, 6, 2)`` landmarks of both eyes, in shares of the side.
        shut: From 0, open, to 1, wholly shut.
    """

    covered: Tensor
    lids: Tensor
    shut: float


class ShutLids:
    """Lids of a model's heads.

    Args:
        model: The model; without eyes or blinks nothing is changed.
        size: Side of the maps in pixels.
    """

    def __init__(self, model: MorphableModel, size: int) -> None:
        self.model, self.size = model, size
        masks = model.topology.masks
        self.eyes = [masks[name] for name in ("eye_left", "eye_right") if name in masks]
        self.blinks = model.expression_index("eyeBlink") if self.eyes else []

    def seen(self, parameters: FaceParameters, rest: FaceParameters) -> ShutEyes | None:
        """How far the lids shut, against the photograph; None where they do not.

        Args:
            parameters: The head, one row, in pixels of the maps.
            rest: That of the photograph.
        """
        if not self.blinks:
            return None
        blink = parameters.expression[0, self.blinks]
        if float((blink - rest.expression[0, self.blinks]).max()) < LEAST:
            return None
        expression = parameters.expression.clone()
        expression[0, self.blinks] = rest.expression[0, self.blinks]
        before = self._looked_at(replace(parameters, expression=expression))[0]
        after, lids = self._looked_at(parameters)
        shut = (float(blink.max()) - SHUT) / (WHOLLY - SHUT)
        return ShutEyes((before - after).clamp(0, 1), lids, min(max(shut, 0.0), 1.0))

    def _looked_at(self, parameters: FaceParameters) -> tuple[Tensor, Tensor]:
        """Shares of both eyes in each pixel, and their landmarks."""
        size = (self.size, self.size)
        vertices = vertices_of(self.model, parameters)
        camera = camera_of(parameters, Frame(*size))
        view = MeshView.of(vertices, self.model.topology.faces, camera, size)
        points = camera.project(self.model.landmarks(vertices)).pixels[0] / self.size
        lids = torch.stack([points[list(corners)] for corners in CORNERS])
        return view.attribute(torch.stack(self.eyes, 1).to(vertices))[0], lids

    def __call__(self, picture: Tensor, eyes: ShutEyes) -> Tensor:
        """A picture ``(3, H, H)`` whose shut lids are skin.

        Args:
            picture: In [0, 1].
            eyes: Of `seen`.
        """
        small = functional.adaptive_avg_pool2d(picture[None], self.size)[0]
        share, colour = torch.zeros(1, *small.shape[1:]), torch.zeros_like(small)
        for covered in eyes.covered:
            for weight, paint in self._painted(small, covered, eyes.shut):
                colour = torch.lerp(colour, paint, weight)
                share = share + weight * (1 - share)
        if bool(share.any()):
            # Multiplied with their shares already, so that enlarging mixes in no black.
            size = (picture.shape[1], picture.shape[2])
            both = enlarged(torch.cat([share, colour])[None], size)[0].clamp(0, 1)
            picture = picture * (1 - both[:1]) + both[1:]
        for lids in eyes.lids if eyes.shut else ():
            picture = _with_lashes(picture, lids, eyes.shut)
        return picture

    def _painted(
        self, picture: Tensor, covered: Tensor, shut: float
    ) -> list[tuple[Tensor, Tensor]]:
        """Shares ``(1, S, S)`` and colours ``(3, 1, 1)`` that go over one eye."""
        mask = (covered > 0.5).float()[None, None]
        if int(mask.sum()) < 4 or shut == 0:
            return []
        inner, outer = (dilated(mask, round(self.size * reach))[0, 0] for reach in RING)
        rows = torch.arange(self.size, dtype=picture.dtype)[:, None]
        middle = (mask[0, 0] * rows).sum() / mask.sum()
        below = (outer - inner).clamp(0, 1) * (rows > middle)
        skin = (picture * below).sum((1, 2)) / below.sum().clamp(min=1)
        own = (picture * mask[0]).sum((1, 2)) / mask.sum()
        certain = (float((own - skin).abs().mean()) - FAR) / (CERTAIN - FAR)
        painted = []
        if certain > 0:
            soft = gaussian_blur(dilated(mask, 1), max(1.0, self.size * SOFT))[0]
            painted.append((shut * min(1.0, certain) * soft, skin[:, None, None]))
        return painted


def _with_lashes(picture: Tensor, lids: Tensor, shut: float) -> Tensor:
    """A picture with the line where the lids of one eye meet, drawn in its own size.

    Args:
        picture: ``(3, H, H)``.
        lids: ``(6, 2)`` landmarks, as of `ShutEyes`.
        shut: Likewise.
    """
    side = picture.shape[-1]
    # From corner to corner: the corners, and the middles of upper and lower lid.
    meet = torch.stack(
        [lids[0], (lids[1] + lids[5]) / 2, (lids[2] + lids[4]) / 2, lids[3]]
    ).double()
    along = meet[3] - meet[0]
    length = along.norm()
    if not LINE < float(length) < 1:
        return picture
    along = along / length
    across = torch.stack([-along[1], along[0]])
    inside = meet - meet[0]
    x, y = inside @ along / length, inside @ across
    curve = torch.linalg.lstsq(torch.stack([x * (1 - x), x**2 * (1 - x)], 1), y).solution
    low, high = meet.amin(0) - 3 * LINE, meet.amax(0) + 3 * LINE
    left, top = (max(0, int(value * side)) for value in low)
    right, bottom = (min(side, int(value * side) + 2) for value in high)
    if right <= left or bottom <= top:
        return picture
    rows, columns = torch.meshgrid(
        torch.arange(top, bottom), torch.arange(left, right), indexing="ij"
    )
    places = (torch.stack([columns, rows], -1).double() + 0.5) / side - meet[0]
    x, y = places @ along / length, places @ across
    away = y - (curve[0] + curve[1] * x) * x * (1 - x) - LOWER * LINE
    ends = (x.clamp(0, 1) * (1 - x.clamp(0, 1)) * 12).clamp(0, 1)
    share = (STRENGTH * shut * ends * torch.exp(-(away / (THICK * LINE)).square())).to(picture)
    part = picture[:, top:bottom, left:right]
    # The line's colour is that of the skin above and below it.
    rim = (away.abs() > 1.5 * LINE).to(picture) * (ends > 0)
    skin = (part * rim).sum((1, 2)) / rim.sum().clamp(min=1)
    drawn = picture.clone()
    drawn[:, top:bottom, left:right] = torch.lerp(part, LASHES * skin[:, None, None], share)
    return drawn
