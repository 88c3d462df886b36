"""When to write checkpoints: regularly, at the end, and when somebody or something wants the process to stop.

A signal only sets a mark; the checkpoint is written at the next boundary between two batches, because in the
middle of one (one of two optimizers has stepped, gradients half accumulated) there is no state to continue
from exactly. In a distributed run the processes agree on it, so that all of them write and leave at the same
batch.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from facemorph import console
from facemorph.errors import CheckpointError, ConfigError, FacemorphError

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, *((signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()))
SAVE = 1  # a request below every signal's number


class Interrupted(FacemorphError):  # noqa: N818
    """Training was stopped by a signal after its state had been written."""

    def __init__(self, what: str, *, exit_code: int = 130, **details: Any) -> None:
        super().__init__(what, **details)
        self.exit_code = exit_code


class RunCheckpoints(Checkpoint):
    """Write ``last.ckpt`` regularly and ``interrupted.ckpt`` on Ctrl-C, SIGTERM and SIGUSR1 (Slurm).

    A full disk does not end the training: the old checkpoint stays, a warning is printed, and the next
    interval tries again. Only when the last checkpoint of a run cannot be written is that an error.

    Args:
        folder: Where to write.
        every_batches: Batches between two checkpoints; batches, not optimizer steps. None: only the other
            rules.
        every_minutes: Minutes between two checkpoints. None: only the other rules.
        every_epochs: Epochs between two checkpoints.

    Raises:
        ConfigError: An interval is not positive.
    """

    def __init__(
        self,
        folder: str | Path,
        every_batches: int | None = None,
        every_minutes: float | None = 10.0,
        every_epochs: int = 1,
    ) -> None:
        for name, value in (("every_batches", every_batches), ("every_minutes", every_minutes),
                            ("every_epochs", every_epochs)):
            if value is not None and value <= 0:
                raise ConfigError("the interval must be positive", where=f"checkpoints.{name}", found=value)
        self.folder = Path(folder)
        self.every_batches, self.every_minutes, self.every_epochs = every_batches, every_minutes, every_epochs
        self.batches = 0
        self._saved_at, self._saved_time = -1, 0.0
        self._received = 0
        self._previous: dict[int, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen for signals from now on."""
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen again (Lightning has set its own handlers meanwhile) and start the clock."""
        self._listen()
        self._saved_time = time.monotonic()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
                           batch_idx: int) -> None:
        """Write what is due."""
        self.batches += 1
        request = self._received
        if not request and self._is_due():
            request = SAVE
        if trainer.world_size > 1:
            request = _largest(request, trainer)
        if request == SAVE:
            self._save(trainer)
        elif request:
            self._stop(trainer, request)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any,
                                batch_idx: int, dataloader_idx: int = 0) -> None:
        """Stop in a long validation too; processes of a distributed run stop at their next batch."""
        if self._received and trainer.world_size == 1 and not trainer.sanity_checking:
            self._stop(trainer, self._received)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write after whole epochs; the validation of this epoch is done."""
        if (trainer.current_epoch + 1) % self.every_epochs == 0:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the end of the run, unless that is what was written last."""
        if self._saved_at != self.batches:
            self._save(trainer, must=True)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stop listening."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def state_dict(self) -> dict[str, Any]:
        """Batches so far."""
        return {"batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue counting."""
        self.batches = state_dict["batches"]

    def _is_due(self) -> bool:
        if self.every_batches is not None and self.batches % self.every_batches == 0:
            return True
        return (
            self.every_minutes is not None and time.monotonic() - self._saved_time > 60 * self.every_minutes
        )

    def _listen(self) -> None:
        for number in STOP_SIGNALS:
            found = signal.getsignal(number)
            if found != self._on_signal:
                self._previous.setdefault(number, found)
                signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._received:  # the second time: at once
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self._received = number

    def _save(self, trainer: Trainer, name: str = "last.ckpt", *, must: bool = False) -> None:
        try:
            trainer.save_checkpoint(self.folder / name)
            self._saved_at = self.batches
        except CheckpointError as error:
            trainer.strategy.barrier("checkpoint failed")  # the other processes wait in save_checkpoint
            if must:
                raise
            console.err.print(f"[yellow]no checkpoint:[/yellow] {error} Training goes on; next try later.")
        self._saved_time = time.monotonic()

    def _stop(self, trainer: Trainer, number: int) -> None:
        self._save(trainer, "interrupted.ckpt", must=True)
        name = signal.Signals(number).name
        command = resume_command(self.folder / "interrupted.ckpt")
        raise Interrupted(
            f"interrupted by {name} after {self.batches} batches; the state is saved",
            where=self.folder / "interrupted.ckpt",
            remedy=f"Continue exactly there with: {command}",
            exit_code=128 + (signal.SIGTERM if number != signal.SIGINT else number),
        )


def _largest(request: int, trainer: Trainer) -> int:
    if not (dist.is_available() and dist.is_initialized()):
        return request
    value = torch.tensor(request, device=trainer.strategy.root_device)
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return int(value)


def resume_command(checkpoint: Path) -> str:
    """The command that was typed, with ``resume=`` put to a checkpoint."""
    program = Path(sys.argv[0]).name
    words = [word for word in sys.argv[1:] if not word.startswith("resume=")]
    start = ["python", sys.argv[0]] if program.endswith(".py") else [program]
    return shlex.join([*start, *words, f"resume={checkpoint}"])
