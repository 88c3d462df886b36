"""GDPW's idea for one core: see `SmallGenerator` for the network, `small_losses` for the losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from facemorph.engine.optimizers import falling
from facemorph.engine.system_data import data_of
from facemorph.errors import CheckpointError, ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.portraits.head_flow import FACE, MOUTH, HeadFlow
from facemorph.losses.perceptual import PerceptualDistance
from facemorph.metrics.feature_networks import Network, feature_network
from facemorph.storage.checkpoint import check_same_parts, load_system
from facemorph.systems.gdpw.paired_faces import Pair, PairBatch, PairedFaces
from facemorph.systems.gdpw.small_generator import SmallGenerator, SmallOutput, warp_clamped
from facemorph.systems.gdpw.small_losses import SmallGDPWLoss
from facemorph.training.budget import budget_of

SHOWN = 8
LAYERS = ("stage1", "stage2", "stage3")  # of EfficientNet-Lite0: edges and textures


class SmallGDPW(LightningModule):
    """Trains a small generator that moves a photograph.

    Args:
        generator: See `SmallGenerator`.
        loss: Its loss; the usual weights where None.
        learning_rate: Of Adam; falls to 0 in the last part of the budget.
        perceptual: Network of the perceptual terms; None leaves them out.
        start: Checkpoint of such a system, to begin with its generator.
        model: Morphable model of the pairs.

    Raises:
        CheckpointError: (At the start of a training) ``start`` is another system, or has other
            widths.
        ConfigError: (At the start of a training) the data are no pairs, or of another
            model or size.
        MissingExtra: (Likewise) the weights of the perceptual network are not installed.
    """

    training_only = ("start",)  # left out of releases

    def __init__(
        self,
        generator: SmallGenerator,
        loss: nn.Module | None = None,
        learning_rate: float = 7e-4,
        perceptual: Network | None = "efficientnet_lite",
        start: str | None = None,
        model: str = "makehuman",
    ) -> None:
        super().__init__()
        generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.generator, self.learning_rate, self.model_name = generator, learning_rate, model
        self.loss = SmallGDPWLoss() if loss is None else loss
        self.perceptual, self.start = perceptual, start
        self._frozen: list[PerceptualDistance | None] = [None]

    def forward(self, batch: PairBatch) -> SmallOutput:
        """The sources moved to the targets."""
        head = HeadFlow(batch["flow"], batch["visible"], batch["maps"], batch["teeth"])
        output: SmallOutput = self.generator(batch["source"], batch["source_maps"], head)
        return output

    def setup(self, stage: str) -> None:
        """Take the weights to begin with, and the perceptual network, which is no part of the
        checkpoint.
        """
        if stage != "fit":
            return
        data = self._data()
        for where, own, wanted in (
            ("system.model", self.model_name, data.model),
            ("system.generator.resolution", self.generator.resolution, data.size),
        ):
            if own != wanted:
                raise ConfigError(
                    "system and data do not fit together", where=where, expected=wanted, found=own
                )
        if self.start is not None:
            self._begin_with(load_system(self.start), self.start)
        if self.perceptual is not None:
            layers = LAYERS if self.perceptual == "efficientnet_lite" else None
            distance = PerceptualDistance(feature_network(self.perceptual, layers=layers), "unit")
            # In a list: a frozen network is no part of the system's weights.
            self._frozen = [distance.to(self.trainer.strategy.root_device)]

    def _begin_with(self, other: nn.Module, where: str) -> None:
        if not isinstance(other, SmallGDPW):
            raise CheckpointError(
                "this is no generator to begin with",
                where=where,
                expected=type(self).__name__,
                found=type(other).__name__,
            )
        own, found = self.generator.state_dict(), other.generator.state_dict()
        check_same_parts(own, found, "system.generator")
        self.generator.load_state_dict(found)

    def _data(self) -> PairedFaces:
        return data_of(self, PairedFaces, "pairs of faces", "data=paired_faces")

    def configure_optimizers(self) -> Optimizer:
        """Adam."""
        return torch.optim.Adam(self.generator.parameters(), self.learning_rate, betas=(0.9, 0.99))

    def training_step(self, batch: PairBatch, batch_idx: int) -> Tensor:
        """The loss."""
        budget = budget_of(self.trainer)
        done = 0.0 if budget is None else budget.share_done(self.trainer)
        optimizer: Any = self.optimizers(use_pl_optimizer=False)
        for group in optimizer.param_groups:
            group["lr"] = self.learning_rate * falling(done)
        terms: dict[str, Tensor] = self.loss(self(batch), batch, *self._frozen)
        for name, value in terms.items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "total")
        return terms["total"]

    def validation_step(self, batch: PairBatch, batch_idx: int) -> None:
        """Differences from the targets on the face and in the mouth, in steps of 1/255."""
        output = self(batch).picture.clamp(0, 1)
        difference = 255 * (output - batch["target"]).abs().mean(1, keepdim=True)
        for name, mask in (
            ("face", batch["maps"][:, FACE:]),
            ("mouth", batch["maps"][:, MOUTH : MOUTH + 1]),
        ):
            # Every batch counts by its pixels; one without a mouth hardly at all.
            count = max(1, int(mask.sum()))
            mean = (difference * mask).sum() / count
            self.log(f"val/{name}", mean, prog_bar=True, batch_size=count, sync_dist=True)

    def sample_grid(self) -> Tensor:
        """A sheet ``(3, H, W)``: source, warped by the head's flow, result and target of held-out
        pairs, of some that are trained on where there are none.
        """
        data = self._data()
        return self._sheet(data, data.held_out(SHOWN) or data.pairs["training"][:SHOWN])

    @torch.no_grad()
    def _sheet(self, data: PairedFaces, pairs: list[Pair]) -> Tensor:
        batch = data.batch_of(pairs)
        batch = {name: one.to(self.device) for name, one in batch.items()}  # type: ignore
        plain = warp_clamped(batch["source"], batch["flow"])
        rows = (batch["source"], plain, self(batch).picture.clamp(0, 1), batch["target"])
        return torch.cat([torch.cat(list(one), 2) for one in rows], 1).float().cpu()

    def infer(self, output: Path, *, pairs: str, count: int = SHOWN) -> list[Path]:
        """Write a sheet of held-out pairs of a set: source, warped, result and target.

        Args:
            output: Folder.
            pairs: Set of ``facemorph data pairs``.
            count: How many pairs.

        Raises:
            DataError: The set has no such pair.
        """
        data = PairedFaces(pairs, self.generator.resolution, model=self.model_name)
        data.setup()
        held = data.some_held_out(count)
        output.mkdir(parents=True, exist_ok=True)
        return [save_image(self._sheet(data, held), output / "pairs.png", synthetic=True)]
