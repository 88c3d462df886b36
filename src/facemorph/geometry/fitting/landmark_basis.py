"""The landmarks of a model as a function of its coefficients, with derivatives: what a landmark fit
needs of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.geometry.fitting.expression_prior import expression_precision
from facemorph.geometry.models.morphable_model import MorphableModel, SurfacePoints

# Names of expressions that move nothing the 68 landmarks see: they would only take up noise.
UNSEEN = ("eyeLook", "tongue", "cheekPuff")


class LandmarkBasis:
    """Landmarks ``mean + identity @ basis + expression @ basis``, and the jaw line's candidates
    after them.

    Local coefficients, those of one picture, are the expressions that landmarks can see.

    Args:
        model: The model.
        num_identity: How many identity coefficients; None is all.
        expression: Whether there are expressions.
        more: D further points of the model, after the 68.
    """

    def __init__(
        self,
        model: MorphableModel,
        num_identity: int | None,
        expression: bool,
        more: SurfacePoints | None = None,
    ) -> None:
        self.model = model
        unseen = set(model.expression_index(*UNSEEN))
        self.visible = (
            [index for index in range(model.num_expression) if index not in unseen]
            if expression
            else []
        )
        points = with_candidates(model, more)
        mean = points.of(model.mean)
        identity = points.of(model.identity_basis[:num_identity])
        self.num_identity = len(identity)
        self.num_points = 68 + (0 if more is None else len(more.vertices))
        self.num_candidates = (len(mean) - self.num_points) // 17
        self.mean = mean.float()
        shape = torch.cat([points.of(model.expression_basis[self.visible]), identity]).float()
        self.num_local = len(self.visible)
        self.flat = shape.flatten(1)  # (L + K, 3 P)
        self.derivative = shape.permute(1, 2, 0).contiguous()  # (P, 3, L + K)

    @property
    def mean_points(self) -> Tensor:
        """The 68 landmarks of the mean face ``(68, 3)``."""
        return self.mean[:68]

    def points(self, identity: Tensor, local: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Points ``(B, P, 3)``; with ``chosen`` (B, 68 + D) only those rows."""
        static = chosen is not None and bool((chosen < self.num_points).all())
        count = self.num_points if static else len(self.mean)
        offset = torch.cat([local, identity], 1) @ self.flat[:, : 3 * count]
        found = self.mean[:count] + offset.view(len(local), count, 3)
        return (
            found
            if static or chosen is None
            else found.gather(1, chosen[..., None].expand(-1, -1, 3))
        )

    def points_and_derivative(
        self, identity: Tensor, local: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Points ``(B, N, 3)`` and their derivative along local and identity coefficients ``(B, N,
        3, L + K)``.
        """
        static = bool((chosen < self.num_points).all())
        derivative = self.derivative[: self.num_points] if static else self.derivative[chosen]
        return self.points(identity, local, chosen), derivative

    def local_prior(self, sigma: float) -> Tensor:
        """``(L, L)`` inverse covariance, see ``expression_precision``."""
        return expression_precision(self.model, sigma)[self.visible][:, self.visible]

    def local_range(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest local coefficients, each ``(L,)``."""
        low, high = self.model.expression_range
        return torch.full((self.num_local,), low), torch.full((self.num_local,), high)

    def full(self, identity: Tensor, local: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """All coefficients of the model: identity ``(B, K)``, expression ``(B, E)``, joints."""
        everyone = identity.new_zeros(len(identity), self.model.num_identity)
        everyone[:, : self.num_identity] = identity
        expression = local.new_zeros(len(local), self.model.num_expression)
        expression[:, self.visible] = local
        return everyone, expression, None


def with_candidates(model: MorphableModel, more: SurfacePoints | None = None) -> SurfacePoints:
    """The landmarks, further points, and after them the 17 rows of candidates of the jaw line,
    where it has them.
    """
    contour = model.topology.contour
    parts = [model.topology.landmarks, *([more] if more is not None else [])]
    if contour is not None:
        parts.append(SurfacePoints(contour.vertices.reshape(-1, 3), contour.weights.reshape(-1, 3)))
    return SurfacePoints(
        torch.cat([part.vertices for part in parts]),
        torch.cat([part.weights.to(parts[0].weights) for part in parts]),
    )
