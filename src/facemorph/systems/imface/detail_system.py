"""ImFace++ (Zheng et al., TPAMI 2024): ImFace with a field of details on its surface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from facemorph.engine.optimizers import (
    adam_in_stages,
    stage_share,
)
from facemorph.errors import CheckpointError, ConfigError
from facemorph.geometry.meshes.extraction import Extraction
from facemorph.geometry.meshes.sphere_cut import surface_in_ball
from facemorph.storage.checkpoint import check_same_parts, load_system
from facemorph.systems.imface.detail_evaluation import DetailEvaluation
from facemorph.systems.imface.detail_losses import ResidualLoss, staged_terms
from facemorph.systems.imface.field import ImFaceField
from facemorph.systems.imface.losses import ImFaceLoss, ScanBatch
from facemorph.systems.imface.residual_field import ResidualField
from facemorph.systems.imface.system import VARIANT, ImFace, code_table

SAME = 5e-4  # 0.05 mm: means of the same people, also after 16-bit rounding


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
        self.detail_codes = code_table(self.num_identities * self.num_expressions, detail_code)
        self.detail_learning_rate = (
            learning_rate if detail_learning_rate is None else detail_learning_rate
        )
        self.num_steps, self.warm_up, self.base_checkpoint = 0.0, warm_up, base_checkpoint

    def _make_codes(self) -> None:
        super()._make_codes()
        self.detail_codes = code_table(self.num_identities * self.num_expressions, self.detail_code)

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


def start_from_base(
    source: str,
    field: ImFaceField,
    codes: tuple[nn.Embedding, nn.Embedding],
    landmarks: Tensor,
    *,
    base_learns: bool,
    options: str,
) -> Tensor:
    """Give a field and its codes what a trained ImFace, or the base of an ImFace++, has.

    People are the same where their numbers and the means of their landmarks are. Their codes are
    taken over; those of other people start at the mean of the trained ones.

    Args:
        source: A checkpoint or a release folder, see ``load_system``.
        field: The field, changed.
        codes: Codes of identities and of expressions, changed.
        landmarks: ``(68, 3)`` mean of the neutral scans of the data.
        base_learns: Whether codes of other people would be trained.
        options: What of the config decides on the variant, for messages.

    Returns:
        The template's landmarks ``(68, 3)``.

    Raises:
        CheckpointError: The file is missing, damaged, hostile, no ImFace, or of another variant.
        ConfigError: It is of other people, and theirs would never be trained.
    """
    system = load_system(source)
    own = getattr(system, "field", None)
    if not isinstance(own, ImFaceField):
        raise CheckpointError(
            "details need a base that is ImFace",
            where=source,
            expected="ImFace | ImFacePlusPlus",
            found=type(system).__name__,
        )
    check_same_parts(field.state_dict(), own.state_dict(), options)
    field.load_state_dict(own.state_dict())
    tables = (system.identity_codes.weight, system.expression_codes.weight)
    numbers = [len(table) for table in tables], [code.num_embeddings for code in codes]
    apart = float((system.template_landmarks - landmarks.cpu()).norm(dim=1).max())
    same = numbers[0] == numbers[1] and apart <= SAME
    if not same and not base_learns:
        raise ConfigError(
            "the base is of other people than the data, and its codes would never be trained",
            where="system.base_checkpoint",
            expected=f"{_shown(numbers[1])}, as the data has",
            found=f"{_shown(numbers[0])}; mean landmarks {100 * apart:.3g} mm away",
            remedy="Take the base's data, or stages in which the base learns: "
            "system.stages=[0.2,0.5].",
        )
    with torch.no_grad():
        for code, table in zip(codes, tables, strict=True):
            if same:
                code.weight.copy_(table)
            else:
                code.weight.add_(table.mean(0).to(code.weight))
    found: Tensor = system.template_landmarks
    return found


def _shown(numbers: list[int]) -> str:
    return f"{numbers[0]} people x {numbers[1] // max(numbers[0], 1)} expressions"
