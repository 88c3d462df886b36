"""The landmarks of a model whose jaw is a joint, as FLAME's is: the jaw's rotation is fitted with
the expressions.

For given rotations, linear blend skinning is affine in identity and expression, joints included; so
the derivative along a coefficient is the skinning of its own offsets, exactly. Along the jaw's
three angles it is taken forward.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.fitting.landmark_basis import LandmarkBasis, with_candidates
from facemorph.geometry.models.morphable_model import (
    MorphableModel,
    SurfacePoints,
    corrections,
    skin,
)
from facemorph.ops.rotations import rotation_from_vector

JAW = "jaw"
OPENS = (0.2, 0.05, 0.05)  # radians: standard deviations about x, y and z
LARGEST = (0.6, 0.15, 0.15)  # about x from 0: it opens


class JawBasis(LandmarkBasis):
    """As ``LandmarkBasis``, with the jaw's axis times angle after the expressions.

    Args:
        model: A model with a joint called ``jaw``.
        num_identity: See ``LandmarkBasis``.
        expression: Whether there are expressions, and the jaw moves.
        more: See ``LandmarkBasis``.

    Raises:
        GeometryError: The model has no such joint.
    """

    def __init__(
        self,
        model: MorphableModel,
        num_identity: int | None,
        expression: bool,
        more: SurfacePoints | None = None,
    ) -> None:
        super().__init__(model, num_identity, expression, more)
        skeleton = model.skeleton
        if skeleton is None or JAW not in skeleton.names:
            raise GeometryError("this model's jaw is no joint", where=model.name)
        self.joint, self.num_joints, self.parents = (
            skeleton.names.index(JAW),
            len(skeleton.names),
            skeleton.parents,
        )
        surface = with_candidates(model, more)
        self.corners, self.shares = surface.vertices, surface.weights.float()  # (P, 3)
        modes = torch.cat(
            [model.expression_basis[self.visible], model.identity_basis[: self.num_identity]]
        ).float()
        self.corner_mean = model.mean.float()[self.corners]  # (P, 3, 3)
        self.corner_modes = modes[:, self.corners]  # (M, P, 3, 3)
        self.corner_weights = skeleton.weights.float()[self.corners]  # (P, 3, J)
        self.corner_correctives = None
        if skeleton.correctives is not None:
            # (9 J, P, 3, 3)
            self.corner_correctives = skeleton.correctives.float()[:, self.corners]
        moved = torch.zeros(len(self.visible), self.num_joints, 3)
        if skeleton.expression is not None:
            moved = skeleton.expression[self.visible].float()
        self.place_mean = skeleton.mean.float()
        # (M, J, 3)
        self.place_modes = torch.cat([moved, skeleton.identity[: self.num_identity].float()])
        self.num_expressions = len(self.visible)
        self.num_local = self.num_expressions + (3 if expression else 0)

    def _coefficients(self, identity: Tensor, local: Tensor) -> tuple[Tensor, Tensor]:
        """Linear coefficients ``(B, M)`` and the jaw's vectors ``(B, 3)``."""
        jaw = local[:, self.num_expressions :]
        jaw = jaw if jaw.shape[1] else local.new_zeros(len(local), 3)
        return torch.cat([local[:, : self.num_expressions], identity], 1), jaw

    def _rotations(self, jaw: Tensor) -> Tensor:
        upright = torch.eye(3, dtype=jaw.dtype).expand(len(jaw), self.num_joints, 3, 3)
        here = (torch.arange(self.num_joints) == self.joint)[:, None, None]
        return torch.where(here, rotation_from_vector(jaw)[:, None], upright)

    def _posed(self, coefficients: Tensor, jaw: Tensor, rows: Tensor) -> Tensor:
        """Points ``(B, R, 3)`` of some rows."""
        rotations = self._rotations(jaw)
        shape = self.corner_mean[rows] + torch.einsum(
            "bm,mpcx->bpcx", coefficients, self.corner_modes[:, rows]
        )
        if self.corner_correctives is not None:
            moved = corrections(self.corner_correctives[:, rows].flatten(1, 2), rotations)
            shape = shape + moved.view_as(shape)
        places = self.place_mean + torch.einsum("bm,mjx->bjx", coefficients, self.place_modes)
        found = skin(
            self.corner_weights[rows].flatten(0, 1),
            self.parents,
            shape.flatten(1, 2),
            places,
            rotations,
        )
        corners = found.view(len(coefficients), len(rows), 3, 3)
        return (corners * self.shares[rows][..., None]).sum(2)

    def points(self, identity: Tensor, local: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Points ``(B, P, 3)``; with ``chosen`` (B, 68 + D) only those rows."""
        coefficients, jaw = self._coefficients(identity, local)
        if chosen is None:
            return self._posed(coefficients, jaw, torch.arange(len(self.corners)))
        if bool((chosen < self.num_points).all()):
            return self._posed(coefficients, jaw, torch.arange(self.num_points))
        found = self._posed(coefficients, jaw, torch.arange(len(self.corners)))
        return found.gather(1, chosen[..., None].expand(-1, -1, 3))

    def points_and_derivative(
        self, identity: Tensor, local: Tensor, chosen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Points ``(B, N, 3)`` and their derivative along local and identity coefficients ``(B, N,
        3, L + K)``.
        """
        coefficients, jaw = self._coefficients(identity, local)
        along = [
            self._derivative(coefficients[index : index + 1], jaw[index : index + 1], rows)
            for index, rows in enumerate(chosen)
        ]
        return self.points(identity, local, chosen), torch.stack(along)

    def _derivative(self, coefficients: Tensor, jaw: Tensor, rows: Tensor) -> Tensor:
        """Of one picture: ``(N, 3, L + K)``."""
        modes, count = self.corner_modes[:, rows], len(self.corner_modes)
        rotations = self._rotations(jaw).expand(count, -1, -1, -1)
        moved = skin(
            self.corner_weights[rows].flatten(0, 1),
            self.parents,
            modes.flatten(1, 2),
            self.place_modes,
            rotations,
        ).view(count, len(rows), 3, 3)
        linear = (moved * self.shares[rows][..., None]).sum(2).permute(1, 2, 0)  # (N, 3, M)
        pieces: Sequence[Tensor] = [linear]
        if self.num_local > self.num_expressions:
            turned = torch.func.jacfwd(
                lambda angles: self._posed(coefficients, angles[None], rows)[0]
            )(jaw[0])
            pieces = [
                linear[..., : self.num_expressions],
                turned,
                linear[..., self.num_expressions :],
            ]
        return torch.cat(list(pieces), -1)

    def local_prior(self, sigma: float) -> Tensor:
        """``(L, L)`` inverse covariance."""
        count = self.num_expressions
        precision = torch.diag(torch.tensor([1.0] * count + [one**-2 for one in OPENS]))
        precision = precision[: self.num_local, : self.num_local]
        precision[:count, :count] = super().local_prior(sigma)[:count, :count]
        return precision

    def local_range(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest local coefficients, each ``(L,)``."""
        low, high = (bound[: self.num_expressions] for bound in super().local_range())
        if self.num_local == self.num_expressions:
            return low, high
        most = torch.tensor(LARGEST)
        return torch.cat([low, most * torch.tensor([0.0, -1.0, -1.0])]), torch.cat([high, most])

    def full(self, identity: Tensor, local: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """All coefficients of the model: identity ``(B, K)``, expression ``(B, E)``, joints ``(B,
        J, 3)``.
        """
        everyone, expression, _ = super().full(identity, local[:, : self.num_expressions])
        joints = local.new_zeros(len(local), self.num_joints, 3)
        joints[:, self.joint] = self._coefficients(identity, local)[1]
        return everyone, expression, joints
