"""ImFace++'s losses of details (Zheng et al., TPAMI 2024), each by its name, beside ImFace's of the
base.

F is the distance with details, see ``facemorph.systems.imface.residual_field``; weights are those
of the fitting config that was released (the training's was not).

| term | equation | weight |
|---|---|---|
| ``residual_sdf`` | mean ``|F - d|`` | 3000 |
| ``residual_normal`` | mean ``1 - cos(grad F, n)`` | 100 |
| ``residual_eikonal`` | mean ``| |grad F| - 1 |`` along x | 50 |
| ``residual_reference_eikonal`` | the same along x1 of the displaced points | 50 |
| ``detail_code`` | mean ``code^2`` | 1000 |
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.losses.weighted_terms import checked_weights, weighted_sum
from facemorph.systems.imface.field import ImFaceField
from facemorph.systems.imface.losses import ImFaceLoss, ScanBatch
from facemorph.systems.imface.residual_field import DetailedValues, ResidualField

NAMES = (
    "residual_sdf",
    "residual_normal",
    "residual_eikonal",
    "residual_reference_eikonal",
    "detail_code",
)
# terms of the base that do not fade while its codes are trained
CODES = ("identity_code", "expression_code")


class ResidualLoss(nn.Module):
    """The weighted terms, each under its name, and ``total``; a weight of 0 leaves a term out.

    Args:
        residual_sdf_weight: See the module's table, here and below.
        residual_normal_weight: See there.
        residual_eikonal_weight: See there.
        residual_reference_eikonal_weight: See there.
        detail_code_weight: See there.

    Raises:
        ConfigError: A weight is negative, or all are 0.
    """

    def __init__(
        self,
        residual_sdf_weight: float = 3000.0,
        residual_normal_weight: float = 100.0,
        residual_eikonal_weight: float = 50.0,
        residual_reference_eikonal_weight: float = 50.0,
        detail_code_weight: float = 1000.0,
    ) -> None:
        super().__init__()
        given = (
            residual_sdf_weight,
            residual_normal_weight,
            residual_eikonal_weight,
            residual_reference_eikonal_weight,
            detail_code_weight,
        )
        self.weights = checked_weights(dict(zip(NAMES, given, strict=True)), "residual_loss")
        if not any(given):
            raise ConfigError(
                "no term is left to train details by",
                where="residual_loss",
                expected="a weight above 0",
                found="all of them 0",
            )

    def forward(
        self, values: DetailedValues, batch: ScanBatch, detail: Tensor
    ) -> dict[str, Tensor]:
        """All terms of a batch.

        Args:
            values: At the batch's points first; values at further points are not looked at.
            batch: The samples.
            detail: Codes ``(B, D)``.
        """
        if values.gradient is None or values.reference_gradient is None:
            raise ConfigError("the loss needs the field's gradients", where="residual_loss")
        count = batch["points"].shape[1]
        gradient, reference = values.gradient[:, :count], values.reference_gradient[:, :count]
        return weighted_sum(
            {
                "residual_sdf": (values.distance[:, :count] - batch["distance"]).abs().mean(),
                "residual_normal": (
                    1 - F.cosine_similarity(gradient, batch["gradient"], dim=-1)
                ).mean(),
                "residual_eikonal": (gradient.norm(dim=-1) - 1).abs().mean(),
                "residual_reference_eikonal": (reference.norm(dim=-1) - 1).abs().mean(),
                "detail_code": detail.square().mean(),
            },
            self.weights,
        )


def cross_faded(
    base: dict[str, Tensor], residual: dict[str, Tensor], share: Tensor
) -> dict[str, Tensor]:
    """Terms of the base and of the details by the details' share, and their ``total``.

    The base's codes are held near 0 as strongly as before for as long as they are trained.

    Args:
        base: What ``ImFaceLoss`` gives.
        residual: What ``ResidualLoss`` gives.
        share: A number in [0, 1].
    """
    terms = {
        name: value if name in CODES else (1 - share) * value
        for name, value in base.items()
        if name != "total"
    }
    terms |= {name: share * value for name, value in residual.items() if name != "total"}
    return {**terms, "total": torch.stack(list(terms.values())).sum()}


def staged_terms(
    loss: ImFaceLoss,
    residual_loss: ResidualLoss,
    residual: ResidualField,
    field: ImFaceField,
    batch: ScanBatch,
    identity: Tensor,
    expression: Tensor,
    detail: Tensor,
    template: Tensor,
    share: Tensor | None = None,
) -> dict[str, Tensor]:
    """All terms of a batch once details are trained.

    Args:
        loss: Of the base.
        residual_loss: Of details.
        residual: Displacements.
        field: The base.
        batch: The samples.
        identity: Codes ``(B, C)``.
        expression: Codes ``(B, C)``.
        detail: Codes ``(B, D)``.
        template: ``(68, 3)`` landmarks of the template.
        share: Of the details, a number above 0 and below 1; None for details alone.
    """
    points = batch["points"] if share is None else loss.places(batch)
    values = residual(field, points, identity, expression, detail)
    terms: dict[str, Tensor] = residual_loss(values, batch, detail)
    if share is None:
        return terms
    return cross_faded(
        loss.of_values(values.base, field, batch, identity, expression, template), terms, share
    )
