"""Where a head's motion takes every pixel of its photograph, and maps of both heads: what a
reenactment network starts from.

The flow is the mesh's under the portrait warp's soft share of the face, and its thin plate
elsewhere, so that hair and shoulders have one too.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import FaceTopology, MorphableModel
from facemorph.geometry.portraits.drawn_teeth import DrawnTeeth, SeenTeeth
from facemorph.geometry.portraits.portrait_motion import HeadView, PortraitMotion
from facemorph.geometry.rendering.renders import MeshView, correspondence
from facemorph.ops.frames import edge_grid

NORMALS, PLACES, REGIONS, MASK = 3, 3, 5, 1
MAPS = NORMALS + PLACES + REGIONS + MASK
LIPS, TEETH, MOUTH, EYES, EYELIDS = (NORMALS + PLACES + number for number in range(REGIONS))
FACE = MAPS - 1
# The teeth's channel is that of `DrawnTeeth`, in the place of the mesh's.
PARTS = (
    ("lips",),
    (),
    ("inside_mouth", "tongue", "teeth"),
    ("eye_left", "eye_right"),
    ("eyelids",),
)
UNIT = 100.0  # millimetres of the mean head that count as 1
# Cosine to the photograph's camera between which the mesh's flow sets in: where it looks along the
# skin, a flow draws a few pixels out to streaks, and the plate is smoother.
EDGE = (0.4, 0.7)
GRID = 24  # places where the plate is evaluated: it is smooth, and this is done for each frame


@dataclass(frozen=True)
class HeadFlow:
    """Moved heads against their photographs, of S x S pixels; `MovedHead` gives one (B = 1).

    Attributes:
        flow: ``(B, 2, S, S)`` in halves of the side, x right and y down: what is seen at a place of
            the target stands at that place plus the flow in the photograph.
        visible: ``(B, 1, S, S)`` 1 where the target shows the head and the photograph shows the
            same point.
        maps: ``(B, MAPS, S, S)`` of the target, see `HeadMaps`.
        teeth: ``(B, 1, H, W)`` what colour in the mouth is multiplied with, at any size, see
            `DrawnTeeth`.
    """

    flow: Tensor
    visible: Tensor
    maps: Tensor
    teeth: Tensor


class HeadMaps:
    """Draws the maps of heads of a model.

    Args:
        model: The model.
        size: Side of the maps in pixels.
    """

    def __init__(self, model: MorphableModel, size: int) -> None:
        self.size, self.codes, self.teeth = size, vertex_codes(model), DrawnTeeth(model)

    def __call__(self, head: HeadView, view: MeshView, fine: int | None) -> tuple[Tensor, Tensor]:
        """Maps of a head, and what its teeth multiply colours with.

        Args:
            head: The head.
            view: What its camera sees of it.
            fine: Side of the second in pixels; S where None.

        Returns:
            ``(1, MAPS, S, S)``: normals in the camera's frame, places on the mean head in 100 mm,
            shares of lips, teeth, the mouth's opening, eyes and eyelids, and the mask, all 0
            outside of it; and ``(1, 1, fine, fine)``.
        """
        values = torch.cat([view.vertex_normals, self.codes[None]], 2)
        maps = torch.cat([view.attribute(values), view.mask.to(values.dtype)], 1)
        seen: SeenTeeth = self.teeth(head, self.size)
        opening = maps[:, MOUTH : MOUTH + 1]
        factor, maps[:, TEETH : TEETH + 1] = seen(opening, self.size)
        return maps, factor if fine in (None, self.size) else seen(opening, fine or self.size)[0]


class MovedHead:
    """A head in a photograph that is to be moved.

    Args:
        model: The model.
        source: The head, its camera in pixels of a picture of ``size``.
        size: Side of the maps in pixels.
        maps: What draws them, where several heads share it.
    """

    def __init__(
        self, model: MorphableModel, source: HeadView, size: int, maps: HeadMaps | None = None
    ) -> None:
        self.size = size
        self.motion = PortraitMotion(model, source, (size, size), EDGE)
        self.draw = maps or HeadMaps(model, size)
        self.maps = self.draw(source, self.motion.view, None)[0]

    @torch.no_grad()
    def __call__(self, target: HeadView, fine: int | None = None) -> HeadFlow:
        """The flow to another pose, expression or camera of the head.

        Args:
            target: The head.
            fine: Side of the teeth's factors in pixels; S where None.
        """
        view = self.motion.look(target)
        found = correspondence(view, self.motion.view)
        maps, teeth = self.draw(target, view, fine)
        # The mesh has a cavity where people have teeth: its own flow would tear those that the
        # photograph shows.
        opening = maps[:, MOUTH : MOUTH + 1]
        mesh = torch.lerp(found.flow, self._with_the_upper_jaw(view), opening)
        share = self.motion.share(view)
        flow = (share * mesh + (1 - share) * self.motion.bend(view, GRID)) * (2 / self.size)
        shown = self._sampled(self.maps[:, MOUTH : MOUTH + 1], flow)
        visible = torch.lerp(found.visible.to(flow.dtype), shown, opening)
        return HeadFlow(flow, visible, maps, teeth)

    def _with_the_upper_jaw(self, view: MeshView) -> Tensor:
        """The flow ``(1, 2, S, S)`` in pixels of what is fixed to the upper jaw: affine."""
        teeth = self.draw.teeth.front
        if not len(teeth):
            return self.maps.new_zeros(1, 2, self.size, self.size)
        here, there = view.projection.pixels[0, teeth], self.motion.source_pixels[teeth]
        middle = here.mean(0)
        matrix = torch.linalg.lstsq(
            functional.pad(here - middle, (0, 1), value=1.0).double(), (there - here).double()
        ).solution.to(here)
        grid = edge_grid(self.size, self.size, here)
        places = (grid + 1) * (self.size / 2) - middle
        return (places @ matrix[:2] + matrix[2]).permute(0, 3, 1, 2)

    def _sampled(self, values: Tensor, flow: Tensor) -> Tensor:
        """Values of the photograph where the flow points."""
        grid = edge_grid(self.size, self.size, flow) + flow.permute(0, 2, 3, 1)
        return functional.grid_sample(values, grid, align_corners=False)


def vertex_codes(model: MorphableModel) -> Tensor:
    """What the maps show of each vertex ``(V, 8)``: its place on the mean head, and its parts."""
    places = (model.mean - model.mean.mean(0)) / UNIT
    parts = [_members(model.topology, names, len(places)) for names in PARTS]
    return torch.cat([places, torch.stack(parts, 1).to(places)], 1)


def _members(topology: FaceTopology, names: tuple[str, ...], count: int) -> Tensor:
    """Whether each vertex belongs to one of these parts ``(V,)``; models lack some."""
    member = torch.zeros(count, dtype=torch.bool)
    for name in names:
        if name in topology.masks:
            member = member | topology.masks[name]
    return member
