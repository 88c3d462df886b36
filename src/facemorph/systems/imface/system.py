"""ImFace and ImFace++: nonlinear 3-D morphable face models of implicit deformation fields.

Zheng et al., ImFace: A Nonlinear 3D Morphable Face Model with Implicit Neural Representations (CVPR
2022), and ImFace++ (TPAMI 2024), which adds details and trains them in stages.

| equation | where |
|---|---|
| 3 to 5, f = T(R(D(x))) + c | ``facemorph.systems.imface.field`` |
| 6, 7, blend fields | ``facemorph.systems.imface.blend_fields`` |
| 8 to 14, losses | ``facemorph.systems.imface.losses`` |
| codes, one for each identity, one for each expression of each identity | here |
| ImFace++: displacements along normals, their losses | ``fields.residual_field``, ``losses.imface_plus_plus`` |
| ImFace++: stages of training | here, ``ImFacePlusPlus`` |

Departures from the authors' code: gradients of the distance by written-out products, in one pass
with the distance, so that training needs no second backward pass (equal to 1e-8,
``tests/unit/test_imface_field.py``); screws with a gradient at rest; no weights beside those that
hyper-networks make; the codes of all identities and expressions stay in one table each. Landmarks
of the template are the mean of the neutral scans instead of FaceScape's.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from facemorph.engine.compiled_terms import CompiledTerms
from facemorph.engine.optimizers import (
    SCHEDULES,
    adam_by_epochs,
    adam_in_stages,
    adam_with_schedule,
    stage_share,
)
from facemorph.errors import CheckpointError, ConfigError
from facemorph.geometry.meshes.extraction import Extraction
from facemorph.geometry.meshes.mesh_files import ply_bytes
from facemorph.geometry.meshes.sphere_cut import surface_in_ball
from facemorph.geometry.scans.scan_placement import in_millimetres
from facemorph.storage.checkpoint import check_same_parts
from facemorph.storage.files import write_whole
from facemorph.systems.imface.detail_evaluation import DetailEvaluation
from facemorph.systems.imface.detail_losses import ResidualLoss, staged_terms
from facemorph.systems.imface.evaluation import ImFaceEvaluation
from facemorph.systems.imface.field import FIVE, ImFaceField
from facemorph.systems.imface.losses import ImFaceLoss, ScanBatch
from facemorph.systems.imface.residual_field import ResidualField
from facemorph.systems.imface.trained_base import start_from_base

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
        self.identity_codes = _table(self.num_identities, self.code)
        self.expression_codes = _table(self.num_identities * self.num_expressions, self.code)

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


class ImFacePlusPlus(ImFace):
    """Trains ImFace++: ImFace, and details of each scan as displacements along the normals.

    In three stages by the share of the run that is done, with cosines between them:

    | | until ``stages[0]`` | in between | from ``stages[1]`` |
    |---|---|---|---|
    | losses | ImFace's | one fades into the other | those of the details |
    | step size of the base and its codes | 1 | 1 to 0 | 0: frozen |
    | step size of the details and their codes | 0: frozen | 0 to 1 | 1 to 0.01 |

    What is frozen takes no gradient. The stages belong to the whole run: it needs an end, and a run
    that is resumed with another ``max_epochs`` is at another place of them.

    Args, where ``ImFace`` does not say the same:
        loss: ImFace's losses; the published ones when None.
        residual_loss: The losses of details; the released ones when None.
        local: ``separate`` as in the paper, or ``shared``.
        detail_code: Length of the codes of details, one for each scan: a multiple of ``landmarks``.
        residual: ``sine`` or ``film``, see ``facemorph.systems.imface.residual_field``.
        residual_hidden: Width of the local networks of details.
        residual_layers: Their hidden layers after the first.
        learning_rate: Step size of Adam where its factor is 1.
        detail_learning_rate: The same of the details; None takes that of the base.
        stages: Shares of the run.
        warm_up: Share of the run in which a step size rises by a line, where it begins.
        base_checkpoint: A trained ImFace to start from, see ``start_from_base``; with ``stages=[0,
            0]`` details alone are trained. It is not read again when the run is resumed.
        compile: As of ImFace; each stage is compiled when it begins.

    Raises:
        ConfigError: A number is none of the possible ones, or not that of the data; the run has no
            end; several processes have another strategy than one that finds parameters without
            gradients.
        CheckpointError: A checkpoint is of another variant, of ImFace, or of other people.
    """

    detail_code = 0  # until it is known

    def __init__(
        self,
        num_identities: int | None = None,
        num_expressions: int | None = None,
        loss: ImFaceLoss | None = None,
        residual_loss: ResidualLoss | None = None,
        landmarks: int = 5,
        motion: str = "se3",
        code: int = 128,
        local: str = "separate",
        hyper: str = "per_tensor",
        hidden: int = 128,
        layers: int = 3,
        detail_code: int = 160,
        residual: str = "sine",
        residual_hidden: int = 128,
        residual_layers: int = 3,
        learning_rate: float = 1e-4,
        detail_learning_rate: float | None = None,
        stages: Sequence[float] = (0.2, 0.5),
        warm_up: float = 0.0,
        base_checkpoint: str | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(
            num_identities,
            num_expressions,
            loss,
            landmarks,
            motion,
            code,
            local,
            hyper,
            hidden,
            layers,
            learning_rate,
            compile=compile,
        )
        if len(stages) != 2 or not 0 <= stages[0] <= stages[1] <= 1:
            raise ConfigError(
                "stages are two shares of the run",
                where="system.stages",
                expected="two numbers from 0 to 1, in order",
                found=list(stages),
            )
        self.residual_loss = ResidualLoss() if residual_loss is None else residual_loss
        self.residual = ResidualField(
            landmarks, detail_code, residual, residual_hidden, residual_layers
        )
        self.detail_code, self.stages = detail_code, (float(stages[0]), float(stages[1]))
        self.detail_codes = _table(self.num_identities * self.num_expressions, detail_code)
        self.detail_learning_rate = (
            learning_rate if detail_learning_rate is None else detail_learning_rate
        )
        self.num_steps, self.warm_up, self.base_checkpoint = 0.0, warm_up, base_checkpoint

    def _make_codes(self) -> None:
        super()._make_codes()
        self.detail_codes = _table(self.num_identities * self.num_expressions, self.detail_code)

    def mean_detail(self) -> Tensor:
        """The mean detail code ``(D,)`` of the training set's scans."""
        return self.detail_codes.weight.detach().mean(0)

    def surface(
        self,
        identity: Tensor,
        expression: Tensor | None,
        resolution: int = 256,
        *,
        dense: bool = False,
        detail: Tensor | None = None,
    ) -> Extraction:
        """The face of codes ``(C,)`` with the details of a code ``(D,)``; without it what all scans
        have in common.

        Raises:
            ConfigError: The resolution is none of the possible ones.
            GeometryError: The field has no surface.
        """
        evaluation = DetailEvaluation(
            self.field,
            self.residual,
            identity,
            expression,
            self.mean_detail() if detail is None else detail,
        )
        return surface_in_ball(evaluation.distance, resolution, dense=dense, device=self.device)

    def surface_without_details(
        self,
        identity: Tensor,
        expression: Tensor | None,
        resolution: int = 256,
        *,
        dense: bool = False,
    ) -> Extraction:
        """The base's face alone, as ``ImFace.surface``."""
        return super().surface(identity, expression, resolution, dense=dense)

    # ------------------------------------------------------------
    # training
    def setup(self, stage: str) -> None:
        """As ImFace; and see that processes can have parameters without gradients."""
        super().setup(stage)
        known: dict[str, Any] = getattr(self.trainer.strategy, "_ddp_kwargs", {})
        if (
            stage == "fit"
            and self.trainer.world_size > 1
            and not known.get("find_unused_parameters")
        ):
            raise ConfigError(
                "in every stage something is frozen, and this strategy waits for its gradients",
                where="trainer.strategy",
                expected="ddp_find_unused_parameters_true",
                found=type(self.trainer.strategy).__name__,
                remedy="Add trainer.strategy=ddp_find_unused_parameters_true.",
            )

    def on_fit_start(self) -> None:
        """Start from a trained base, unless the run is resumed: only now that is known."""
        if self.base_checkpoint and not self.trainer.ckpt_path:
            tables = self.identity_codes, self.expression_codes
            self.take_template(
                start_from_base(
                    self.base_checkpoint,
                    self.field,
                    tables,
                    self.template_landmarks,
                    base_learns=self.stages[1] > 0,
                    options=VARIANT,
                )
            )

    def share_of_details(self, step: int) -> float:
        """How much of the losses is that of details at a step: 0, in between, and 1."""
        return stage_share(step / max(self.num_steps, 1), self.stages)

    def _groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters of the base with its codes, and of the details with theirs."""
        details = [*self.residual.parameters(), *self.detail_codes.parameters()]
        known = set(details)
        return [parameter for parameter in self.parameters() if parameter not in known], details

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Freeze what does not learn in this stage."""
        share = self.share_of_details(self.global_step)
        for parameters, learns in zip(self._groups(), (share < 1, share > 0), strict=True):
            for parameter in parameters:
                parameter.requires_grad_(learns)

    def training_step(self, batch: ScanBatch, batch_idx: int) -> Tensor:
        """The weighted sum of the terms of this stage."""
        share = self.share_of_details(self.global_step)
        if share == 0:
            return super().training_step(batch, batch_idx)
        detail = self.detail_codes(batch["expression"] * self.num_identities + batch["identity"])
        terms = self.compiled(staged_terms)(
            self.loss,
            self.residual_loss,
            self.residual,
            self.field,
            batch,
            *self.codes(batch["identity"], batch["expression"]),
            detail,
            self.template_landmarks,
            None if share == 1 else detail.new_tensor(share),
        )
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        total: Tensor = terms["total"]
        return total

    def configure_optimizers(self) -> Any:
        """Adam, with a step size for the base and one for details that follow the stages.

        Raises:
            ConfigError: The run has no end.
        """
        self.num_steps = self.trainer.estimated_stepping_batches
        return adam_in_stages(
            *self._groups(),
            (self.learning_rate, self.detail_learning_rate),
            self.stages,
            self.num_steps,
            self.warm_up,
        )


def _table(count: int, size: int) -> nn.Embedding:
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
    own = "ImFacePlusPlus" if isinstance(system, ImFacePlusPlus) else "ImFace"
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
