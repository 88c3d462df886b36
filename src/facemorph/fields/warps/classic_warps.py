"""The classical landmark warps: thin-plate spline and piecewise affine.

They are fitted separately for every pair of times, and carry landmarks along straight lines.
Neither is its own inverse's inverse: the spline's two directions disagree by about 1.4 px of 512 on
FRLL pairs (docs/benchmarks.md), which is why the flow is the default.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import Delaunay
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.fields.warps.thin_plate_flow import (
    MERGE_DISTANCE,
    merge_close_landmarks,
    refuse_mirrored,
)
from facemorph.fields.warps.warp import ClosedFormWarp
from facemorph.ops.frames import Frame
from facemorph.ops.splines import evaluate_thin_plate, solve_thin_plate


class _StraightLandmarkWarp(ClosedFormWarp):
    """Shared by both: anchors on the border, and where the control points are at a time."""

    _start: Tensor
    _goal: Tensor

    def __init__(self, border_anchors: int = 2) -> None:
        super().__init__()
        self.border_anchors = border_anchors
        for name in ("_start", "_goal"):
            self.register_buffer(name, None, persistent=False)

    def _prepare(self, frame: Frame) -> None:
        refuse_mirrored(self.source, self.target)
        source, target = merge_close_landmarks(self.source, self.target, MERGE_DISTANCE)
        if self.border_anchors:
            anchors = frame.border_anchors(self.border_anchors).to(source)
            source, target = torch.cat([source, anchors]), torch.cat([target, anchors])
        self._start, self._goal = source, target

    def control_points(self, time: float) -> Tensor:
        """Merged landmarks and border anchors at ``time``, ``(Q, 2)`` float64."""
        return (1 - time) * self._start + time * self._goal


class ThinPlateSpline(_StraightLandmarkWarp):
    """Thin-plate spline from the control points of one time to those of the other (Bookstein 1989).

    Args:
        smoothing: 0 interpolates the landmarks; larger values trade landmark error for bending.
        border_anchors: Fixed points on each side of the frame; 0 for none.
        lattice_nodes: Nodes along the longer side for dense maps.
    """

    def __init__(
        self, smoothing: float = 0.0, border_anchors: int = 2, lattice_nodes: int = 65
    ) -> None:
        super().__init__(border_anchors)
        self.smoothing, self.lattice_nodes = smoothing, lattice_nodes

    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``; exactly ``xy`` where the two are
        equal.

        Raises:
            GeometryError: ``fit`` has not been called.
        """
        self._require_fit()
        if t0 == t1:
            return xy
        knots = self.control_points(t0)
        weights = solve_thin_plate(knots, self.control_points(t1) - knots, self.smoothing).to(xy)
        knots = knots.to(xy)
        return xy + evaluate_thin_plate(xy, knots, weights)


class PiecewiseAffine(_StraightLandmarkWarp):
    """One affine map in each triangle of the Delaunay triangulation of the mean shape.

    Continuous but not smooth; triangles can flip where landmarks cross. Outside the frame it is the
    identity.

    Args:
        border_anchors: Fixed points on each side of the frame; at least 1, so that the triangles
            cover the frame.

    Raises:
        GeometryError: ``border_anchors`` is below 1.
    """

    lattice_nodes = None

    def __init__(self, border_anchors: int = 2) -> None:
        if border_anchors < 1:
            raise GeometryError(
                "piecewise affine needs the frame's corners",
                expected="border_anchors >= 1",
                found=border_anchors,
            )
        super().__init__(border_anchors)

    def _prepare(self, frame: Frame) -> None:
        super()._prepare(frame)
        mean = (0.5 * (self._start + self._goal)).detach().cpu().numpy()
        self._triangles = torch.from_numpy(Delaunay(mean).simplices.astype(np.int64))

    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``; exactly ``xy`` where the two are
        equal.

        Raises:
            GeometryError: ``fit`` has not been called.
        """
        self._require_fit()
        if t0 == t1:
            return xy
        before, after = self.control_points(t0).to(xy), self.control_points(t1).to(xy)
        moved = xy.clone()
        order = xy[:, 0].argsort()
        ordered = xy[order].contiguous()
        x = ordered[:, 0].contiguous()
        for corners in self._triangles.to(xy.device):
            old, new = before[corners], after[corners]
            first, last = torch.searchsorted(
                x, torch.stack([old[:, 0].min(), old[:, 0].max()])
            ).tolist()
            edges = torch.stack([old[1] - old[0], old[2] - old[0]], 1)
            if first == last or abs(float(torch.linalg.det(edges.detach()))) < 1e-12:
                continue
            local = (ordered[first:last] - old[0]) @ torch.linalg.inv(edges).t()
            inside = ((local >= -1e-6).all(1) & (local.sum(1) <= 1 + 1e-6)).nonzero()[:, 0]
            shift = new[0] + local[inside] @ torch.stack([new[1] - new[0], new[2] - new[0]])
            moved[order[first + inside]] = shift
        return moved
