"""Live previews of a morph: both maps as the spline coefficients of a small lattice, which the page
draws.

While a point moves, the flow is solved on a coarse lattice with one step of second order to each
end; afterwards with the care of ``ThinPlateFlow.fit``.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.apps.studio.editor_wire import Header
from facemorph.faces.files.image_output import to_picture
from facemorph.faces.masks import face_mask
from facemorph.fields.warps.blended_pairs import target_share
from facemorph.fields.warps.maps import lattice, lattice_shift, smallest_area
from facemorph.fields.warps.thin_plate_flow import PIXEL, SMALLEST_AREA, ThinPlateFlow
from facemorph.metrics.warp_quality import fold_over, landmark_errors
from facemorph.ops.frames import Frame
from facemorph.ops.integration import midpoint
from facemorph.ops.splines import basis, coefficient_matrix

DRAG_NODES, STILL_NODES = 33, 65
STEPS = 2
MASK_SIZE = 64  # longer side of the soft mask, which has no fine detail
JPEG_SIZE, JPEG_QUALITY = 384, 80


@dataclass(frozen=True)
class Lattice:
    """Both maps of a time as cubic B-spline coefficients on a regular lattice.

    Attributes:
        coefficients: ``(rows, columns, 4)`` float32: displacement x, y to time 0, then x, y to time
            1.
        first: Field coordinates x, y of the first coefficient's knot.
        spacing: Of the knots.
    """

    coefficients: Tensor
    first: tuple[float, float]
    spacing: float

    def header(self) -> Header:
        """What the page must know to evaluate it."""
        rows, columns, _ = self.coefficients.shape
        return {
            "rows": rows,
            "columns": columns,
            "first": list(self.first),
            "spacing": self.spacing,
        }


class MovingFlow(ThinPlateFlow):
    """A thin-plate flow for the moment while its landmarks move: three solves for both maps instead
    of five or more.

    One step of the midpoint method carries the nodes to each end. Landmarks, which go straight, are
    met exactly all the same; elsewhere the maps differ by some hundredths of a pixel of 512.

    Args:
        smoothing: Of the flow.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__(smoothing, lattice_nodes=DRAG_NODES)

    def shifts_at(self, frame: Frame, time: float) -> list[Tensor]:
        """Displacements ``(rows, columns, 2)`` of the lattice's nodes from ``time`` to times 0 and
        1.
        """
        x, y, _, _ = lattice(frame, DRAG_NODES)
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        points = self.path.at(-time, grid.reshape(-1, 2))
        first = self._velocity(points, time)  # both ways begin alike
        ends = [midpoint(self._velocity, points, time, end, first) for end in (0.0, 1.0)]
        return [
            self.path.at(end, at).reshape(grid.shape) - grid
            for end, at in zip((0.0, 1.0), ends, strict=True)
        ]

    def landmarks_at(self, time: float) -> Tensor:
        """Source landmarks ``(P, 2)`` at ``time``, on their straight paths."""
        goal = self.path.at(-1.0, self.target)
        return self.path.at(time, torch.lerp(self.source, goal, time))


