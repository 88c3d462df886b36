"""What a system gives during its training: a video or picture at regular epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from facemorph.errors import ConfigError
from facemorph.training.budget import batches_done


class Reconstructions(Callback):
    """Call the system's ``infer`` after every few epochs.

    The authors' scripts do the same every ``reconstruction_steps`` steps.

    Args:
        folder: Where the files go: ``reconstruction_STEP`` with the suffix.
        every_epochs: Epochs from one to the next.
        suffix: ``.mp4``, ``.gif``, ``.png``, or empty for a folder of pictures.
        options: Options of the system's ``infer``, such as ``frames`` or ``times``.

    Raises:
        ConfigError: ``every_epochs`` is below 1.
    """

    def __init__(
        self,
        folder: str | Path,
        every_epochs: int = 1,
        suffix: str = ".mp4",
        options: dict[str, Any] | None = None,
    ) -> None:
        if every_epochs < 1:
            raise ConfigError(
                "unusable interval",
                where="callbacks.reconstructions.every_epochs",
                expected="1 or more",
                found=every_epochs,
            )
        self.folder, self.every_epochs, self.suffix, self.options = (
            Path(folder),
            every_epochs,
            suffix,
            options or {},
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the next one."""
        if not trainer.is_global_zero or (trainer.current_epoch + 1) % self.every_epochs:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        training = pl_module.training
        pl_module.eval()
        try:
            with torch.no_grad():
                pl_module.infer(  # type: ignore[operator] # the contract of facemorph.train
                    self.folder / f"reconstruction_{batches_done(trainer):06d}{self.suffix}",
                    **self.options,
                )
        finally:
            pl_module.train(training)
