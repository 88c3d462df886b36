"""A warp between two faces and the morph that it gives: ifmorph, and its closed-form relatives.

Source: Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024), and its successor
FLOWING (NeurIPS 2025).

| paper | here |
|---|---|
| T: R^2 x R -> R^2 | ``warp``, of ``facemorph.fields.warps``: a network or a closed form |
| flows of FLOWING | ``warp``: neural_ode, conjugate_flow |
| L = l1 W + l2 D + l3 T (section 3.2) | ``loss``: ``losses``; FLOWING's: ``flowing_losses`` |
| I_0 o T_-t and I_1 o T_{1-t}, blended with weight t (section 3.3) | ``render`` |

Departures: a closed-form warp is fitted to the landmarks in one step and needs no training loop;
the quality logged after each epoch is measured in pixels (landmarks, folds) instead of the noisy
loss; blending is in frequency bands inside a soft face mask unless ``blend="linear"``; pictures may
be exact splines instead of networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from facemorph.engine.optimizers import adam_with_schedule
from facemorph.errors import CheckpointError, ConfigError
from facemorph.faces.pair import FacePair
from facemorph.fields.image_fields import SirenImage, SplineImage
from facemorph.fields.warps.ifmorph_files import read_ifmorph_network
from facemorph.fields.warps.warp import ClosedFormWarp
from facemorph.ops.frames import Frame
from facemorph.storage.checkpoint import load_system
from facemorph.systems.ifmorph.losses import NeuralMorphingLoss, WarpBatch
from facemorph.systems.ifmorph.morphed_pair import MorphedPair


class NeuralWarp(MorphedPair, LightningModule):
    """Trains or fits a warp between two faces, and renders their morph.

    Its checkpoint holds landmarks and pictures, so it renders without the input files.

    Args:
        warp: The warp: a network, or a closed form with ``fit``.
        loss: Loss of a trained warp, one that fits it; ifmorph's when None.
        source_field: The first picture as a network; the exact spline through its pixels when None.
        target_field: The second picture.
        source_checkpoint: Checkpoint of an ``ImageField``, or ``.pth`` of the authors' project,
            whose network fills ``source_field`` before training. Nothing is read before that.
        target_checkpoint: The same for ``target_field``.
        border_anchors: Fixed points on each side of the frame, trained like landmarks: they keep
            the background in place. None in the paper.
        learning_rate: Step size of Adam.
        schedule: ``constant``, or ``cosine`` down to a hundredth over the whole run.
    """

    def __init__(
        self,
        warp: nn.Module,
        loss: nn.Module | None = None,
        source_field: nn.Module | None = None,
        target_field: nn.Module | None = None,
        source_checkpoint: str | Path | None = None,
        target_checkpoint: str | Path | None = None,
        border_anchors: int = 4,
        learning_rate: float = 2e-3,
        schedule: str = "cosine",
    ) -> None:
        super().__init__(warp, source_field, target_field)
        self.loss = NeuralMorphingLoss() if loss is None else loss
        self.checkpoints = {"source_field": source_checkpoint, "target_field": target_checkpoint}
        self.border_anchors, self.learning_rate, self.schedule = (
            border_anchors,
            learning_rate,
            schedule,
        )
        for name, checkpoint in self.checkpoints.items():
            if checkpoint is not None and isinstance(getattr(self, name), SplineImage):
                raise ConfigError(
                    "a checkpoint needs a network to fill",
                    where=f"system.{name}",
                    found="a spline",
                    remedy=f"Add +field@system.{name}=siren.",
                )

    @property
    def requires_training(self) -> bool:
        """False for a closed-form warp, which ``fit_closed_form`` determines at once."""
        return not isinstance(self.warp, ClosedFormWarp)

    def setup(self, stage: str) -> None:
        """Take over the pair before training."""
        if stage == "fit":
            self.take_pair(self.trainer.datamodule)  # type: ignore[attr-defined]

    def take_pair(self, datamodule: object) -> None:
        """Take over landmarks and pictures of a ``LandmarkPair`` that is set up.

        Raises:
            CheckpointError: A field's checkpoint does not fit the field.
        """
        datamodule.setup("fit")  # type: ignore[attr-defined]
        self.take_landmarks(*datamodule.landmarks())  # type: ignore[attr-defined]
        pair: FacePair = datamodule.pair  # type: ignore[attr-defined]
        images = {"source_field": pair.image_a, "target_field": pair.image_b}
        for name, image in images.items():
            field, checkpoint = getattr(self, name), self.checkpoints[name]
            if isinstance(field, SplineImage):
                setattr(self, name, SplineImage(image))
            elif checkpoint is not None:
                _fill(field, checkpoint, f"system.{name}", Frame.of(image))

    def fit_closed_form(self, datamodule: object) -> dict[str, float]:
        """``solve``, and measure: what a sweep over a closed form's settings looks at.

        Returns:
            ``quality/NAME`` for everything in ``quality()``.

        Raises:
            GeometryError: The landmarks do not determine a warp without folds.
        """
        self.solve(datamodule)
        return {f"quality/{name}": value for name, value in self.quality().items()}

    def solve(self, datamodule: object) -> None:
        """Determine a closed-form warp by the landmarks of a ``LandmarkPair`` that is set up.

        Raises:
            GeometryError: The landmarks do not determine a warp without folds.
        """
        self.take_pair(datamodule)
        if isinstance(self.warp, ClosedFormWarp):
            source, target, frame = datamodule.landmarks()  # type: ignore[attr-defined]
            self.warp.fit(source, target, frame)

    def training_step(self, batch: WarpBatch, batch_idx: int) -> Tensor:
        """The weighted sum of the loss's terms."""
        terms = self.loss(self.warp, batch["still"], batch["moving"], *self.points_to_meet())
        self.log_dict({f"train/{name}": value for name, value in terms.items()})
        total: Tensor = terms["total"]
        return total

    def points_to_meet(self) -> tuple[Tensor, Tensor]:
        """Landmarks and border anchors of the source and of the target: two ``(P, 2)``, in field
        coordinates.
        """
        anchors = self.frame.border_anchors(self.border_anchors).to(self.source)[
            : 4 * self.border_anchors
        ]
        return torch.cat([self.source, anchors]), torch.cat([self.target, anchors])

    def on_train_epoch_end(self) -> None:
        """Measure landmarks and folds in pixels."""
        self._refined.clear()
        for name, value in self.quality(coarse=True).items():
            self.log(f"quality/{name}", value, prog_bar=name == "alignment_px", sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam on the warp."""
        return adam_with_schedule(
            self.warp.parameters(),
            self.learning_rate,
            self.schedule,
            int(self.trainer.estimated_stepping_batches),
        )


def _fill(field: nn.Module, checkpoint: str | Path, key: str, frame: Frame) -> None:
    """Load a trained network into ``field``: one of ours, or a ``.pth`` of the authors, for this
    frame.
    """
    try:
        if Path(checkpoint).suffix == ".pth" and isinstance(field, SirenImage):
            network: Any = read_ifmorph_network(
                checkpoint, omega_0=field.omegas[0], omega_hidden=field.omegas[-1], frame=frame
            )
        else:
            network = load_system(checkpoint).field
        field.load_state_dict(network.state_dict())
    except (RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f"this checkpoint holds no network for {key}",
            where=checkpoint,
            found=str(error).splitlines()[0],
            remedy="Give a checkpoint of an image field with the same network.",
        ) from error
