"""Thin-plate flows of many pairs, fitted as one batch: for a GPU, whose kernels are too short for
one pair.

The plain twin is ``ThinPlateFlow.fit``, pair by pair; on a CPU that is as fast. A pair that needs
more steps or smoothing than it was given is fitted so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.fields.warps.maps import lattice, smallest_area
from facemorph.fields.warps.thin_plate_flow import (
    PIXEL,
    SMALLEST_AREA,
    ThinPlateFlow,
)
from facemorph.ops.frames import Frame
from facemorph.ops.integration import runge_kutta
from facemorph.ops.splines import solve_thin_plate, thin_plate_kernel

FAR = 16.0  # where the knots that fill up shorter lists lie; their weights are 0
TOLERANCE = 0.5 * PIXEL


def fit_flows(
    flows: Sequence[ThinPlateFlow],
    landmarks: Sequence[tuple[Tensor, Tensor]],
    frame: Frame,
    device: torch.device | str = "cpu",
) -> None:
    """Fit flows to their landmarks, and compute the maps from half-way to both ends.

    Args:
        flows: One for each pair, all with the same options.
        landmarks: Source and target ``(P, 2)`` of each pair in field coordinates; P may differ.
        frame: The frame of all.
        device: Where to compute; the flows are moved there.

    Raises:
        GeometryError: The landmarks of a pair do not determine a warp without folds.
        ConfigError: The flows have different options, or there are not as many as pairs.
    """
    options = {
        (flow.smoothing, flow.border_anchors, flow.similarity, flow.steps, flow.lattice_nodes)
        for flow in flows
    }
    if len(options) != 1 or len(flows) != len(landmarks):
        raise ConfigError(
            "a batch of flows has one set of options and a pair for each",
            found=f"{len(options)} sets, {len(flows)} flows, {len(landmarks)} pairs",
        )
    for flow, (source, target) in zip(flows, landmarks, strict=True):
        flow.begin(source, target, frame)
        flow.to(device)
    with torch.no_grad():
        batch = _Batch(flows)
        good = batch.steps_suffice() & (batch.compute_shifts(frame) > SMALLEST_AREA)
    for flow, enough in zip(flows, good.tolist(), strict=True):
        flow.used_steps = batch.steps
        if not enough or flow.hides_folds(frame):
            flow.fit(flow.source, flow.target, frame)


class _Batch:
    """Padded knots and weights of all flows at the times of their integration stages."""

    def __init__(self, flows: Sequence[ThinPlateFlow]) -> None:
        # As `ThinPlateFlow` begins: half of the steps, rounded up, and twice as many.
        self.flows, self.steps = flows, 2 * ((flows[0].steps + 1) // 2)
        start, goal = (
            list(parts) for parts in zip(*((f._start, f._goal) for f in flows), strict=True)
        )
        self.most = max(map(len, start))
        self.counts = [len(one) for one in start]
        self.start, self.goal = (
            torch.stack([F.pad(one, (0, 0, 0, self.most - len(one)), value=FAR) for one in part])
            for part in (start, goal)
        )
        motions = [torch.view_as_complex(flow._motion) for flow in flows]
        self.log_factor, self.offset = (
            torch.stack([one[index] for one in motions])[:, None] for index in (0, 1)
        )
        self.weights: dict[float, Tensor] = {}

    def _solution(self, time: float) -> tuple[Tensor, Tensor]:
        key = round(time, 9)
        knots = (1 - time) * self.start + time * self.goal
        if key not in self.weights:
            solve = self.solve_one_by_one if knots.device.type == "cpu" else self.solve_together
            self.weights[key] = solve(knots)
            for flow, count, at, weights in zip(
                self.flows, self.counts, knots, self.weights[key], strict=True
            ):
                flow._solutions[key] = (
                    at[:count],
                    torch.cat([weights[:count], weights[self.most :]]),
                )
        return knots, self.weights[key]

    def solve_one_by_one(self, knots: Tensor) -> Tensor:
        """Weights ``(B, most + 3, 2)`` at ``knots`` (B, most, 2), zero where the lists are filled
        up.

        For the CPU, where batched LU hangs in some builds.
        """
        solved = [
            solve_thin_plate(at[:count], value[:count], self.flows[0].smoothing)
            for at, value, count in zip(knots, self.goal - self.start, self.counts, strict=True)
        ]
        return torch.stack(
            [
                torch.cat([one[:-3], one.new_zeros(self.most - len(one) + 3, 2), one[-3:]])
                for one in solved
            ]
        )

    def solve_together(self, knots: Tensor) -> Tensor:
        """The same as one batch of systems, filled up with rows of the identity."""
        smoothing, values = self.flows[0].smoothing, self.goal - self.start
        there = (
            torch.arange(self.most, device=knots.device)
            < torch.tensor(self.counts, device=knots.device)[:, None]
        )
        both = (there[:, :, None] & there[:, None]).to(knots)
        kernel = thin_plate_kernel((knots[:, :, None] - knots[:, None]).square().sum(-1)) * both
        kernel = kernel + torch.diag_embed(torch.where(there, smoothing + 1e-10, 1.0))
        affine = torch.cat([torch.ones_like(knots[..., :1]), knots], 2) * there[..., None]
        corner = (-1e-9 * torch.eye(3, dtype=knots.dtype, device=knots.device)).expand(
            len(knots), 3, 3
        )
        system = torch.cat([torch.cat([kernel, affine], 2), torch.cat([affine.mT, corner], 2)], 1)
        return torch.linalg.solve(system, F.pad(values * there[..., None], (0, 0, 0, 3)))

    def _velocity(self, points: Tensor, time: float) -> Tensor:
        knots, weights = (part.to(points.dtype) for part in self._solution(time))
        bent = (
            thin_plate_kernel((points[:, :, None] - knots[:, None]).square_().sum(-1))
            @ weights[:, : self.most]
        )
        return bent + weights[:, self.most : self.most + 1] + points @ weights[:, self.most + 1 :]

    def _similarity(self, time: float, points: Tensor) -> Tensor:
        power = torch.exp(time * self.log_factor)
        plain = self.log_factor.abs() < 1e-9
        safe = torch.where(plain, torch.ones_like(self.log_factor), self.log_factor)
        ratio = torch.where(
            plain, torch.full_like(power, time), torch.expm1(time * safe) / torch.expm1(safe)
        )
        z = torch.view_as_complex(points.double().contiguous())
        return torch.view_as_real(power * z + self.offset * ratio).to(points.dtype)

    def transport(self, points: Tensor, t0: float, t1: float, steps: int) -> Tensor:
        """``points`` (B, N, 2) from ``t0`` to ``t1``, as ``ThinPlateFlow`` moves those of
        one pair.
        """
        count = max(1, math.ceil(abs(t1 - t0) * steps - 1e-9))
        return self._similarity(
            t1, runge_kutta(self._velocity, self._similarity(-t0, points), t0, t1, count)
        )

    def steps_suffice(self) -> Tensor:
        """``(B,)`` whether half of the steps give nearly the same; else the flow doubles them by
        itself.
        """
        axis = torch.linspace(-1, 1, 17, dtype=torch.float64, device=self.start.device)
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        probes = grid.reshape(1, -1, 2).expand(len(self.flows), -1, 2)
        fine, coarse = (
            self.transport(probes, 0.0, 1.0, steps) for steps in (self.steps, self.steps // 2)
        )
        return (fine - coarse).norm(dim=2).amax(1) / 15 < TOLERANCE

    def compute_shifts(self, frame: Frame) -> Tensor:
        """Give each flow its maps from half-way to both ends; ``(B,)`` the smallest area of a
        lattice cell.
        """
        nodes = self.flows[0].lattice_nodes or 65
        x, y, _, _ = lattice(frame, nodes)
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(self.start.device)
        flat = grid.reshape(1, -1, 2).expand(len(self.flows), -1, 2)
        shifts = torch.stack(
            [
                (self.transport(flat, 0.5, end, self.steps) - flat).reshape(
                    len(self.flows), *grid.shape
                )
                for end in (0.0, 1.0)
            ],
            1,
        )
        for flow, both in zip(self.flows, shifts, strict=True):
            flow.shifts.update(
                {
                    (frame, 0.5, end, nodes): shift
                    for end, shift in zip((0.0, 1.0), both, strict=True)
                }
            )
        return torch.tensor(
            [smallest_area(frame, nodes, list(both)) for both in shifts], device=self.start.device
        )
