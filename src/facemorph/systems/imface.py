"""ImFace: a nonlinear 3-D morphable face model of implicit deformation fields.

Zheng et al., ImFace: A Nonlinear 3D Morphable Face Model with Implicit Neural Representations (CVPR 2022).

| equation | where |
|---|---|
| 3 to 5, f = T(R(D(x))) + c | ``facemorph.fields.imface_field`` |
| 6, 7, blend fields | ``facemorph.fields.blend_fields`` |
| 8 to 14, losses | ``facemorph.losses.imface`` |
| codes, one for each identity, one for each expression of each identity | here |

Departures from the authors' code: gradients of the distance by written-out products, in one pass with the distance, so
that training needs no second backward pass (equal to 1e-8, ``tests/unit/test_imface_field.py``); screws with a gradient
at rest; no weights beside those that hyper-networks make; the codes of all identities and expressions stay in one table
each. Landmarks of the template are the mean of the neutral scans instead of FaceScape's.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.fields.imface_field import FIVE, ImFaceField
from facemorph.losses.imface import ImFaceLoss, ScanBatch

SPARSE = {5: FIVE, 68: tuple(range(68))}
CODE_SPREAD = 0.01                               # standard deviation of the codes at the start


class ImFace(LightningModule):
    """Trains ImFace on prepared scans.

    Args:
        num_identities: People of the training set.
        num_expressions: Expressions of the training set, the neutral one first.
        loss: The losses; those of the paper when None.
        landmarks: 5 or 68, where the local networks sit.
        motion: ``se3`` or ``translation``.
        code: Length of either code.
        local: ``shared`` or ``separate``, see ``ImFaceField``.
        hyper: ``per_tensor`` or ``fused``.
        hidden: Width of the local networks.
        layers: Their hidden layers after the first.
        learning_rate: Step size of Adam.
        decay: Factor of the step size every ten epochs, once ``decay_after`` epochs are done.
        decay_after: Epochs.

    Raises:
        ConfigError: A number is none of the possible ones.
    """

    template_landmarks: Tensor

    def __init__(self, num_identities: int, num_expressions: int, loss: nn.Module | None = None, landmarks: int = 5,
                 motion: str = "se3", code: int = 128, local: str = "shared", hyper: str = "per_tensor",
                 hidden: int = 128, layers: int = 3, learning_rate: float = 1e-4, decay: float = 0.95,
                 decay_after: int = 200) -> None:
        super().__init__()
        if landmarks not in SPARSE:
            raise ConfigError("no such set of landmarks", where="system.landmarks", expected="5 | 68", found=landmarks)
        if num_identities < 1 or num_expressions < 1:
            raise ConfigError("a training set has people and expressions", where="system",
                              found=f"{num_identities} and {num_expressions}")
        self.num_identities, self.num_expressions = num_identities, num_expressions
        self.loss = ImFaceLoss() if loss is None else loss
        self.learning_rate, self.decay, self.decay_after = learning_rate, decay, decay_after
        self.register_buffer("template_landmarks", torch.zeros(68, 3))
        self.field = ImFaceField(torch.zeros(68, 3), SPARSE[landmarks], motion, code, local, hyper, hidden, layers)
        self.identity_codes = nn.Embedding(num_identities, code)
        self.expression_codes = nn.Embedding(num_identities * num_expressions, code)
        for table in (self.identity_codes, self.expression_codes):
            nn.init.normal_(table.weight, std=CODE_SPREAD)

    def setup(self, stage: str) -> None:
        """Take the template's landmarks from the data before training, unless a checkpoint has brought them."""
        if stage == "fit" and not bool(self.template_landmarks.any()):
            self.take_template(self.trainer.datamodule.mean_landmarks())  # type: ignore[attr-defined]

    def take_template(self, landmarks: Tensor) -> None:
        """Set the template's landmarks ``(68, 3)``."""
        self.template_landmarks.copy_(landmarks)
        self.field.template.landmarks.copy_(landmarks[self.field.sparse][None])

    # -------------------------------------------------------------------------------------------- training
    def codes(self, identity: Tensor, expression: Tensor) -> tuple[Tensor, Tensor]:
        """Codes ``(B, C)`` of numbers ``(B,)``: of the identities, and of these expressions of these identities."""
        return self.identity_codes(identity), self.expression_codes(expression * self.num_identities + identity)

    def training_step(self, batch: ScanBatch, batch_idx: int) -> Tensor:
        """The weighted sum of the loss's terms."""
        terms = self.loss(self.field, batch, *self.codes(batch["identity"], batch["expression"]),
                          self.template_landmarks)
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        total: Tensor = terms["total"]
        return total

    def configure_optimizers(self) -> Any:
        """Adam, its step size going down every ten epochs from ``decay_after`` on."""
        optimizer = torch.optim.Adam(self.parameters(), lr=self.learning_rate)
        after, decay = self.decay_after, self.decay

        def factor(epoch: int) -> float:
            return decay ** (max(0, epoch - after) // 10)

        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, factor)}
