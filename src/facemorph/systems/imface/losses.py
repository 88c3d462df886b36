"""ImFace's losses (Zheng et al., CVPR 2022, eq. 8 to 14, with the weights of the released code),
each by its name.

| term | equation | published weight |
|---|---|---|
| ``sdf`` | mean ``|f - d|`` | 3000 |
| ``normal`` | mean ``1 - cos(grad f, n)`` | 100 |
| ``eikonal`` | mean ``| |grad f| - 1 |`` along x | 50 |
| ``reference_eikonal`` | the same along x1, the point without expression | 50 |
| ``expression_landmarks`` | mean ``|landmarks(codes) - given|``, the sparse ones | 1000 |
| ``identity_landmarks`` | mean ``|landmarks(identity) - given of the neutral face|`` | 1000 |
| ``deformed_landmarks`` | mean ``|D(68 given) - 68 of the neutral face|`` | 100 |
| ``reference_landmarks`` | mean ``|R(D(68 given)) - 68 of the template|`` | 100 |
| ``neutral_deformation`` | mean ``(D(x) - x)^2`` of neutral scans, or ``w^2`` | 1e4 |
| ``identity_code``, ``expression_code`` | mean ``code^2`` | 1e6 each |
| ``correction`` | mean ``|c|`` | 100 |

**The neutral deformation** says that D leaves a neutral face alone. The released code squares what
D's network puts out: of ``se3`` the six numbers w of the screw, rotation and translation, not how
far they move the point. Both are 0 together; on the way there they differ. The released code's is
``neutral_deformation_of: motion``, which its weight was chosen for and the published recipes take.
The default is ``displacement``: it is in one unit, and what every model was trained by whose config
does not name it, that of ``@open:imface`` among them. A motion by ``translation`` is its own
displacement: there both are the same.

The released code's energy term takes logarithms of negative numbers and is left out.
"""

from __future__ import annotations

from typing import Literal, TypedDict, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.losses.weighted_terms import checked_weights, weighted_sum
from facemorph.systems.imface.field import FieldValues, ImFaceField, choice

NeutralDeformation = Literal["displacement", "motion"]

NAMES = (
    "sdf",
    "normal",
    "eikonal",
    "reference_eikonal",
    "expression_landmarks",
    "identity_landmarks",
    "deformed_landmarks",
    "reference_landmarks",
    "neutral_deformation",
    "identity_code",
    "expression_code",
    "correction",
)


class ScanBatch(TypedDict):
    """Samples of B scans.

    ``points`` (B, N, 3), ``distance`` (B, N), ``gradient`` (B, N, 3) unit; ``landmarks`` and
    ``neutral_landmarks`` (B, 68, 3), those of the same person without expression; ``identity`` and
    ``expression`` (B,) numbers; ``neutral`` (B,) bool. Landmarks that are not known are rows of
    NaN.
    """

    points: Tensor
    distance: Tensor
    gradient: Tensor
    landmarks: Tensor
    neutral_landmarks: Tensor
    identity: Tensor
    expression: Tensor
    neutral: Tensor


