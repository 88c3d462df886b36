"""The iterations of the landmark fit: damped, bounded Gauss-Newton steps for many people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from facemorph.errors import ConfigError, GeometryError
from facemorph.geometry.fitting.bounded_steps import bounded_steps, bounded_steps_alone
from facemorph.geometry.fitting.turned_landmarks import offsets_at, offsets_derivative
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.rotations import cross_matrix, rotation_from_vector

if TYPE_CHECKING:
    from facemorph.geometry.fitting.landmark_fit import LandmarkFitter

JAW, INNER = slice(0, 17), slice(17, 68)
UPPER_LIP, LOWER_LIP = (61, 62, 63), (67, 66, 65)  # inner contours, point against point
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)  # as in the picture
POSE = 6  # rotation, origin, logarithm of the size
DAMPING = (1e-6, 1e4)
CLEARLY = 0.5  # millimetres
GIVEN_UP = 1e3  # damping at which no step of a person has helped any more


def distance_between_pupils(landmarks: Tensor) -> Tensor:
    """``(B,)`` pixels between the means of both eyes' landmarks ``(B, 68, 2)``."""
    return (landmarks[:, LEFT_EYE].mean(1) - landmarks[:, RIGHT_EYE].mean(1)).norm(dim=-1)


@dataclass(frozen=True)
class FitOptions:
    """How landmarks are fitted.

    Args:
        noise: Expected error of a landmark as a share of the distance between the pupils. The one
            weight between data and prior: 0.02 for detectors; lower follows the picture more, and
            below 0.01 its errors too.
        expression_sigma: Prior of expression coefficients that are bounded, of which both sides go
            together and smiles twice as far; statistical ones are in standard deviations.
        contour_weight: Weight of the 17 landmarks of the jaw line, which are the least well
            defined.
        lip_weight: Weight of the gap between the lips besides that of its landmarks: how far a
            mouth is open shows more than where it is.
        slide_above: Degrees of yaw above which the jaw line's landmarks slide over the cheek to the
            outline; below they stay where they are in a frontal view. Above 90 they never slide.
        field_of_view: Degrees over the longer side of the picture; None is weak perspective.
        expression: Whether expressions are fitted at all.
        num_identity: How many identity coefficients are fitted; None is all.
        iterations: Most steps.
        tolerance: Relative decrease of the cost below which a person is done.

    Raises:
        ConfigError: A value is out of its range.
    """

    noise: float = 0.02
    expression_sigma: float = 0.3
    contour_weight: float = 0.5
    lip_weight: float = 1.0
    slide_above: float = 15.0
    field_of_view: float | None = None
    expression: bool = True
    num_identity: int | None = None
    iterations: int = 30
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("noise", "expression_sigma", "tolerance", "iterations"):
            if not getattr(self, name) > 0:
                raise ConfigError("this must be above 0", where=name, found=getattr(self, name))
        for name in ("contour_weight", "lip_weight"):
            if not 0 <= getattr(self, name) <= 10:
                raise ConfigError(
                    "unusable weight", where=name, expected="0 to 10", found=getattr(self, name)
                )


@dataclass(frozen=True)
class LandmarkFit:
    """Faces that fit landmarks.

    Attributes:
        identity: ``(B, K)``, equal for all pictures of a person.
        expression: ``(B, E)``.
        joints: ``(B, J, 3)`` axis times angle in radians; None for a model without fitted joints.
        camera: Pose and camera of each picture.
        landmarks: ``(B, 68 + D, 2)`` pixels of the fitted landmarks, dense ones last.
        error: ``(B,)`` their mean distance to the given ones, as a share of the distance between
            the pupils.
        cost: ``(B,)`` final cost of the person in each picture.
        iterations: Steps taken.
        slid: ``(B,)`` whether the jaw line's landmarks slid.
    """

    identity: Tensor
    expression: Tensor
    joints: Tensor | None
    camera: Camera
    landmarks: Tensor
    error: Tensor
    cost: Tensor
    iterations: int
    slid: Tensor


@dataclass
class _State:
    """Where all pictures are: ``camera`` (B), identity of each person (G, K), the rest of each
    picture (B, L).
    """

    camera: Camera
    identity: Tensor
    local: Tensor