class PreviewSolver:
    """Solves previews of one pair of faces; keeps the flows of the newest points.

    Not to be shared between threads.

    Args:
        frame: Frame of the morph.
        smoothing: Of the flow.
    """

    def __init__(self, frame: Frame, smoothing: float) -> None:
        self.frame, self.smoothing = frame, smoothing
        self._flows: OrderedDict[tuple[bytes, str], ThinPlateFlow] = OrderedDict()

    def flow(self, source: Tensor, target: Tensor, detail: str = "still") -> ThinPlateFlow:
        """The flow between landmarks ``(P, 2)`` in field coordinates.

        Args:
            source: Landmarks of A.
            target: Landmarks of B.
            detail: ``drag`` or ``still``.

        Raises:
            GeometryError: The landmarks have no warp, and why.
        """
        key = torch.stack([source, target]).numpy().tobytes(), detail
        if key not in self._flows:
            flow: ThinPlateFlow
            if detail == "drag":  # no search for steps and smoothing
                flow = MovingFlow(self.smoothing)
                flow.begin(source, target, self.frame)
            else:
                flow = ThinPlateFlow(self.smoothing, steps=STEPS, lattice_nodes=STILL_NODES)
                flow.fit(source, target, self.frame)
            self._flows[key] = flow
            while len(self._flows) > 2:
                self._flows.popitem(last=False)
        return self._flows[key]

    def lattice(
        self, source: Tensor, target: Tensor, time: float, detail: str = "still"
    ) -> Lattice:
        """Both maps at ``time``; a drag that folds is solved with care instead.

        Raises:
            GeometryError: The landmarks have no warp, and why.
        """
        flow = self.flow(source, target, detail)
        if isinstance(flow, MovingFlow):
            nodes, shifts = DRAG_NODES, flow.shifts_at(self.frame, time)
            if smallest_area(self.frame, nodes, shifts) <= SMALLEST_AREA:
                return self.lattice(source, target, time, "still")
        else:
            nodes = STILL_NODES
            shifts = [lattice_shift(flow, self.frame, time, end, nodes) for end in (0.0, 1.0)]
        return spline_lattice(self.frame, torch.cat(shifts, -1), nodes)

    def mask(
        self, source: Tensor, target: Tensor, time: float, scheme: str, detail: str = "still"
    ) -> Tensor:
        """Soft mask ``(1, h, w)`` of the face at ``time``, small.

        Raises:
            GeometryError: The landmarks have no warp.
        """
        frame = self.frame.scaled_to(MASK_SIZE)
        points = self.flow(source, target, detail).landmarks_at(time)
        return face_mask(frame.to_pixels(points), scheme, frame)

    def measure(self, source: Tensor, target: Tensor) -> Header:
        """Figures of the warp as in ``metrics.json``, its smoothing, and the error of each landmark
        in px.
        """
        flow = self.flow(source, target)
        missed = (flow(source, 0.0, 1.0) - target).norm(dim=1) / PIXEL
        return {
            **landmark_errors(flow, source, target),
            **fold_over(flow, self.frame),
            "smoothing": flow.used_smoothing,
            "steps": flow.used_steps,
            "errors": [round(error, 3) for error in missed.tolist()],
        }


def spline_lattice(frame: Frame, shifts: Tensor, nodes: int) -> Lattice:
    """Coefficients of displacements ``(rows, columns, 4)`` at the nodes of ``lattice(frame,
    nodes)``.
    """
    x, y, _, _ = lattice(frame, nodes)
    rows, columns = _coefficient_matrix(len(y)), _coefficient_matrix(len(x))
    coefficients = (
        (rows @ shifts.permute(2, 0, 1).float() @ columns.mT).permute(1, 2, 0).contiguous()
    )
    spacing = 2.0 / (nodes - 1)
    return Lattice(coefficients, (float(x[0]) - spacing, float(y[0]) - spacing), spacing)


@lru_cache(maxsize=8)
def _coefficient_matrix(count: int) -> Tensor:
    return coefficient_matrix(count).float()


def draw_preview(
    images: Tensor, maps: Lattice, time: float, mask: Tensor | None, outside: str = "source"
) -> bytes:
    """The morph as JPEG, for browsers that cannot draw it.

    Args:
        images: Both pictures ``(2, 3, H, W)`` in [0, 1].
        maps: Both maps at ``time``.
        time: Share of B.
        mask: Soft mask ``(1, h, w)`` of the face; None blends whole frames.
        outside: Whose hair and background are outside of the mask, as of ``target_share``.
    """
    frame = Frame.of(images)
    positions = dense_positions(maps, frame)
    size = positions.new_tensor([frame.width, frame.height])
    warped = F.grid_sample(
        images,
        frame.to_pixels(positions) / size * 2 - 1,
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    share: float | Tensor = time
    if mask is not None:
        share = target_share(
            F.interpolate(mask[None], (frame.height, frame.width), mode="bilinear")[0],
            time,
            outside,
        )
    blended = warped[0] + (warped[1] - warped[0]) * share
    buffer = io.BytesIO()
    to_picture(blended).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def dense_positions(maps: Lattice, frame: Frame) -> Tensor:
    """Field coordinates ``(2, H, W, 2)`` of every pixel at time 0 and at time 1, as the page
    evaluates them.
    """
    centres = frame.pixel_centres()
    weights = [
        _weights((axis - first) / maps.spacing, count)
        for axis, first, count in zip(
            (centres[0, :, 0], centres[:, 0, 1]),
            maps.first,
            maps.coefficients.shape[1::-1],
            strict=True,
        )
    ]
    shift = weights[1] @ maps.coefficients.permute(2, 0, 1) @ weights[0].mT
    return shift.unflatten(0, (2, 2)).permute(0, 2, 3, 1) + centres


def _weights(positions: Tensor, count: int) -> Tensor:
    """Weights ``(Q, count)`` of the four coefficients around each position, in units of the
    spacing.
    """
    low = positions.floor().clamp(1, count - 3)
    matrix = positions.new_zeros(len(positions), count)
    index = low.long()[:, None] + torch.arange(-1, 3)
    return matrix.scatter_(1, index, basis(positions - low))
