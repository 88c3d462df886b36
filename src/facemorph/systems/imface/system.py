"""ImFace and ImFace++: nonlinear 3-D morphable face models of implicit deformation fields.

Zheng et al., ImFace: A Nonlinear 3D Morphable Face Model with Implicit Neural Representations (CVPR
2022), and ImFace++ (TPAMI 2024), which adds details and trains them in stages.

| equation | where |
|---|---|
| 3 to 5, f = T(R(D(x))) + c | ``facemorph.systems.imface.field`` |
| 6, 7, blend fields | ``facemorph.systems.imface.blend_fields`` |
| 8 to 14, losses | ``facemorph.systems.imface.losses`` |
| codes, one for each identity, one for each expression of each identity | here |
| ImFace++: details along normals, their losses | ``residual_field``, ``detail_losses`` |
| ImFace++: stages of training | ``detail_system`` |

Departures from the authors' code: gradients of the distance by written-out products, in one pass
with the distance, so that training needs no second backward pass (equal to 1e-8,
``tests/unit/systems/imface/test_field.py``); screws with a gradient at rest; no weights beside
those that hyper-networks make; the codes of all identities and expressions stay in one table each.
Landmarks of the template are the mean of the neutral scans instead of FaceScape's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from facemorph.engine.compiled_terms import CompiledTerms
from facemorph.engine.optimizers import (
    SCHEDULES,
    adam_by_epochs,
    adam_with_schedule,
)
from facemorph.errors import CheckpointError, ConfigError
from facemorph.geometry.meshes.extraction import Extraction
from facemorph.geometry.meshes.mesh_files import ply_bytes
from facemorph.geometry.meshes.sphere_cut import surface_in_ball
from facemorph.geometry.scans.scan_placement import in_millimetres
from facemorph.storage.checkpoint import check_same_parts
from facemorph.storage.files import write_whole
from facemorph.systems.imface.evaluation import ImFaceEvaluation
from facemorph.systems.imface.field import FIVE, ImFaceField
from facemorph.systems.imface.losses import ImFaceLoss, ScanBatch

SPARSE = {5: FIVE, 68: tuple(range(68))}
VARIANT = "system.motion, local, hyper, landmarks, code, hidden, layers and residual"
CODE_SPREAD = 0.01  # standard deviation of the codes at the start


class ImFace(LightningModule):
    """Trains ImFace on prepared scans.

    Args:
        num_identities: People of the training set; None takes as many as the data, or the
            checkpoint, has.
        num_expressions: Expressions of the training set, the neutral one first; likewise.
        loss: The losses; those of the paper when None.
        landmarks: 5 or 68, where the local networks sit.
        motion: ``se3`` or ``translation``.
        code: Length of either code.
        local: ``shared`` or ``separate``, see ``ImFaceField``.
        hyper: ``per_tensor`` or ``fused``.
        hidden: Width of the local networks.
        layers: Their hidden layers after the first.
        learning_rate: Step size of Adam.
        schedule: ``step``, as published: the step size shrinks by ``decay`` every ten epochs, once
            ``decay_after`` epochs are done; or ``one_cycle``, ``cosine``, ``constant``, see
            ``adam_with_schedule``.
        decay: Of ``step``.
        decay_after: Of ``step``, epochs.
        compile: Compile the training step (``torch.compile``): some two minutes once, then steps
            take two thirds of their time on a CPU. Needs a C++ compiler there.

    Raises:
        ConfigError: A number is none of the possible ones, or not that of the data.
        CheckpointError: A checkpoint is of another variant, or of other people.
    """

    template_landmarks: Tensor

    def __init__(
        self,
        num_identities: int | None = None,
        num_expressions: int | None = None,
        loss: nn.Module | None = None,
        landmarks: int = 5,
        motion: str = "se3",
        code: int = 128,
        local: str = "shared",
        hyper: str = "per_tensor",
        hidden: int = 128,
        layers: int = 3,
        learning_rate: float = 1e-4,
        schedule: str = "step",
        decay: float = 0.95,
        decay_after: int = 200,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if landmarks not in SPARSE:
            raise ConfigError(
                "no such set of landmarks",
                where="system.landmarks",
                expected="5 | 68",
                found=landmarks,
            )
        for name, number in (
            ("num_identities", num_identities),
            ("num_expressions", num_expressions),
        ):
            if number is not None and number < 1:
                raise ConfigError(
                    "a training set has people and expressions",
                    where=f"system.{name}",
                    expected="1 or more",
                    found=number,
                )
        self.loss = ImFaceLoss() if loss is None else loss
        self.learning_rate, self.schedule, self.decay, self.decay_after = (
            learning_rate,
            schedule,
            decay,
            decay_after,
        )
        if schedule not in ("step", *SCHEDULES):
            raise ConfigError(
                "unknown schedule",
                where="system.schedule",
                expected=" | ".join(("step", *SCHEDULES)),
                found=schedule,
            )
        self.compiled = CompiledTerms(compile)
        self.register_buffer("template_landmarks", torch.zeros(68, 3))
        self.field = ImFaceField(
            torch.zeros(68, 3), SPARSE[landmarks], motion, code, local, hyper, hidden, layers
        )
        self.code, self.num_identities, self.num_expressions = (
            code,
            num_identities or 0,
            num_expressions or 0,
        )
        self._make_codes()
        self.register_load_state_dict_pre_hook(_fit_to_checkpoint)

    def _make_codes(self) -> None:
        self.identity_codes = code_table(self.num_identities, self.code)
        self.expression_codes = code_table(self.num_identities * self.num_expressions, self.code)

    def take_numbers(self, identities: int, expressions: int, where: str) -> None:
        """Make the codes of so many people and expressions.

        Args:
            identities: People.
            expressions: Expressions.
            where: What says so, for messages.

        Raises:
            ConfigError: The system has been made for other numbers.
        """
        for name, found, wanted in (
            ("num_identities", self.num_identities, identities),
            ("num_expressions", self.num_expressions, expressions),
        ):
            if found not in (0, wanted):
                raise ConfigError(
                    f"the system is made for another number than {where} has",
                    where=f"system.{name}",
                    expected=wanted,
                    found=found,
                    remedy=f"Leave system.{name} out.",
                )
        if (self.num_identities, self.num_expressions) != (identities, expressions):
            self.num_identities, self.num_expressions = identities, expressions
            self._make_codes()

    def setup(self, stage: str) -> None:
        """Take numbers of codes and the template's landmarks from the data before training."""
        if stage != "fit":
            return
        self.compiled.check(self.trainer.strategy.root_device)
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        self.take_numbers(data.num_identities, data.num_expressions, "the data")
        if not bool(self.template_landmarks.any()):
            self.take_template(data.mean_landmarks())

    def take_template(self, landmarks: Tensor) -> None:
        """Set the template's landmarks ``(68, 3)``."""
        self.template_landmarks.copy_(landmarks)
        self.field.template.landmarks.copy_(landmarks[self.field.sparse][None])

    def mean_codes(self) -> tuple[Tensor, Tensor]:
        """The mean codes ``(C,)`` of the training set's identities and expressions."""
        return self.identity_codes.weight.detach().mean(
            0
        ), self.expression_codes.weight.detach().mean(0)

    # ------------------------------------------------------------
    # surfaces
    def surface(
        self,
        identity: Tensor,
        expression: Tensor | None,
        resolution: int = 256,
        *,
        dense: bool = False,
    ) -> Extraction:
        """The face of codes ``(C,)`` in the unit ball; without the expression's code the neutral
        one.

        Raises:
            ConfigError: The resolution is none of the possible ones.
            GeometryError: The field has no surface.
        """
        evaluation = ImFaceEvaluation(self.field, identity, expression)
        return surface_in_ball(evaluation.distance, resolution, dense=dense, device=self.device)

    def template_surface(self, resolution: int = 256) -> Extraction:
        """The template alone in the unit ball.

        Raises:
            ConfigError: The resolution is none of the possible ones.
            GeometryError: The field has no surface.
        """
        template = self.field.template
        return surface_in_ball(
            lambda points: template(points[None])[0][0, :, 0], resolution, device=self.device
        )

    def infer(self, output: Path, *, resolution: int = 256) -> list[Path]:
        """Write the mean face without and with the mean expression, and the template, in
        millimetres.

        Args:
            output: Folder of ``neutral.ply``, ``mean.ply`` and ``template.ply``.
            resolution: Cells along each side of the ball: a power of 2, from 32 to 1024.
        """
        identity, expression = self.mean_codes()
        found = {
            "neutral": self.surface(identity, None, resolution),
            "mean": self.surface(identity, expression, resolution),
            "template": self.template_surface(resolution),
        }
        paths = []
        for name, one in found.items():
            paths.append(output / f"{name}.ply")
            write_whole(paths[-1], ply_bytes(in_millimetres(one.mesh)))
        return paths

    # ------------------------------------------------------------
    # training
    def codes(self, identity: Tensor, expression: Tensor) -> tuple[Tensor, Tensor]:
        """Codes ``(B, C)`` of numbers ``(B,)``: of the identities, and of these expressions of
        these identities.
        """
        return self.identity_codes(identity), self.expression_codes(
            expression * self.num_identities + identity
        )

    def training_step(self, batch: ScanBatch, batch_idx: int) -> Tensor:
        """The weighted sum of the loss's terms."""
        terms = self.compiled(self.loss.forward)(
            self.field,
            batch,
            *self.codes(batch["identity"], batch["expression"]),
            self.template_landmarks,
        )
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        total: Tensor = terms["total"]
        return total

    def configure_optimizers(self) -> Any:
        """Adam with its schedule."""
        if self.schedule != "step":
            return adam_with_schedule(
                self.parameters(),
                self.learning_rate,
                self.schedule,
                int(self.trainer.estimated_stepping_batches),
            )
        return adam_by_epochs(self.parameters(), self.learning_rate, self.decay, self.decay_after)


