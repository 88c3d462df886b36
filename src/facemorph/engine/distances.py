"""How far a generator's pictures are from held-out ones, every so many images of its training."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from facemorph.engine.sample_grids import averaged
from facemorph.errors import ConfigError, DataError
from facemorph.metrics.feature_networks import Pooled, pooled_features
from facemorph.metrics.frechet import feature_distances
from facemorph.training.budget import num_images
from facemorph.training.ema import EMA

LEAST = 20  # pictures of a distance


class FeatureDistances(Callback):
    """Log ``val/frechet`` and ``val/kernel`` of the averaged weights, always of the same people.

    The features of the real pictures are computed once in a run. ``callbacks.checkpoints.monitor``
    can be one of the two.

    Args:
        every_images: Images of the training set from one measurement to the next.
        count: Pictures on either side, at most.
        features: ``efficientnet_lite`` (extra ``[features]``) or the embedded ``descriptor``. Never
            those of a loss of the same training.

    Raises:
        ConfigError: A number is out of range, or (at the start) the system cannot be measured so.
        DataError: There are too few held-out pictures.
        MissingExtra: The weights of the features are not installed.
    """

    def __init__(
        self, every_images: int = 50_000, count: int = 500, features: Pooled = "descriptor"
    ) -> None:
        for name, value, least in (("every_images", every_images, 1), ("count", count, LEAST)):
            if value < least:
                raise ConfigError(
                    "out of range",
                    where=f"callbacks.distances.{name}",
                    expected=f"{least} or more",
                    found=value,
                )
        self.every_images, self.count, self.features = every_images, count, features
        self.images = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Describe the real pictures."""
        if not hasattr(pl_module, "random_pictures"):
            raise ConfigError(
                "the pictures of this system cannot be measured",
                where="callbacks.distances",
                expected="a system with random_pictures()",
                found=type(pl_module).__name__,
            )
        self.describe = pooled_features(self.features)
        real: Tensor = pl_module.held_out_pictures(self.count)  # type: ignore[operator]
        if len(real) < LEAST:
            raise DataError(
                "too few held-out pictures for a distance",
                where="callbacks.distances",
                expected=f"{LEAST} or more",
                found=len(real),
                remedy="Prepare the set with a larger --validation.",
            )
        self.real = self.describe(real)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure what is due; all processes know the result, the first one measures."""
        before = self.images // self.every_images
        self.images += num_images(batch) * trainer.world_size
        if self.images // self.every_images == before:
            return
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        ema = next((one for one in callbacks if isinstance(one, EMA)), None)
        found: dict[str, float] = {}
        if trainer.is_global_zero:
            training = pl_module.training
            pl_module.eval()
            try:
                with torch.no_grad(), averaged(ema, pl_module):
                    system: Any = pl_module
                    made: Tensor = system.random_pictures(len(self.real))
            finally:
                pl_module.train(training)
            found = feature_distances(self.real, self.describe(made), "val/frechet", "val/kernel")
        found = trainer.strategy.broadcast(found)
        pl_module.log_dict(found, prog_bar=True)

    def state_dict(self) -> dict[str, Any]:
        """Images so far."""
        return {"images": self.images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.images = state_dict["images"]
