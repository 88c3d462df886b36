"""Lines between the teeth of a head, at any size: what a small network cannot draw.

A network of 128 pixels gives a mouth its light and colour, but a row of teeth only as a white bar.
The head tells where the jaws are; two arches of teeth of common widths are laid along them, and
what lies between two teeth is darkened in the output's own size.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.regions import parts
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.ops.shapes import check_shape

# Millimetres along the arch from the middle to the edges of teeth, and of a crown's height
# (mean widths of Wheeler's Dental Anatomy).
UPPER = tuple(accumulate((8.5, 6.6, 7.6, 7.1, 6.8)))
LOWER = tuple(accumulate((5.3, 5.9, 6.9, 7.0, 7.1)))
CROWNS = (10.5, 9.0)
# Millimetres below the place where the arches of the mesh meet: edges of the upper and lower teeth.
# Those of the mesh are short; in a smile the upper row reaches the lower lip.
EDGES = (4.0, 2.0)
ARC = 0.0045  # 1/mm: how the edge of a row rises from the middle to the sides, as lips do
FORWARD = 2.0  # millimetres that the arches lie before those of the mesh
FRONT = 8.0  # millimetres
WIDTH = 26.0  # millimetres to each side
ACROSS, DOWN = 25, 4  # places on an arch
FACED = 0.15  # cosine to the camera from which a place counts
GAP, WIDER = 0.35, 0.55  # half widths of a gap in millimetres, and what the cutting edge adds
DEPTH = 0.4  # how far the middle of a gap is darkened
ROUND = 0.14  # how far the sides of a tooth are darkened
ROOT = 0.25  # share of a crown, from the gum, in which gaps close
FADE = 0.06  # share of a crown in which a row ends


@dataclass(frozen=True)
class Row:
    """An arch of teeth on the mean head.

    Attributes:
        vertices: Of the mesh's arch ``(N,)``.
        inverse: ``(4, N)``: from places of these vertices to an affine map of the mean head.
        places: ``(P, 3)`` on the arch, millimetres.
        outward: ``(P, 3)`` where the arch faces.
        coordinates: ``(P, 2)`` of each place: millimetres along the arch, and share of the crown
            from the gum (0) to the cutting edge (1).
        edges: Of the teeth, millimetres along the arch.
    """

    vertices: Tensor
    inverse: Tensor
    places: Tensor
    outward: Tensor
    coordinates: Tensor
    edges: Tensor


class DrawnTeeth:
    """Teeth of a model's heads.

    Args:
        model: The model; one without teeth gets none.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.rows = rows_of(model)
        # Upper teeth that a smile shows, vertices of the mesh.
        upper = self.rows[0].vertices if self.rows else torch.zeros(0, dtype=torch.long)
        self.front = upper[model.mean[upper, 0].abs() < WIDTH] if len(upper) else upper

    def __call__(self, head: HeadView, size: int) -> SeenTeeth:
        """How a camera sees them.

        Args:
            head: The head; its camera's pixels are those of a picture of ``size``.
            size: Side of the picture in pixels.
        """
        seen = (_seen(row, head, size) for row in self.rows)
        return SeenTeeth([one for one in seen if one is not None])


@dataclass(frozen=True)
class SeenRow:
    """An arch in a picture.

    Attributes:
        coefficients: ``(K, 2)`` of the polynomial from places in the picture to `Row.coordinates`.
        middle: ``(2,)`` of the row, in halves of the side, -1 to 1.
        reach: Of the row, likewise.
        edges: As of `Row`.
    """

    coefficients: Tensor
    middle: Tensor
    reach: Tensor
    edges: Tensor