def code_table(count: int, size: int) -> nn.Embedding:
    """Codes ``(count, size)`` near zero, one of each person or expression."""
    """Codes as training starts with them."""
    return nn.Embedding.from_pretrained(CODE_SPREAD * torch.randn(count, size), freeze=False)


def _fit_to_checkpoint(system: ImFace, state: dict[str, Tensor], *_: Any) -> None:
    """Before weights are loaded: codes for the checkpoint's people where no number is known yet,
    and no other variant.

    Raises:
        CheckpointError: The checkpoint is of other people, or of another variant.
    """
    people, pairs = (state.get(f"{name}_codes.weight") for name in ("identity", "expression"))
    if people is None or pairs is None or not len(people):
        raise CheckpointError(
            "this is no checkpoint of ImFace", where="identity_codes", expected="a table of codes"
        )
    own = type(system).__name__
    its = "ImFacePlusPlus" if "detail_codes.weight" in state else "ImFace"
    if own != its:
        raise CheckpointError(
            "the checkpoint is of another system than the config",
            where="system",
            expected=own,
            found=its,
            remedy="Take the config that it was trained with.",
        )
    expressions, rest = divmod(len(pairs), len(people))
    if rest == 0 and people.shape[1:] == (system.code,):
        if not system.num_identities and not system.num_expressions:
            system.take_numbers(len(people), expressions, "the checkpoint")
        for name, found, wanted in (
            ("num_identities", len(people), system.num_identities),
            ("num_expressions", expressions, system.num_expressions),
        ):
            if found != wanted:
                raise CheckpointError(
                    "the checkpoint was trained on another set",
                    where=name,
                    expected=f"{wanted}, as the config or the data has",
                    found=found,
                    remedy="Resume with the same data, or train anew.",
                )
    check_same_parts(system.state_dict(), state, VARIANT)
