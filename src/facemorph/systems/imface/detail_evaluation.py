"""ImFace++'s field at many points for one face, without gradients: as
``facemorph.systems.imface.evaluation``.

The same numbers as ``ResidualField`` gives (its plain twin,
``tests/unit/systems/imface/test_detail_evaluation.py``). The normal, and the base at the displaced
point, are only needed where there is a displacement: it ends within some s of the surface.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.systems.imface.evaluation import PIECE, FrozenBlend, ImFaceEvaluation
from facemorph.systems.imface.field import ImFaceField
from facemorph.systems.imface.residual_field import REACH, WIDTH, ResidualField

NOTHING = 1e-6  # 0.1 um: displacements that are left out


class DetailEvaluation:
    """One face's field with details.

    Args:
        field: The base of all faces; later changes of its weights are not seen, here and below.
        residual: The displacements of all faces.
        identity: Code ``(C,)``.
        expression: Code ``(C,)``; None for the neutral face.
        detail: Code ``(D,)``.
    """

    @torch.no_grad()
    def __init__(
        self,
        field: ImFaceField,
        residual: ResidualField,
        identity: Tensor,
        expression: Tensor | None,
        detail: Tensor,
    ) -> None:
        self.base = ImFaceEvaluation(field, identity, expression)
        landmarks = field.template.landmarks[0]
        tensors = residual.networks(detail[None].unflatten(-1, (len(landmarks), -1)))
        self.residual = FrozenBlend(residual.blend, landmarks, tensors, self.base.buffers)

    @torch.no_grad()
    def distance(self, points: Tensor) -> Tensor:
        """Signed distances ``(N,)`` with details at points ``(N, 3)``."""
        return torch.cat([self._piece(part) for part in points.split(PIECE)])

    def _piece(self, x: Tensor) -> Tensor:
        distance, places, trace = self.base.traced(x)
        share = 1 / (1 + (distance / WIDTH) ** 4)
        if not bool((REACH * share > NOTHING).any()):
            return distance
        displacement = REACH * self.residual(places)[:, 0].tanh() * share
        moved = (displacement.abs() > NOTHING).nonzero()[:, 0]
        if len(moved):
            normal = F.normalize(self.base.gradient(trace)[moved], dim=-1)
            distance[moved] = self.base.distance(x[moved] + displacement[moved, None] * normal)
        return distance
