"""Straight-line thin-plate flow: a closed-form warp between two landmark sets, with its exact
inverse.

At every time t a thin-plate spline interpolates the landmarks' velocity ``target - source`` at
their positions ``p(t) = (1 - t) source + t target``; the warp from t0 to t1 is the flow of that
velocity field. Hence landmarks travel on straight lines exactly, identity, inverse and composition
hold for every pair of times up to the integration error, and nothing is trained: the price is one
small linear solve for each integration node.

Our own construction (measured in docs/benchmarks.md); the spline is Duchon's thin plate (1977),
landmark flows go back to Joshi and Miller, Landmark matching via large deformation diffeomorphisms
(2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from facemorph.errors import ConfigError, GeometryError
from facemorph.fields.warps.contradictions import (
    STRAINS,
    close_groups,
    contradicting,
    pair_strains,
)
from facemorph.fields.warps.maps import dense_map, lattice_shift, map_determinants, smallest_area
from facemorph.fields.warps.similarity_path import SimilarityPath
from facemorph.fields.warps.warp import ClosedFormWarp
from facemorph.ops.frames import Frame
from facemorph.ops.integration import runge_kutta
from facemorph.ops.splines import evaluate_thin_plate, solve_thin_plate

PIXEL = 1 / 256  # field units of 1/512 of the longer side, the unit of all figures
MERGE_DISTANCE = 1.5 * PIXEL
STRONG_ROTATION = math.radians(20)
# Of the larger singular value of two shapes; three points of a face that are on no line have .4.
ON_A_LINE = 0.02
SMALLEST_AREA = 0.05  # of a lattice cell, under which a map counts as folded
SMOOTHING_LADDER = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
GIVING_WAY = (1e-4, 1e-2, 1.0)  # smoothing of those landmarks alone that contradict each other
MET = 0.01  # px


class ThinPlateFlow(ClosedFormWarp):
    """The flow between two landmark sets.

    ``fit`` refuses mirrored faces, holds the frame's border, and takes as many integration steps
    and as much smoothing as it needs (``smoothing`` at least) for maps that do not fold: at first
    at those landmarks alone that contradict each other, then at all. It is differentiable in the
    landmarks.

    Args:
        smoothing: 0 hits the landmarks exactly; larger values trade landmark error for bending. In
            squared field units; 1e-3 suits detected points, whose noise it should not follow.
        border_anchors: Fixed points on each side of the frame, which keep background and shoulders
            in place; 0 for none. They are left out where one face is turned against the other by
            more than 20 degrees.
        similarity: Interpolate the best rotation, scale and translation on its own group, so that
            faces turned against each other do not shrink half-way.
        steps: Fewest Runge-Kutta steps for one unit of time.
        lattice_nodes: Nodes along the longer side for dense maps.

    Raises:
        ConfigError: One of them is out of its range.
    """

    _start: Tensor
    _goal: Tensor
    _motion: Tensor
    _smoothing_of_each: Tensor | None

    def __init__(
        self,
        smoothing: float = 0.0,
        border_anchors: int = 4,
        similarity: bool = True,
        steps: int = 4,
        lattice_nodes: int = 65,
    ) -> None:
        super().__init__()
        if not 0 <= smoothing < math.inf or border_anchors < 0 or steps < 1 or lattice_nodes < 2:
            raise ConfigError(
                "this flow cannot be computed",
                where="warp",
                expected="smoothing >= 0, border_anchors >= 0, steps >= 1, lattice_nodes >= 2",
                found=f"{smoothing}, {border_anchors}, {steps}, {lattice_nodes}",
            )
        self.smoothing, self.border_anchors, self.similarity = smoothing, border_anchors, similarity
        self.steps, self.lattice_nodes = steps, lattice_nodes
        # What follows from the landmarks is recomputed, not stored; buffers, so that it moves
        # between devices.
        for name in ("_start", "_goal", "_motion", "_smoothing_of_each"):
            self.register_buffer(name, None, persistent=False)
        self._solutions: dict[float, tuple[Tensor, Tensor]] = {}
        self.shifts: dict[tuple[Frame, float, float, int], Tensor] = {}

    # ------------------------------------------------------------
    # fitting
    def begin(self, source: Tensor, target: Tensor, frame: Frame) -> None:
        """``fit`` without solving anything yet: what ``facemorph.fields.warps.flow_batch`` does for
        many at once.

        Raises:
            GeometryError: As ``fit``, but for folds.
        """
        self._keep(source, target, frame)
        self._set_landmarks(*self._separate_landmarks(), self.smoothing, frame)

    def _separate_landmarks(self) -> tuple[Tensor, Tensor]:
        refuse_mirrored(self.source, self.target)
        # Landmarks that coincide in one face and not in the other (hand-made templates have some)
        # cannot both be met.
        return merge_close_landmarks(self.source, self.target, MERGE_DISTANCE)

    def _prepare(self, frame: Frame) -> None:
        source, target = self._separate_landmarks()
        self._set_landmarks(source, target, self.smoothing, frame)
        if self._is_good(frame) or self._let_give_way(frame):
            return
        for smoothing in SMOOTHING_LADDER:
            if smoothing > self.smoothing:
                self._set_landmarks(source, target, smoothing, frame)
                if self._is_good(frame):
                    return
        raise GeometryError(
            "no smoothing gives a warp without folds",
            found=f"{len(self.source)} landmarks",
            remedy="Some landmarks are probably labelled wrongly: look at both overlays.",
        )

    @torch.no_grad()
    def _is_good(self, frame: Frame) -> bool:
        return (
            self._refine_steps()
            and self._smallest_area(frame) > SMALLEST_AREA
            and not self.hides_folds(frame)
        )

    @torch.no_grad()
    def hides_folds(self, frame: Frame) -> bool:
        """Whether a map folds inside of a cell of its lattice, which only landmarks that nearly
        collide make it do.
        """
        if float(pair_strains(self._start, self._goal).max()) <= STRAINS[-1]:
            return False
        maps = (dense_map(self, frame, 0.5, end) for end in (0.0, 1.0))
        return any(bool((map_determinants(one.double()) <= 0).any()) for one in maps)

    def _let_give_way(self, frame: Frame) -> bool:
        """Smooth the landmarks that contradict each other, more and more; the others stay exact.
        False where that is not enough.
        """
        anchors = len(self._start) - self._landmark_count
        tried = torch.zeros(len(self._start), dtype=torch.bool)
        for strain in STRAINS:
            chosen = contradicting(self._start, self._goal, anchors, strain)
            if torch.equal(chosen, tried):
                continue
            tried = chosen
            for smoothing in GIVING_WAY:
                if smoothing > self.smoothing:
                    self.used_smoothing = smoothing
                    self._smoothing_of_each = torch.where(
                        chosen.to(self._start.device), smoothing, self.smoothing
                    ).to(self._start)
                    self._forget()
                    if self._is_good(frame):
                        return True
        return False

    @torch.no_grad()
    def gave_way(self) -> dict[int, float]:
        """The landmarks that gave way because they contradict others: their indices, and by how
        many px of 512 they are missed at time 1.
        """
        if self._smoothing_of_each is None:
            return {}
        group = close_groups(self.source, self.target, MERGE_DISTANCE).to(self.source.device)
        missed = (self(self.source, 0.0, 1.0) - self.target).norm(dim=1) / PIXEL
        chosen = (self._smoothing_of_each[group] > self.smoothing) & (missed > MET)
        return {index: float(missed[index]) for index in chosen.nonzero()[:, 0].tolist()}

    def _set_landmarks(
        self, source: Tensor, target: Tensor, smoothing: float, frame: Frame
    ) -> None:
        self._landmark_count, self._smoothing_of_each = len(source), None
        turned = abs(SimilarityPath.fit(source.detach(), target.detach()).angle) > STRONG_ROTATION
        if self.border_anchors and not turned:
            anchors = frame.border_anchors(self.border_anchors).to(source)
            source, target = torch.cat([source, anchors]), torch.cat([target, anchors])
        path = SimilarityPath.fit(source, target if self.similarity else source)
        # As real numbers: a change of dtype would drop the imaginary parts.
        self._motion = torch.view_as_real(torch.stack([path.log_factor, path.offset]))
        self.used_smoothing, self.used_steps = smoothing, self.steps
        self._start, self._goal = source, path.at(-1.0, target)  # target in the source's pose
        self._forget()

    def _forget(self) -> None:
        """Drop what was computed for other landmarks or smoothing, or elsewhere."""
        self._solutions.clear()
        self.shifts.clear()

    @property
    def path(self) -> SimilarityPath:
        """The similarity that is taken out and interpolated on its own."""
        log_factor, offset = torch.view_as_complex(self._motion)
        return SimilarityPath(log_factor, offset)

    def _apply(self, function: Callable[[Tensor], Tensor], recurse: bool = True) -> ThinPlateFlow:
        before = None if self._start is None else self._start.device
        super()._apply(function, recurse)
        if before is not None and before != self._start.device:
            self._forget()  # what lies on the old one
        return self

    @property
    def _differentiable(self) -> bool:
        return self._start.requires_grad or self._goal.requires_grad

    def _refine_steps(self, tolerance: float = 0.5 * PIXEL, most: int = 96) -> bool:
        """Double the steps until a probe grid moves by less than ``tolerance``; False where it
        never does.
        """
        axis = torch.linspace(-1, 1, 17, dtype=torch.float64, device=self._start.device)
        probes = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(-1, 2)
        self.used_steps, most = (self.steps + 1) // 2, max(most, self.steps)
        coarse = self._transport(probes, 0.0, 1.0)
        while self.used_steps < most:
            self.used_steps *= 2
            fine = self._transport(probes, 0.0, 1.0)
            # Runge-Kutta of order 4: what remains is about a fifteenth of the change.
            change = float((fine - coarse).norm(dim=1).max())
            if change / 15 < tolerance:
                return True
            coarse = fine
        return False

    def _smallest_area(self, frame: Frame) -> float:
        nodes = self.lattice_nodes or 65
        shifts = {end: lattice_shift(self, frame, 0.5, end, nodes) for end in (0.0, 1.0)}
        if not self._differentiable:
            # asked for next
            self.shifts.update({(frame, 0.5, end, nodes): shift for end, shift in shifts.items()})
        return smallest_area(frame, nodes, list(shifts.values()))

    # ------------------------------------------------------------
    # flow
    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``; exactly ``xy`` where the two are
        equal.

        In the dtype of the points.

        Raises:
            GeometryError: ``fit`` has not been called.
        """
        self._require_fit()
        return xy if t0 == t1 else self._transport(xy, float(t0), float(t1))

    def landmarks_at(self, time: float) -> Tensor:
        """Source landmarks ``(P, 2)`` carried to ``time``, float64."""
        return self.forward(self.source, 0.0, time)

    def _transport(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Runge-Kutta 4; every stage of a landmark lands on its straight path, so they are met
        exactly.
        """
        count = max(1, math.ceil(abs(t1 - t0) * self.used_steps - 1e-9))
        return self.path.at(t1, runge_kutta(self._velocity, self.path.at(-t0, xy), t0, t1, count))

    def _velocity(self, points: Tensor, time: float) -> Tensor:
        return evaluate_thin_plate(points, *self._solution(time))

    def _solution(self, time: float) -> tuple[Tensor, Tensor]:
        """Knots ``(P, 2)`` and weights ``(P + 3, 2)`` of the velocity spline at ``time``,
        float64.
        """
        key = round(time, 9)
        if key in self._solutions:
            return self._solutions[key]
        knots = (1 - time) * self._start + time * self._goal
        of_each = self._smoothing_of_each
        smoothing = self.used_smoothing if of_each is None else of_each
        solution = knots, solve_thin_plate(knots, self._goal - self._start, smoothing)
        if not self._differentiable:  # do not keep autograd graphs alive
            self._solutions[key] = solution
        return solution


# ------------------------------------------------------------
# landmarks
def orientation_reversed(source: Tensor, target: Tensor) -> bool:
    """True when the best linear map of ``source`` (P, 2) to ``target`` mirrors the plane.

    Landmarks on a line say nothing of it: which side a few of them lie on is chance.
    """
    if len(source) < 3:
        return False
    one, two = ((points - points.mean(0)).detach().cpu() for points in (source, target))
    together = one.mT @ two
    broad, thin = torch.linalg.svdvals(together)
    return bool(torch.linalg.det(together) < 0 and thin > ON_A_LINE * broad)


def refuse_mirrored(source: Tensor, target: Tensor) -> None:
    """Stop where ``source`` (P, 2) and ``target`` (P, 2) are mirror images.

    Raises:
        GeometryError: They are.
    """
    if orientation_reversed(source, target):
        raise GeometryError(
            "the faces are mirror images of each other: no warp without folds exists",
            remedy="Flip one picture, or swap the left and right labels of its landmarks.",
        )


def merge_close_landmarks(
    source: Tensor, target: Tensor, tolerance: float
) -> tuple[Tensor, Tensor]:
    """Average groups of landmarks that lie within ``tolerance`` of each other in *either* set.

    Two landmarks at one place with two velocities make the interpolation ill-posed. Greedy, in
    index order.

    Args:
        source: ``(P, 2)``.
        target: ``(P, 2)``.
        tolerance: Distance in the unit of the points.

    Returns:
        Both sets with ``Q <= P`` landmarks.
    """
    member = close_groups(source, target, tolerance).to(source.device)
    label = int(member.max()) + 1
    if label == len(source):
        return source, target
    counts = torch.zeros(label, dtype=source.dtype, device=source.device).index_add_(
        0, member, torch.ones_like(source[:, 0])
    )
    merged_source, merged_target = (
        torch.zeros(label, 2, dtype=points.dtype, device=points.device).index_add(0, member, points)
        / counts[:, None]
        for points in (source, target)
    )
    return merged_source, merged_target
