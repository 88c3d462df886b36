"""How a photograph of a head moves with it: a smooth bend of it all, and where the face covers it.

The face's skin gives where it goes; hair goes with the head as a flat figure (shift, size and
roll), less and less away from it; the borders of the picture stay. Between these, a thin plate
(Duchon 1977; Bookstein 1989).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.geometry.models.morphable_model import FaceTopology, MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.textures.unprojection import spread_mask
from facemorph.ops.filters import dilated
from facemorph.ops.frames import edge_grid
from facemorph.ops.splines import evaluate_thin_plate, solve_thin_plate

GRID = 64  # places along the longer side where the plate is evaluated
POINTS = 160  # of the face that bend the picture
# around the head, in its size, and how far the picture follows there
RINGS = ((1.12, 1.0), (1.4, 0.8), (1.9, 0.3))
AROUND = 32  # places on a ring
BORDER = 12  # on each border of the picture
FEATHER = 6.0  # pixels at 512
SMOOTHING = 1e-3  # of the plate: residuals of noise, not of motion
# Cosine to the photograph's camera between which the face sets in: drawn with a whole texture.
EDGE = (0.25, 0.5)
# Parts of eyes and mouth, which move by themselves.
INNER = (
    "eye_left",
    "eye_right",
    "inside_mouth",
    "teeth",
    "tongue",
    "socket",
    "lips",
    "eyelids",
)
LEVELS = 9  # heights at which the outline of the face is followed
CHIN, HEM = 8, 0.75  # the picture below the chin by this share of the head's height stays


@dataclass(frozen=True)
class HeadView:
    """A head in a picture.

    Attributes:
        vertices: ``(1, V, 3)`` millimetres.
        camera: Of one picture.
    """

    vertices: Tensor
    camera: Camera


class PortraitMotion:
    """Where every pixel of a photograph goes when its head moves.

    Args:
        model: The model.
        source: The head in the photograph.
        size: Height and width of the photograph.
        edge: Cosine to the photograph's camera between which the face's own motion sets in; beyond
            it the face follows the plate.
    """

    def __init__(
        self,
        model: MorphableModel,
        source: HeadView,
        size: tuple[int, int],
        edge: tuple[float, float] = EDGE,
    ) -> None:
        self.model, self.source, self.size = model, source, size
        topology = model.topology
        self.view = self.look(source)
        self.source_pixels = self.view.projection.pixels[0]
        # Skin that the photograph hardly shows is a guess in the texture: there the bent photograph
        # is better.
        shown = ((self.view.facing()[0] - edge[0]) / (edge[1] - edge[0])).clamp(0, 1)
        weight = spread_mask(topology, "face", rings=-3) * shown
        for name in INNER:
            if name in topology.masks:
                weight = torch.where(topology.masks[name], torch.ones_like(weight), weight)
        self.drawn = weight
        self.candidates = (spread_mask(topology, "face", rings=-2) > 0.99).nonzero()[:, 0]
        moves = topology.masks["face"] | (weight > 0)
        self.moving_faces = moves[topology.faces].any(1).nonzero()[:, 0]
        self.head = _head_vertices(topology)
        self.levels = _cheek_levels(model)
        # Of the photograph and the same for all targets: what it shows, and where it is held.
        self._shown = (self.view.visible_vertices() & (self.view.facing() > EDGE[1]))[0]
        self._edge = self._outline(self.view)
        self._rings, self._follow, self._fixed = self._around()

    def look(self, head: HeadView, *, draft: bool = False) -> MeshView:
        """What a camera of this picture's size sees of a head; of a ``draft`` the ``moving_faces``
        alone, from outside, which is faster.
        """
        faces = self.model.topology.faces
        if draft:
            faces = faces[self.moving_faces]
        return MeshView.of(head.vertices, faces, head.camera, self.size, cull_back_faces=draft)

    def bend(
        self,
        view: MeshView,
        grid: int = GRID,
        points: int = POINTS,
        size: tuple[int, int] | None = None,
    ) -> Tensor:
        """The thin plate: ``(1, 2, H, W)`` pixels to add to a pixel of the target to get to its
        place in the photograph.

        Args:
            view: The target's head.
            grid: Places along the longer side where the plate is evaluated.
            points: Of the face that bend the picture, about.
            size: Height and width of the result; the picture's when None. The values are pixels of
                the picture.
        """
        to, origin = self._anchors(view, points)
        height, width = self.size
        unit = max(height, width)
        rows = math.ceil(height / unit * grid) + 1
        columns = math.ceil(width / unit * grid) + 1
        y, x = torch.meshgrid(
            torch.linspace(0, height, rows).double(),
            torch.linspace(0, width, columns).double(),
            indexing="ij",
        )
        places = torch.stack([x, y], -1).reshape(-1, 2)
        weights = solve_thin_plate(to / unit, (origin - to) / unit, SMOOTHING)
        flow = evaluate_thin_plate(places / unit, to / unit, weights).reshape(rows, columns, 2)
        flow = flow.float().permute(2, 0, 1)[None] * unit
        # The grid's places are at the picture's edges: align_corners, from pixel centre to pixel
        # centre.
        return functional.grid_sample(
            flow,
            edge_grid(*(size or self.size), flow),
            mode="bicubic",
            align_corners=True,
            padding_mode="border",
        )

    def _anchors(self, view: MeshView, points: int = POINTS) -> tuple[Tensor, Tensor]:
        """Places in the target and where they are in the photograph ``(N, 2)``: face, rings of the
        head, borders.
        """
        pixels = view.projection.pixels[0]
        seen = self._shown & (view.visible_vertices() & (view.facing() > EDGE[1]))[0]
        face = self.candidates[seen[self.candidates]]
        face = face[:: max(1, len(face) // points)]
        matrix, shift = flat_motion(self.source_pixels[self.head], pixels[self.head])
        moved = self._rings @ matrix.T + shift
        targets = [
            pixels[face],
            pixels[self._outline(view)],
            self._rings + (moved - self._rings) * self._follow,
            self._fixed,
        ]
        origins = [
            self.source_pixels[face],
            self.source_pixels[self._edge],
            self._rings,
            self._fixed,
        ]
        return torch.cat(targets).double(), torch.cat(origins).double()

    def _around(self) -> tuple[Tensor, Tensor, Tensor]:
        """Places in the photograph around the head ``(N, 2)``, how far they follow it ``(N, 1)``,
        and places that stay ``(M, 2)``.
        """
        old = self.source_pixels[self.head]
        middle, radius = (old.amax(0) + old.amin(0)) / 2, (old.amax(0) - old.amin(0)) / 2
        angle = torch.arange(AROUND) / AROUND * 2 * math.pi
        circle = torch.stack([angle.cos(), angle.sin()], 1)
        chin = self.source_pixels[self.model.topology.landmarks.vertices[CHIN, 0]]
        places, follows = [], []
        for reach, follow in RINGS:
            place = middle + circle * radius * reach
            # below it are neck and shoulders
            place = place[place[:, 1] < chin[1] + 0.1 * radius[1]]
            places.append(place)
            follows.append(torch.full_like(place[:, :1], follow))
        return torch.cat(places), torch.cat(follows), self._still(chin, radius)

    def _outline(self, view: MeshView) -> Tensor:
        """Vertices on the left and right outline of cheeks and jaw, from the chin to the eyes: ``(2
        N,)``.
        """
        across = view.camera.rotation[0, :2, 0] * view.camera.rotation.new_tensor([1.0, -1.0])
        place = view.projection.pixels[0] @ across
        found = []
        for level in self.levels:
            found += [level[place[level].argmin()], level[place[level].argmax()]]
        return torch.stack(found)

    def _still(self, chin: Tensor, radius: Tensor) -> Tensor:
        """Places that do not move: the borders, and a line across the shoulders."""
        height, width = self.size
        along = torch.linspace(0, 1, BORDER)
        hem = float(torch.minimum(chin[1] + HEM * 2 * radius[1], chin.new_tensor(height - 1.0)))
        sides = [
            torch.stack([along * width, torch.full_like(along, level)], 1)
            for level in (0.0, hem, float(height))
        ]
        sides += [
            torch.stack([torch.full_like(along[1:-1], level), along[1:-1] * height], 1)
            for level in (0.0, float(width))
        ]
        return torch.cat(sides).unique(dim=0)

    def share(self, view: MeshView) -> Tensor:
        """How far the rendered face covers each pixel ``(1, H, W)``: softly at its border and where
        it turns away.
        """
        share = view.attribute(self.drawn[:, None])[0].clamp(0, 1) * view.mask[0]
        return torch.minimum(self.softened(share), share)

    def softened(self, share: Tensor) -> Tensor:
        """What covers the pixels ``(1, h, w)`` of this picture, of any size, made narrower and
        soft at its border.
        """
        sigma = FEATHER * max(share.shape[1:]) / 512 / 2
        reach = max(1, round(2 * sigma))
        # Narrower by the feather first, so that nothing beyond the outline is covered.
        inner = -dilated(-share[None], reach // 2)
        offsets = torch.arange(-reach, reach + 1).float()
        kernel = torch.exp(-0.5 * (offsets / sigma).square())
        kernel = kernel / kernel.sum()
        soft = functional.conv2d(
            functional.pad(inner, (reach, reach, 0, 0)), kernel[None, None, None]
        )
        soft = functional.conv2d(
            functional.pad(soft, (0, 0, reach, reach)), kernel[None, None, :, None]
        )
        return soft[0]


def _head_vertices(topology: FaceTopology) -> Tensor:
    """Indices of the vertices above the neck."""
    head = torch.ones_like(topology.masks["face"])
    if "neck" in topology.masks:
        head = head & ~topology.masks["neck"]
    return head.nonzero()[:, 0]


def _cheek_levels(model: MorphableModel) -> list[Tensor]:
    """Vertices of the skin, without ears and neck, at heights from the chin to the eyes of the mean
    face.
    """
    topology = model.topology
    skin = torch.ones_like(topology.masks["face"])
    for name in (
        "neck",
        "ears",
        "scalp",
        "inside_mouth",
        "eye_left",
        "eye_right",
        "teeth",
        "tongue",
        "socket",
    ):
        if name in topology.masks:
            skin = skin & ~topology.masks[name]
    marks, height = topology.landmarks.of(model.mean)[:, 1], model.mean[:, 1]
    edges = torch.linspace(float(marks[CHIN]), float(marks[36:48].mean()), LEVELS + 1)
    levels = [
        (skin & (height >= low) & (height < high)).nonzero()[:, 0]
        for low, high in pairwise(edges.tolist())
    ]
    return [level for level in levels if len(level) > 1]


def flat_motion(old: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """The similarity that moves pixels ``(P, 2)`` onto others best: matrix ``(2, 2)`` and shift
    ``(2,)``.
    """
    first, second = old.mean(0), new.mean(0)
    a, b = (
        torch.view_as_complex((old - first).contiguous()),
        torch.view_as_complex((new - second).contiguous()),
    )
    turn = (a.conj() * b).sum() / a.abs().square().sum()
    matrix = torch.stack(
        [torch.stack([turn.real, -turn.imag]), torch.stack([turn.imag, turn.real])]
    )
    return matrix, second - matrix @ first