@dataclass(frozen=True)
class SeenTeeth:
    """Teeth in a picture, the upper row first."""

    rows: list[SeenRow]

    def __call__(self, opening: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """What to multiply colours with, and where teeth stand.

        Args:
            opening: ``(1, 1, S, S)`` share of the mouth's opening in each pixel.
            size: Side of what is returned.

        Returns:
            Factors ``(1, 1, size, size)``, 1 outside of the opening; and shares of teeth, likewise.
        """
        check_shape(opening, "1 1 S S", "opening")
        factor, teeth = opening.new_ones(1, 1, size, size), opening.new_zeros(1, 1, size, size)
        window = _window(opening[0, 0] > 0, size)
        if not self.rows or window is None:
            return factor, teeth
        down, across = window
        along = (torch.arange(size, dtype=opening.dtype) + 0.5) / size * 2 - 1
        y, x = torch.meshgrid(along[down], along[across], indexing="ij")
        share = opening
        if opening.shape[-1] != size:
            share = functional.interpolate(opening, (size, size), mode="bilinear")
        share = share[0, 0, down, across].clamp(0, 1)
        free = torch.ones_like(share)  # of rows that stand before
        darkness, presence = torch.zeros_like(share), torch.zeros_like(share)
        for row in self.rows:
            lines, there = _drawn(row, torch.stack([x, y], -1), 2 / size)
            darkness, presence = darkness + free * there * lines, presence + free * there
            free = free * (1 - there)
        factor[0, 0, down, across] = 1 - share * darkness
        teeth[0, 0, down, across] = share * presence
        return factor, teeth


def rows_of(model: MorphableModel) -> list[Row]:
    """The upper and the lower arch; none where the model has no teeth, or only one piece of
    them.
    """
    mask = model.topology.masks.get("teeth")
    if mask is None or not bool(mask.any()):
        return []
    mean, faces = model.mean, model.topology.faces
    faces = faces[mask[faces].all(1)]
    number = parts(faces, len(mean))
    pieces = [faces[number == one].unique() for one in range(int(number.max()) + 1)]
    middle = mean[mask, 1].mean()
    upper = [one for one in pieces if mean[one, 1].mean() > middle]
    lower = [one for one in pieces if mean[one, 1].mean() <= middle]
    if not upper or not lower:
        return []
    rows = torch.cat(upper), torch.cat(lower)
    edges = [_front(mean[one])[:, 1] for one in rows]
    meet = float(edges[0].min() + edges[1].max()) / 2
    return [_row(mean, one, meet, one is rows[0]) for one in rows]


def _front(places: Tensor) -> Tensor:
    """Those of some places that lie at most `FRONT` behind the foremost."""
    return places[places[:, 2] > places[:, 2].max() - FRONT]


def _row(mean: Tensor, own: Tensor, meet: float, upper: bool) -> Row:
    """An arch laid along that of the mesh; ``meet`` is the height where both of it meet."""
    points = mean[own].double()
    front = float(points[:, 2].max()) + FORWARD
    back = float(points[:, 2].min()) + FORWARD
    bend = (front - back) / float(points[:, 0].abs().max()) ** 2
    crown = CROWNS[0] if upper else CROWNS[1]
    x = torch.linspace(-WIDTH, WIDTH, ACROSS, dtype=torch.float64)
    share = torch.linspace(0, 1, DOWN, dtype=torch.float64)
    steep = 2 * bend * x
    length = 0.5 * (x * (1 + steep.square()).sqrt() + torch.asinh(steep) / (2 * bend))
    edge = meet - EDGES[0 if upper else 1] + ARC * x.square()
    y = edge[:, None] + (1 - share) * (crown if upper else -crown)
    places = torch.stack(
        [
            x[:, None].expand(-1, DOWN),
            y,
            (front - bend * x.square())[:, None].expand(-1, DOWN),
        ],
        -1,
    ).reshape(-1, 3)
    outward = functional.normalize(torch.stack([steep, 0 * x, torch.ones_like(x)], -1), dim=-1)
    coordinates = torch.stack(
        [length[:, None].expand(-1, DOWN), share[None].expand(ACROSS, -1)], -1
    ).reshape(-1, 2)
    ones = torch.ones(len(points), 1, dtype=torch.float64)
    return Row(
        own,
        torch.linalg.pinv(torch.cat([points, ones], 1)).to(mean),
        places.to(mean),
        outward[:, None].expand(-1, DOWN, -1).reshape(-1, 3).to(mean),
        coordinates.to(mean),
        torch.tensor(UPPER if upper else LOWER).to(mean),
    )


def _seen(row: Row, head: HeadView, size: int) -> SeenRow | None:
    """The arch in a picture; None where it turns away."""
    moved = row.inverse @ head.vertices[0, row.vertices]  # of 4 x 3: an affine map
    places = row.places @ moved[:3] + moved[3]
    outward = functional.normalize(row.outward @ moved[:3], dim=1)
    faced = head.camera.view((places + outward)[None])[0] - head.camera.view(places[None])[0]
    shown = faced[:, 2] > FACED
    if int(shown.sum()) < 6 * DOWN:
        return None
    pixels = head.camera.project(places[None]).pixels[0][shown] / size * 2 - 1
    low, high = pixels.amin(0), pixels.amax(0)
    middle, reach = (low + high) / 2, (high - low).amax() / 2
    basis = _powers((pixels - middle) / reach)
    found = torch.linalg.lstsq(basis.double(), row.coordinates[shown].double()).solution
    return SeenRow(found.to(pixels), middle, reach, row.edges)


def _powers(places: Tensor) -> Tensor:
    """Monomials ``(..., 10)`` of places ``(..., 2)``: to the fifth across, linear down."""
    x, y = places.unbind(-1)
    second = x * x
    third, fourth = second * x, second * second
    powers = [torch.ones_like(x), x, second, third, fourth, fourth * x]
    return torch.stack([*powers, y, x * y, second * y, third * y], -1)


def _window(shown: Tensor, size: int) -> tuple[slice, slice] | None:
    """Rows and columns, of a picture of ``size``, around what is shown in a mask."""
    rows, columns = shown.any(1).nonzero()[:, 0], shown.any(0).nonzero()[:, 0]
    if not len(rows):
        return None
    scale = size / len(shown)
    found = []
    for at in (rows, columns):
        low, high = (int(at[0]) - 1) * scale, (int(at[-1]) + 2) * scale
        found.append(slice(max(0, int(low)), min(size, int(high) + 1)))
    return found[0], found[1]


def _drawn(row: SeenRow, places: Tensor, pixel: float) -> tuple[Tensor, Tensor]:
    """How far each place is darkened between teeth, and whether teeth are there, both
    ``(H, W)``.
    """
    inside = (places - row.middle) / row.reach
    along, crown = (_powers(inside) @ row.coefficients).unbind(-1)
    distance = along.abs()
    edges = torch.cat([row.edges.new_zeros(1), row.edges])
    away = distance[..., None] - edges
    nearest = away.abs().argmin(-1)
    # A pixel shows the mean of what lies in it: gaps narrower than it are wider and lighter.
    unit = (row.edges[-1] / row.reach.clamp(min=1e-6)) * pixel / 2
    width = GAP + WIDER * crown.clamp(0, 1).square().square()
    spread = (width.square() + unit.square()).sqrt()
    gap = (-(away.gather(-1, nearest[..., None])[..., 0] / spread).square()).exp() * width / spread
    tooth = torch.bucketize(distance.contiguous(), row.edges).clamp(max=len(row.edges) - 1)
    low, high = edges[tooth], row.edges[tooth]
    across = ((distance - low) / (high - low) * 2 - 1).clamp(-1, 1)
    side = ROUND * across.square() * across.abs()
    closed = (crown / ROOT).clamp(0, 1)
    there = ((crown + FADE) / FADE).clamp(0, 1) * ((1 - crown) / FADE + 1).clamp(0, 1)
    there = there * ((row.edges[-1] - distance) / 2 + 1).clamp(0, 1)
    return DEPTH * gap * closed + side * (1 - DEPTH * gap), there
