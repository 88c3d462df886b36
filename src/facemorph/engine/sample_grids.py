"""What a generator makes while it trains: a sheet every so many images, of the averaged weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from facemorph import console
from facemorph.errors import ConfigError, OutputError
from facemorph.faces.files.image_output import save_image
from facemorph.training.budget import num_images
from facemorph.training.ema import EMA


class SampleGrids(Callback):
    """Write and log the system's ``sample_grid()``, always of the same people and conditions.

    Args:
        folder: Where the sheets go: ``samples_IMAGES.png``.
        every_images: Images of the training set from one sheet to the next.

    Raises:
        ConfigError: ``every_images`` is below 1, or (at the start) the system has no such sheet.
    """

    def __init__(self, folder: str | Path, every_images: int = 10_000) -> None:
        if every_images < 1:
            raise ConfigError(
                "unusable interval",
                where="callbacks.samples.every_images",
                expected="1 or more",
                found=every_images,
            )
        self.folder, self.every_images = Path(folder), every_images
        self.images = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """See that the system can."""
        if not hasattr(pl_module, "sample_grid"):
            raise ConfigError(
                "this system has no sheet of samples",
                where="callbacks.samples",
                expected="a system with sample_grid()",
                found=type(pl_module).__name__,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Make the sheet that is due."""
        before = self.images // self.every_images
        self.images += num_images(batch) * trainer.world_size
        if self.images // self.every_images == before or not trainer.is_global_zero:
            return
        averages = next((one for one in _callbacks(trainer) if isinstance(one, EMA)), None)
        training = pl_module.training
        pl_module.eval()
        try:
            with torch.no_grad(), averaged(averages, pl_module):
                sheet: Tensor = pl_module.sample_grid()  # type: ignore[operator]
        finally:
            pl_module.train(training)
        path = self.folder / f"samples_{self.images:09d}.png"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_image(sheet, path, synthetic=True)
        except (OSError, OutputError) as error:  # no reason to end a long training
            console.err.print(f"[yellow]no sheet of samples:[/yellow] {error}")
        for logger in trainer.loggers:
            _show(logger, sheet, self.images)

    def state_dict(self) -> dict[str, Any]:
        """Images so far."""
        return {"images": self.images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.images = state_dict["images"]


class averaged:  # noqa: N801
    """Context in which a system has its averaged weights; without averages it stays as it is.

    Args:
        ema: Keeps the averages.
        system: The system.
    """

    def __init__(self, ema: EMA | None, system: LightningModule) -> None:
        self.averages = {} if ema is None else ema.averages
        self.system = system

    def __enter__(self) -> None:
        state = self.system.state_dict(keep_vars=True)
        self.live = {name: state[name].detach().clone() for name in self.averages}
        self._put(self.averages)

    def __exit__(self, *_: object) -> None:
        self._put(self.live)

    def _put(self, values: dict[str, Tensor]) -> None:
        state = self.system.state_dict(keep_vars=True)
        with torch.no_grad():
            for name, value in values.items():
                state[name].detach().copy_(value)


def _callbacks(trainer: Trainer) -> list[Callback]:
    return list(trainer.callbacks)  # type: ignore[attr-defined]


def _show(logger: Any, sheet: Tensor, images: int) -> None:
    """Give a sheet to a logger that shows pictures."""
    if hasattr(logger, "log_image"):  # W&B
        logger.log_image("samples", [sheet.cpu()], step=None)
    elif hasattr(getattr(logger, "experiment", None), "add_image"):  # TensorBoard
        logger.experiment.add_image("samples", sheet.cpu(), images)
