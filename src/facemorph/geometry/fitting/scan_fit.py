"""Fit of a model to a scan: landmarks place it, then vertices move to the nearest surface along its
normals.

Non-rigid ICP in the model's own space (Amberg et al. 2007 for the scheme; Chen and Medioni 1991 for
point to plane): each round pairs the model's face with the scan's nearest points and takes one
Gauss-Newton step in pose, identity and expression, with the priors of the landmark fit. The first
rounds go by the landmarks alone. Then pairs count up to a distance that shrinks from ``FARTHEST``
to ``NEAREST``, or to three times the median: what begins far away, as lips do, is pulled in, and
hair, holes and noise cost nothing in the end. Pairs are looked for among places and normals
together, so that an upper lip does not meet the lower one; those with normals more than 60 degrees
apart do not count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.fitting.landmark_basis import UNSEEN
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.ops.meshes import vertex_normals
from facemorph.ops.rotations import cross_matrix, nearest_rotation, rotation_from_vector
from facemorph.ops.shapes import check_shape
from facemorph.ops.threads import one_thread

BY_LANDMARKS = 5  # rounds
ROUNDS = 40  # in all; the limit is down to NEAREST after 17
DONE = 0.01  # mm by which the face may still move in a round, in the mean
FARTHEST, NEAREST, SHRINKING = 20.0, 3.0, 0.85  # mm, and by how much of it in a round
NORMAL_WEIGHT = 4.0  # mm that a difference of 1 between unit normals counts as
SCAN_NOISE = 0.5  # mm
ALONG = 0.02  # weight of distances along the surface beside those across it, in the end
FIRST_LANDMARK_NOISE, LANDMARK_NOISE = 3.0, 0.9  # mm
LANDMARK_OUTLIER = 2.0  # mm
OUTLINE_LANDMARKS, OUTLINE = 17, 0.2  # of the jaw, which depends on the view, and their weight
INDEPENDENT = 8
EXPRESSION_SIGMA = 0.3
LARGEST_ANGLE = 60.0
SMALLEST_SHARE = 0.1  # of the face that must be near the scan
POSE = 7  # rotation, shift, logarithm of the scale


@dataclass(frozen=True)
class ScanFit:
    """A face that fits a scan.

    Attributes:
        identity: ``(1, K)``.
        expression: ``(1, E)``.
        rotation: ``(3, 3)``; a vertex x of the model is at ``scale * rotation @ x + shift`` in the
            scan.
        shift: ``(3,)`` units of the scan.
        scale: Units of the scan for a millimetre.
        distance: ``(N,)`` millimetres from the face's vertices to the scan, those without a partner
            left out: what was fitted, not how good the fit is (``scan_agreement`` says that).
        share: Share of the face's vertices that have a partner.
        rounds: Rounds taken.
    """

    identity: Tensor
    expression: Tensor
    rotation: Tensor
    shift: Tensor
    scale: float
    distance: Tensor
    share: float
    rounds: int


def similarity_between(source: Tensor, target: Tensor) -> tuple[float, Tensor, Tensor]:
    """Scale, rotation ``(3, 3)`` and shift ``(3,)`` that move points ``(P, 3)`` onto others best
    (Umeyama 1991).

    Raises:
        GeometryError: The points lie on a line, or are not finite.
    """
    check_shape(source, "P 3", "points")
    check_shape(target, f"{len(source)} 3", "points")
    if not bool(torch.isfinite(source).all() and torch.isfinite(target).all()):
        raise GeometryError("points are not numbers", where="landmarks")
    a, b = source.double() - source.double().mean(0), target.double() - target.double().mean(0)
    rotation, sizes = nearest_rotation(b.T @ a)
    if float(sizes[1]) <= 1e-9 * float(sizes[0]):
        raise GeometryError(
            "points on one line determine no rotation", where="landmarks", found=len(source)
        )
    scale = float(sizes.sum() / a.square().sum())
    shift = target.double().mean(0) - scale * rotation @ source.double().mean(0)
    return scale, rotation.to(source.dtype), shift.to(source.dtype)


def fit_scan(
    model: MorphableModel,
    points: Tensor,
    normals: Tensor,
    landmarks: Tensor,
    *,
    expression: bool = True,
    scale: float | None = None,
) -> ScanFit:
    """Fit a model to a scan of a face.

    Args:
        model: The model.
        points: ``(N, 3)`` points of the surface, dense, in any unit.
        normals: ``(N, 3)`` unit normals there, outwards.
        landmarks: ``(68, 3)`` iBUG landmarks on it; rows of NaN where one is missing, at least six
            others.
        expression: Whether expressions are fitted.
        scale: Units of the scan for a millimetre, where it is known: 1, 0.1 or 0.001 for
            millimetres, centimetres or metres. None fits it, which a large and a small face cannot
            be told apart by.

    Raises:
        DataError: A shape does not fit.
        GeometryError: Points or landmarks do not determine a face.
    """
    check_shape(points, "N 3", "points")
    check_shape(normals, f"{len(points)} 3", "normals")
    check_shape(landmarks, "68 3", "landmarks")
    known = torch.isfinite(landmarks).all(1)
    if int(known.sum()) < 6:
        raise GeometryError(
            "too few landmarks on the scan",
            where="landmarks",
            expected="at least 6 of 68",
            found=int(known.sum()),
        )
    if len(points) < 100 or not bool(
        torch.isfinite(points).all() and torch.isfinite(normals).all()
    ):
        raise GeometryError(
            "this scan has too few points, or some that are not numbers",
            where="points",
            expected="at least 100",
            found=len(points),
        )
    mean = model.landmarks(model.mean[None])[0]
    size, rotation, shift = similarity_between(mean[known], landmarks[known])
    if scale is not None:
        size, shift = scale, (landmarks[known] - scale * mean[known] @ rotation.T).mean(0)
    with one_thread(), torch.no_grad():
        solver = _ScanSolver(
            model,
            (points - shift) @ rotation / size,
            normals @ rotation,
            (landmarks - shift) @ rotation / size,
            known,
            expression,
            scale is not None,
        )
        rounds = solver.run()
    # The solver's pose is in the millimetres of the first alignment.
    return ScanFit(
        solver.identity_coefficients(),
        solver.expression_coefficients(),
        rotation @ solver.rotation,
        size * (rotation @ solver.shift) + shift,
        size * solver.scale,
        solver.distance,
        solver.share,
        rounds,
    )


class _ScanSolver:
    """Gauss-Newton on pose (7), expressions (E') and identity (K) in the model's frame."""

    def __init__(
        self,
        model: MorphableModel,
        points: Tensor,
        normals: Tensor,
        landmarks: Tensor,
        known: Tensor,
        expression: bool,
        fixed_scale: bool,
    ) -> None:
        self.model = model
        unseen = set(model.expression_index(*UNSEEN))
        self.visible = (
            [index for index in range(model.num_expression) if index not in unseen]
            if expression
            else []
        )
        face = model.topology.masks["face"].nonzero()[:, 0]
        self.face = face
        basis = torch.cat([model.expression_basis[self.visible], model.identity_basis])
        self.mean, self.basis = model.mean[face], basis[:, face]
        marks = model.topology.landmarks
        self.mark_mean, self.mark_basis = marks.of(model.mean)[known], marks.of(basis)[:, known]
        self.marks = landmarks[known]
        outline = known.nonzero()[:, 0] < OUTLINE_LANDMARKS
        self.mark_weight = torch.where(outline, OUTLINE, 1.0)
        self.points, self.normals = points, normals
        self.tree = cKDTree(_with_normals(points, normals))
        self.rotation, self.shift, self.scale = torch.eye(3), torch.zeros(3), 1.0
        self.coefficients = torch.zeros(len(basis))
        self.prior = torch.cat(
            [torch.full((len(self.visible),), EXPRESSION_SIGMA**-2), torch.ones(model.num_identity)]
        )
        self.hold = torch.tensor([1e-6] * 6 + [1e12 if fixed_scale else 1e-6])
        self.distance, self.share = torch.zeros(0), 0.0

    def run(self) -> int:
        """Rounds until the face moves no more."""
        last = self._placed(self.mean, self.basis)
        for number in range(ROUNDS):
            limit = max(NEAREST, FARTHEST * SHRINKING ** max(0, number - BY_LANDMARKS))
            self._round(limit, by_landmarks=number < BY_LANDMARKS)
            now = self._placed(self.mean, self.basis)
            if limit == NEAREST and float((now - last).norm(dim=1).mean()) < DONE:
                return number + 1
            last = now
        return ROUNDS

    def _placed(self, mean: Tensor, basis: Tensor) -> Tensor:
        shape = mean + torch.einsum("k,kpc->pc", self.coefficients, basis)
        return shape @ (self.scale * self.rotation.T) + self.shift

    def _round(self, limit: float, *, by_landmarks: bool) -> None:
        """One step; pairs farther apart than ``limit`` millimetres do not count."""
        noise = FIRST_LANDMARK_NOISE if by_landmarks else LANDMARK_NOISE
        normal, gradient = self._landmark_terms(noise)
        # The face is where its landmarks are before its surface counts; it has to be at hand.
        terms = self._surface_terms(limit)
        if not by_landmarks:
            normal, gradient = normal + terms[0], gradient + terms[1]
        gradient[POSE:] += self.prior * self.coefficients
        normal.diagonal().add_(torch.cat([self.hold, self.prior]))
        step = -torch.cholesky_solve(gradient[:, None], torch.linalg.cholesky(normal))[:, 0]
        turn = rotation_from_vector(step[:3])
        self.rotation, self.shift, self.scale = (
            turn @ self.rotation,
            self.shift + step[3:6],
            self.scale * float(step[6].exp()),
        )
        self.coefficients = self.coefficients + step[POSE:]
        low, high = self.model.expression_range
        self.coefficients[: len(self.visible)] = self.coefficients[: len(self.visible)].clamp(
            low, high
        )

    def _landmark_terms(self, noise: float) -> tuple[Tensor, Tensor]:
        """Normal matrix and gradient of the landmarks' distances, those far off counted less."""
        marks = self._placed(self.mark_mean, self.mark_basis)
        residual = marks - self.marks
        robust = 1 / (1 + (residual.norm(dim=1) / (2 * LANDMARK_OUTLIER)).square())
        axes = torch.eye(3).expand(len(marks), 3, 3)
        rows = self._rows(marks, self.mark_basis, axes).flatten(0, 1)
        weight = (self.mark_weight * robust / noise**2).repeat_interleave(3)
        return rows.T @ (rows * weight[:, None]), rows.T @ (weight * residual.flatten())

    def _surface_terms(self, limit: float) -> tuple[Tensor, Tensor]:
        """Normal matrix and gradient of the distances of pairs of points."""
        placed = self._placed(self.mean, self.basis)
        own_normals = self._vertex_normals()
        _, nearest = self.tree.query(_with_normals(placed, own_normals), workers=1)
        index = torch.from_numpy(nearest)
        normals, way = self.normals[index], placed - self.points[index]
        gap = way.norm(dim=1)
        agree = (own_normals * normals).sum(1) > np.cos(np.radians(LARGEST_ANGLE))
        farthest = max(limit, 3 * float(gap[agree].median())) if bool(agree.any()) else limit
        used = (agree & (gap <= farthest)).nonzero()[:, 0]
        self.share = len(used) / len(placed)
        if self.share < SMALLEST_SHARE:
            raise GeometryError(
                "the scan does not meet the face",
                where="points",
                found=f"{100 * self.share:.0f} % of the face is near it",
                remedy="Check the landmarks: they place the scan.",
            )
        way, normals, basis = way[used], normals[used], self.basis[:, used]
        residual = (way * normals).sum(1)
        self.distance = residual.abs()
        spread = max(SCAN_NOISE, 1.4826 * float(residual.abs().median()), farthest / 6)
        robust = 1 / (1 + (residual / (2 * spread)).square())  # Cauchy
        axes = torch.eye(3).expand(len(used), 3, 3)
        rows = self._rows(placed[used], basis, axes)
        across = (normals[:, None] @ rows)[:, 0]
        # Neighbours are not independent: all together count as INDEPENDENT points for each unknown.
        weight = robust / SCAN_NOISE**2 * INDEPENDENT * rows.shape[2] / len(used)
        # Earlier it would hold back what has far to go.
        along = ((ALONG if limit == NEAREST else 0.0) * weight).repeat_interleave(3)
        flat = rows.flatten(0, 1)
        normal = across.T @ (across * weight[:, None]) + flat.T @ (flat * along[:, None])
        return normal, across.T @ (weight * residual) + flat.T @ (along * way.flatten())

    def _rows(self, placed: Tensor, basis: Tensor, directions: Tensor) -> Tensor:
        """Derivative of the points' places along D directions ``(P, D, 3)``: ``(P, D, 7 + C)``."""
        turned = placed - self.shift
        spin = -directions @ cross_matrix(turned)
        shape = directions @ (self.scale * self.rotation) @ basis.permute(1, 2, 0)
        return torch.cat([spin, directions, directions @ turned[..., None], shape], -1)

    def _vertex_normals(self) -> Tensor:
        count = len(self.visible)
        whole = self.model.mean + torch.einsum(
            "k,kvc->vc", self.coefficients[count:], self.model.identity_basis
        )
        normals = vertex_normals(whole[None], self.model.topology.faces)[0]
        return normals[self.face] @ self.rotation.T

    def identity_coefficients(self) -> Tensor:
        """``(1, K)``."""
        return self.coefficients[None, len(self.visible) :]

    def expression_coefficients(self) -> Tensor:
        """``(1, E)``."""
        full = torch.zeros(1, self.model.num_expression)
        full[0, self.visible] = self.coefficients[: len(self.visible)]
        return full


def _with_normals(points: Tensor, normals: Tensor) -> np.ndarray:
    """``(N, 6)`` in which points with other normals are farther apart."""
    return torch.cat([points, NORMAL_WEIGHT * normals], 1).numpy()