class LandmarkSolver:
    """One call of a ``LandmarkFitter``."""

    def __init__(
        self,
        fitter: LandmarkFitter,
        target: Tensor,
        person: Tensor,
        camera: Camera,
        weights: Tensor | None,
        identity: Tensor | None,
        identity_sigma: float,
    ) -> None:
        self.options, self.basis, self.target, self.person = (
            fitter.options,
            fitter.basis,
            target,
            person,
        )
        self.offsets = fitter.offsets
        self.people = int(person.max()) + 1
        basis, size = self.basis, distance_between_pupils(target)
        if not bool((size > 0).all()):
            raise GeometryError(
                "both eyes of a face are in one place",
                where="landmarks",
                remedy="Check the landmark file, or detect them anew.",
            )
        weight = torch.ones(target.shape[:2]) if weights is None else weights.float().clone()
        weight[:, JAW] *= self.options.contour_weight
        self.size, self.weight = size, weight / (self.options.noise * size)[:, None]
        both = (self.weight[:, UPPER_LIP] > 0) & (self.weight[:, LOWER_LIP] > 0)
        self.lips = self.options.lip_weight * both.float()
        self.anchor = torch.zeros(self.people, basis.num_identity)
        if identity is not None:
            self.anchor = identity[:, : basis.num_identity].float()
        self.identity_prior = torch.full((basis.num_identity,), identity_sigma**-2)
        self.local_prior = fitter.local_prior
        self.low, self.high = basis.local_range()
        self.slid = torch.zeros(len(target), 17, dtype=torch.long)
        self.state = _State(camera, self.anchor.clone(), torch.zeros(len(target), basis.num_local))
        self.slides = self.turned(self.state)

    def run(self) -> LandmarkFit:
        """Steps until every person is done."""
        options = self.options
        chosen = self.select(self.state)
        residual, cost = self.cost(self.state, chosen)
        damping = torch.full((self.people,), 1e-3)
        done = torch.zeros(self.people, dtype=torch.bool)
        iteration = 0
        for iteration in range(1, options.iterations + 1):
            trial = self.step(self.state, chosen, residual, damping)
            trial_residual, trial_cost = self.cost(trial, chosen)
            better = trial_cost <= cost
            drop = (cost - trial_cost) / cost.clamp(min=1e-12)
            # a rejected step is no end
            done = done | (better & (drop < options.tolerance)) | (damping >= GIVEN_UP)
            damping = torch.where(better, damping * 0.2, damping * 8).clamp(*DAMPING)
            self.state = self.merge(better, trial, self.state)
            residual = torch.where(better[self.person, None, None], trial_residual, residual)
            cost = torch.where(better, trial_cost, cost)
            # The outline moves with the pose: choose anew, but not for ever.
            if iteration <= 6:
                if iteration <= 2:
                    self.slides = self.turned(self.state)
                again = self.select(self.state)
                changed = (again != chosen).any(1)
                if bool(changed.any()):
                    chosen = again
                    residual, cost = self.cost(self.state, chosen)
                    done[self.person[changed]] = False
            if bool(done.all()):
                break
        return self.result(chosen, cost, iteration)

    # ------------------------------------------------------------
    # pieces
    def turned(self, state: _State) -> Tensor:
        """``(B,)`` whether the head's yaw is so large that the jaw line's landmarks slide."""
        yaw = torch.rad2deg(torch.asin((-state.camera.rotation[:, 2, 0]).clamp(-1, 1))).abs()
        return (yaw > self.options.slide_above) & (self.basis.num_candidates > 0)

    def select(self, state: _State) -> Tensor:
        """``(B, N)`` rows of the basis that stand for the landmarks: the outermost on the cheek,
        where it turns.
        """
        count = self.basis.num_points
        index = torch.arange(count).repeat(len(self.target), 1)
        if not bool(self.slides.any()):
            return index
        points = self.basis.points(state.identity[self.person], state.local)[:, count:]
        across = torch.einsum("bpc,bc->bp", points, state.camera.rotation[:, 0]).view(
            len(index), 17, -1
        )
        side = torch.where(torch.arange(17) < 8, -1.0, 1.0)[:, None]
        across = across * side
        # What stood for a landmark stays unless another is clearly farther out: else two take turns
        # for ever.
        across.scatter_add_(2, self.slid[..., None], torch.full_like(across[..., :1], CLEARLY))
        best = across.argmax(2)
        best[:, 8] = 0  # the chin stays
        self.slid = best
        moved = count + torch.arange(17) * self.basis.num_candidates + best
        index[:, JAW] = torch.where(self.slides[:, None], moved, index[:, JAW])
        index[:, 8] = 8
        return index

    def cost(self, state: _State, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted residuals ``(B, N + 3, 2)``, the lips' last, and the cost of each person
        ``(G,)``.
        """
        points = self.basis.points(state.identity[self.person], state.local, chosen)
        points = self.as_detected(points, state.camera, chosen)
        residual = (state.camera.project(points).pixels - self.target) * self.weight[..., None]
        residual = self.with_lips(residual)
        prior = ((state.local @ self.local_prior) * state.local).sum(1)
        local = residual.square().sum((1, 2)) + prior
        shared = (state.identity - self.anchor).square() @ self.identity_prior
        return residual, shared.index_add(0, self.person, local)

    def as_detected(self, points: Tensor, camera: Camera, chosen: Tensor) -> Tensor:
        """Points ``(B, N, 3)`` of the model with the detector's offsets."""
        shift = offsets_at(self.offsets, camera.rotation, chosen[:, JAW] >= 68)
        return torch.cat([points[:, :68] + shift, points[:, 68:]], 1)

    def with_lips(self, rows: Tensor) -> Tensor:
        """Residuals, or their derivatives, ``(B, N, ...)``, and after them those of the gap between
        the lips.
        """
        lips = self.lips.view(*self.lips.shape, *[1] * (rows.ndim - 2))
        return torch.cat([rows, lips * (rows[:, UPPER_LIP] - rows[:, LOWER_LIP])], 1)

    def step(self, state: _State, chosen: Tensor, residual: Tensor, damping: Tensor) -> _State:
        """The state after one damped Gauss-Newton step within the bounds."""
        camera, split = state.camera, POSE + self.basis.num_local
        points, derivative = self.basis.points_and_derivative(
            state.identity[self.person], state.local, chosen
        )
        points = self.as_detected(points, camera, chosen)
        _, along_point, along_camera = camera.project_with_derivative(points)
        lens = along_point * self.weight[..., None, None]
        spin = -lens @ cross_matrix(camera.view(points))
        lens = lens @ camera.rotation[:, None]
        shape = lens @ derivative  # (B, N, 2, L + K)
        slid = chosen[:, JAW] >= 68
        grown = lens[:, :68] @ offsets_derivative(self.offsets, camera.rotation, slid)
        spin = torch.cat([spin[:, :68] + grown, spin[:, 68:]], 1)
        jacobian = torch.cat([spin, along_camera * self.weight[..., None, None], shape], -1)
        jacobian = self.with_lips(jacobian).flatten(1, 2)
        normal = jacobian.transpose(1, 2) @ jacobian
        gradient = (residual.flatten(1)[:, None] @ jacobian)[:, 0]
        gradient[:, POSE:split] += state.local @ self.local_prior
        own = normal[:, :split, :split]
        own[:, POSE:, POSE:] += self.local_prior
        own.diagonal(dim1=1, dim2=2).mul_(1 + damping[self.person, None])
        shared = torch.zeros(self.people, *normal.shape[1:])[:, split:, split:]
        shared = shared.index_add(0, self.person, normal[:, split:, split:])
        shared.diagonal(dim1=1, dim2=2).add_(self.identity_prior).mul_(1 + damping[:, None])
        shared_gradient = (self.identity_prior * (state.identity - self.anchor)).index_add(
            0, self.person, gradient[:, split:]
        )
        local, identity = self.solve(
            own,
            normal[:, :split, split:],
            shared,
            gradient[:, :split],
            shared_gradient,
            state.local,
        )
        moved = Camera(
            rotation_from_vector(local[:, :3]) @ camera.rotation,
            camera.origin + local[:, 3:5],
            camera.log_size + local[:, 5],
            camera.focal,
            camera.centre,
        )
        return _State(
            moved,
            state.identity + identity,
            (state.local + local[:, POSE:]).clamp(self.low, self.high),
        )

    def solve(
        self,
        own: Tensor,
        mixed: Tensor,
        shared: Tensor,
        own_gradient: Tensor,
        shared_gradient: Tensor,
        local: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The best steps within the bounds, see ``bounded_steps``; ``local`` (B, L) is where the
        coefficients are.
        """
        low, high = (
            torch.cat([torch.full((len(local), POSE), sign * torch.inf), bound - local], 1)
            for sign, bound in ((-1, self.low), (1, self.high))
        )
        if self.people == len(local):  # each picture another person
            each = self.person
            return bounded_steps_alone(
                own, mixed, shared[each], own_gradient, shared_gradient[each], low, high, each
            )
        return bounded_steps(
            own, mixed, shared, own_gradient, shared_gradient, low, high, self.person
        )

    def merge(self, better: Tensor, new: _State, old: _State) -> _State:
        """The new state for people whose cost has fallen, the old one for the others."""
        each = better[self.person]

        def pick(first: Tensor, second: Tensor, which: Tensor = each) -> Tensor:
            return torch.where(which.view(-1, *[1] * (first.ndim - 1)), first, second)

        camera = Camera(
            pick(new.camera.rotation, old.camera.rotation),
            pick(new.camera.origin, old.camera.origin),
            pick(new.camera.log_size, old.camera.log_size),
            old.camera.focal,
            old.camera.centre,
        )
        return _State(camera, pick(new.identity, old.identity, better), pick(new.local, old.local))

    def result(self, chosen: Tensor, cost: Tensor, iterations: int) -> LandmarkFit:
        """The state in the model's terms."""
        state, basis = self.state, self.basis
        each = state.identity[self.person]
        points = self.as_detected(basis.points(each, state.local, chosen), state.camera, chosen)
        pixels = state.camera.project(points).pixels
        seen = (self.weight > 0).float()
        error = (
            ((pixels - self.target).norm(dim=-1) * seen).sum(1)
            / seen.sum(1).clamp(min=1)
            / self.size
        )
        identity, expression, joints = basis.full(each, state.local)
        return LandmarkFit(
            identity,
            expression,
            joints,
            state.camera,
            pixels,
            error,
            cost[self.person],
            iterations,
            self.slides,
        )