class ImFaceLoss(nn.Module):
    """The weighted terms, each under its name, and ``total``; a weight of 0 leaves a term out.

    Args:
        sdf_weight: See the module's table, here and below.
        normal_weight: See there.
        eikonal_weight: See there.
        reference_eikonal_weight: See there.
        expression_landmarks_weight: See there.
        identity_landmarks_weight: See there.
        deformed_landmarks_weight: See there.
        reference_landmarks_weight: See there.
        neutral_deformation_weight: See there.
        identity_code_weight: See there.
        expression_code_weight: See there.
        correction_weight: See there.
        neutral_deformation_of: What ``neutral_deformation`` squares: the ``displacement`` of the
            points, or the ``motion`` that the network gives, as the released code.

    Raises:
        ConfigError: A weight is negative, or there is no such form.
    """

    def __init__(
        self,
        sdf_weight: float = 3000.0,
        normal_weight: float = 100.0,
        eikonal_weight: float = 50.0,
        reference_eikonal_weight: float = 50.0,
        expression_landmarks_weight: float = 1000.0,
        identity_landmarks_weight: float = 1000.0,
        deformed_landmarks_weight: float = 100.0,
        reference_landmarks_weight: float = 100.0,
        neutral_deformation_weight: float = 1e4,
        identity_code_weight: float = 1e6,
        expression_code_weight: float = 1e6,
        correction_weight: float = 100.0,
        neutral_deformation_of: NeutralDeformation = "displacement",
    ) -> None:
        super().__init__()
        self.neutral_deformation_of = choice(
            neutral_deformation_of, get_args(NeutralDeformation), "loss.neutral_deformation_of"
        )
        given = (
            sdf_weight,
            normal_weight,
            eikonal_weight,
            reference_eikonal_weight,
            expression_landmarks_weight,
            identity_landmarks_weight,
            deformed_landmarks_weight,
            reference_landmarks_weight,
            neutral_deformation_weight,
            identity_code_weight,
            expression_code_weight,
            correction_weight,
        )
        self.weights = checked_weights(dict(zip(NAMES, given, strict=True)), "loss")

    def forward(
        self,
        field: ImFaceField,
        batch: ScanBatch,
        identity: Tensor,
        expression: Tensor,
        template: Tensor,
    ) -> dict[str, Tensor]:
        """All terms of a batch.

        Args:
            field: The field.
            batch: The samples.
            identity: Codes ``(B, C)``.
            expression: Codes ``(B, C)``.
            template: ``(68, 3)`` landmarks of the template.
        """
        return self.of_values(
            field(self.places(batch), identity, expression),
            field,
            batch,
            identity,
            expression,
            template,
        )

    @staticmethod
    def places(batch: ScanBatch) -> Tensor:
        """Where the loss needs the field ``(B, N + 68, 3)``: the 68 landmarks go through it with
        the samples.
        """
        known = torch.isfinite(batch["landmarks"]).all(-1, keepdim=True)
        return torch.cat([batch["points"], batch["landmarks"].where(known, 0)], 1)

    def of_values(
        self,
        values: FieldValues,
        field: ImFaceField,
        batch: ScanBatch,
        identity: Tensor,
        expression: Tensor,
        template: Tensor,
    ) -> dict[str, Tensor]:
        """All terms of a batch whose values at ``places`` are known."""
        count = batch["points"].shape[1]
        known = torch.isfinite(batch["landmarks"]).all(-1, keepdim=True)
        if values.gradient is None or values.reference_gradient is None:
            raise ConfigError("the loss needs the field's gradients", where="loss")
        shown, still = field.landmarks(identity, expression)
        sparse = field.sparse
        gradient, reference = values.gradient[:, :count], values.reference_gradient[:, :count]
        moved = values.neutral[:, :count] - batch["points"]
        if self.neutral_deformation_of == "motion" and values.motion is not None:
            moved = values.motion[:, :count]
        at_rest = batch["neutral"].to(moved)[:, None, None]
        terms = {
            "sdf": (values.distance[:, :count] - batch["distance"]).abs().mean(),
            "normal": (1 - F.cosine_similarity(gradient, batch["gradient"], dim=-1)).mean(),
            "eikonal": (gradient.norm(dim=-1) - 1).abs().mean(),
            "reference_eikonal": (reference.norm(dim=-1) - 1).abs().mean(),
            "expression_landmarks": _known_mean(shown - batch["landmarks"][:, sparse]),
            "identity_landmarks": _known_mean(still - batch["neutral_landmarks"][:, sparse]),
            "deformed_landmarks": _known_mean(
                values.neutral[:, count:] - batch["neutral_landmarks"].where(known, torch.nan)
            ),
            "reference_landmarks": _known_mean(
                (values.template[:, count:] - template).where(known, torch.nan)
            ),
            "neutral_deformation": (moved * at_rest).square().mean(),
            "identity_code": identity.square().mean(),
            "expression_code": expression.square().mean(),
            "correction": values.correction[:, :count].abs().mean(),
        }
        return weighted_sum(terms, self.weights)


def _known_mean(difference: Tensor) -> Tensor:
    """The mean ``|difference|`` of ``(B, P, 3)`` where it is a number; 0 where none is."""
    known = torch.isfinite(difference)
    return difference.where(known, 0).abs().sum() / known.sum().clamp(min=1)
