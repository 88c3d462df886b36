"""Which points of ImFace's faces are the same: places of the template, carried to any face.

A place t of the template with normal n is on a face at the point x for which

    f(x) = 0   and   (1 - n n^T) (x2(x) - t) = 0

where x2 are the deformations: on the face, and over t along the surface. Along the normal x2 and t
differ by the correction of the distance, which is what a face may differ from a deformed template
by. These are 3 equations for 3 unknowns, and Newton's method solves them for all points at once.

Source: correspondences by places of the template as in Zheng et al., ImFace (CVPR 2022), where each
vertex of a face is given its place and nothing is carried the other way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.systems.imface.field import ImFaceField

TOLERANCE, STEPS = 1e-5, 40  # of the equations, in units of 100 mm; at most so many
LONGEST = 0.1  # one step of a point
SLOW = 0.5  # of an error that a step leaves, above which its slopes are old
CHUNK = 50_000  # points at a time


@dataclass(frozen=True)
class Carried:
    """Where places of the template are on a face.

    Attributes:
        points: ``(P, 3)``; where it has not converged, the best point that was found.
        error: ``(P,)`` length of what is left of the three equations.
        slopes: ``(P, 3, 3)`` inverse of the equations' derivatives: a start for a face that is
            nearly the same.
        steps: Evaluations of the equations.
    """

    points: Tensor
    error: Tensor
    slopes: Tensor
    steps: int

    @property
    def converged(self) -> Tensor:
        """``(P,)`` bool."""
        return self.error < TOLERANCE


@torch.no_grad()
def template_normals(field: ImFaceField, places: Tensor) -> Tensor:
    """Unit normals ``(P, 3)`` of the template's distance at places ``(P, 3)``."""
    distance, tape = field.template(places[None])
    along = field.template.blend.products(tape, torch.ones_like(distance))[0]
    return torch.nn.functional.normalize(along, dim=1)


@torch.no_grad()
def carry(
    field: ImFaceField,
    places: Tensor,
    normals: Tensor,
    start: Tensor,
    identity: Tensor,
    expression: Tensor | None,
    slopes: Tensor | None = None,
) -> Carried:
    """Points of a face that lie over places of the template.

    The derivatives are taken anew only for points whose error a step has not halved: they change
    little on the way.

    Args:
        field: A trained one.
        places: ``(P, 3)`` on the template.
        normals: ``(P, 3)`` unit normals there.
        start: ``(P, 3)`` points near those that are sought.
        identity: ``(C,)``.
        expression: ``(C,)``; None is the neutral face.
        slopes: Of a face that is nearly the same, ``Carried.slopes``.
    """
    found = []
    for rows in torch.arange(len(places), device=places.device).split(CHUNK):
        equations = _Equations(field, identity, expression, places[rows], normals[rows])
        found.append(_solve(equations, start[rows], None if slopes is None else slopes[rows]))
    points, error, inverse = (
        torch.cat([getattr(one, name) for one in found]) for name in ("points", "error", "slopes")
    )
    return Carried(points, error, inverse, max(one.steps for one in found))


@dataclass(frozen=True)
class _Equations:
    """The three equations of every place, and their derivatives."""

    field: ImFaceField
    identity: Tensor
    expression: Tensor | None
    places: Tensor
    normals: Tensor

    def left(self, x: Tensor, rows: Tensor) -> Tensor:
        """What the equations leave ``(R, 3)`` at points ``(R, 3)`` for some of the places."""
        shown = None if self.expression is None else self.expression[None]
        values = self.field(x[None], self.identity[None], shown, gradient=False)
        return self._joined(
            values.template[0] - self.places[rows], values.distance[0, :, None], rows
        )

    def _joined(self, across: Tensor, along: Tensor, rows: Tensor) -> Tensor:
        normal = self.normals[rows]
        return across + normal * (along - (normal * across).sum(1, keepdim=True))

    def inverse_slopes(self, x: Tensor, rows: Tensor) -> Tensor:
        """Inverses ``(R, 3, 3)`` of the equations' derivatives at points ``(R, 3)``."""
        field, identity, neutral, first = self.field, self.identity[None], x[None], None
        marks = field.identity_landmarks(identity).view(1, -1, 3)
        if self.expression is not None:
            shown = field.landmarks(identity, self.expression[None])[0]
            neutral, _, first = field.expression(neutral, shown, self.expression[None])
        placed, correction, second = field.identity(neutral, marks, identity)
        _, third = field.template(placed)

        def pulled(cotangent: Tensor, extra: Tensor) -> Tensor:
            along = field.identity.products(second, cotangent, extra)
            return (along if first is None else field.expression.products(first, along))[0]

        one, none = torch.ones_like(correction), torch.zeros_like(correction)
        axes = torch.eye(3, dtype=x.dtype, device=x.device)
        across = torch.stack([pulled(axis.expand_as(placed), none) for axis in axes], 1)
        along = pulled(field.template.blend.products(third, one), one)
        normal = self.normals[rows]
        share = along - (normal[:, :, None] * across).sum(1)
        return _inverse(across + normal[:, :, None] * share[:, None])


def _inverse(matrix: Tensor) -> Tensor:
    """Inverses ``(R, 3, 3)`` by cofactors; the identity where there is none."""
    a, b, c = matrix.unbind(1)
    cofactors = torch.stack(
        [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], 2
    )
    determinant = (a * cofactors[:, :, 0]).sum(1)[:, None, None]
    usable = determinant.abs() > 1e-6
    return torch.where(
        usable, cofactors / torch.where(usable, determinant, 1.0), torch.eye(3).to(matrix)
    )


def _solve(equations: _Equations, start: Tensor, slopes: Tensor | None) -> Carried:
    """Newton's method, each point on its own."""
    count = len(start)
    x, best = start.clone(), start.clone()
    inverse = start.new_zeros(count, 3, 3) if slopes is None else slopes.clone()
    error, before = start.new_full((count,), torch.inf), start.new_full((count,), torch.inf)
    old = torch.full((count,), slopes is None, device=start.device)
    rows, steps = torch.arange(count, device=start.device), 0
    while steps < STEPS:
        steps += 1
        left = equations.left(x[rows], rows)
        size = left.norm(dim=1).nan_to_num(torch.inf)
        better = rows[size < error[rows]]
        best[better] = x[better]
        error[rows] = torch.minimum(size, error[rows])
        on = size >= TOLERANCE
        rows, left, size = rows[on], left[on], size[on]
        if not len(rows):
            break
        slow = old[rows] | (size > SLOW * before[rows])
        if bool(slow.any()):
            chosen = rows[slow]
            inverse[chosen], old[chosen] = equations.inverse_slopes(x[chosen], chosen), False
        way = (inverse[rows] @ left[..., None])[..., 0].nan_to_num(0.0)
        x[rows] -= way * (LONGEST / way.norm(dim=1, keepdim=True).clamp(min=LONGEST))
        before[rows] = size
    return Carried(best, error, inverse, steps)
