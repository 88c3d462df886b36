"""When to write checkpoints: regularly, at the end, and when somebody or something wants the
process to stop.

A signal only sets a mark; the checkpoint is written at the next boundary between two batches,
because in the middle of one (one of two optimizers has stepped, gradients half accumulated) there
is no state to continue from exactly. In a distributed run the processes agree on it, so that all of
them write and leave at the same batch.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
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
from facemorph.config.compose import suggestion
from facemorph.errors import CheckpointError, ConfigError, Interrupted
from facemorph.storage.files import write_atomic

STOP_SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    *((signal.SIGUSR1,) if hasattr(signal, "SIGUSR1") else ()),
)
SAVE = 1  # a request below every signal's number
LAST, BEST, INTERRUPTED = "last.ckpt", "best.ckpt", "interrupted.ckpt"


class RunCheckpoints(Checkpoint):
    """Write ``last.ckpt`` regularly and ``interrupted.ckpt`` on Ctrl-C, SIGTERM and SIGUSR1
    (Slurm).

    A full disk does not end the training: the old checkpoint stays, a warning is printed, and the
    next interval tries again. Only when the last checkpoint of a run cannot be written is that an
    error.

    With a ``monitor``, ``best.ckpt`` is the state at the end of the epoch with its best value; a
    resumed run goes on from the best value so far, and takes the file over.

    Args:
        folder: Where to write.
        every_batches: Batches between two checkpoints; batches, not optimizer steps. None: only the
            other rules.
        every_minutes: Minutes between two checkpoints. None: only the other rules.
        every_epochs: Epochs between two checkpoints.
        monitor: Logged metric that chooses ``best.ckpt``; None writes none.
        mode: ``min`` or ``max``: which values of the metric are good.
        after_epochs: Epochs that are too early to be the best.

    Raises:
        ConfigError: An interval is not positive, or ``mode`` is neither of the two.
    """

    def __init__(
        self,
        folder: str | Path,
        every_batches: int | None = None,
        every_minutes: float | None = 10.0,
        every_epochs: int = 1,
        monitor: str | None = None,
        mode: str = "min",
        after_epochs: int = 0,
    ) -> None:
        if mode not in ("min", "max"):
            raise ConfigError(
                "unknown mode", where="checkpoints.mode", expected="min | max", found=mode
            )
        for name, value in (
            ("every_batches", every_batches),
            ("every_minutes", every_minutes),
            ("every_epochs", every_epochs),
        ):
            if value is not None and value <= 0:
                raise ConfigError(
                    "the interval must be positive", where=f"checkpoints.{name}", found=value
                )
        self.folder = Path(folder)
        self.every_batches, self.every_minutes, self.every_epochs = (
            every_batches,
            every_minutes,
            every_epochs,
        )
        self.monitor, self.mode, self.after_epochs = monitor, mode, after_epochs
        self.batches = 0
        self.best: float | None = None
        self._resumed, self._postponed, self._ended = False, 0, False
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
        self._take_best_over(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write what is due."""
        self.batches += 1
        request = self._received
        if not request and self._is_due():
            request = SAVE
        if trainer.world_size > 1:
            request = _largest(request, trainer)
        if request == SAVE:
            self._save(trainer)
        elif request and self.monitor is not None and trainer.is_last_batch:
            # what the epoch's end measures is not measured again after a resume
            self._postponed = request
        elif request:
            self._stop(trainer, request)
        elif _ends_inside_an_epoch(trainer):
            # Lightning then closes the epoch as if it were whole, and could not go on inside of it.
            self._ended = self._save(trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop in a long validation too; processes of a distributed run stop at their
        next batch.
        """
        if self._received and trainer.world_size == 1 and not trainer.sanity_checking:
            self._stop(trainer, self._received)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write after whole epochs; the validation of this epoch is done."""
        if self.monitor is not None:
            self._save_if_best(trainer, self.monitor)  # first, so that last.ckpt knows of it
        if self._postponed:
            self._stop(trainer, self._postponed)
        if (trainer.current_epoch + 1) % self.every_epochs == 0 and not self._ended:
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
        """Batches so far, and the best value of the metric."""
        return {"batches": self.batches, "monitor": self.monitor, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue counting; the best value goes on only for the same metric."""
        self.batches, self._resumed = state_dict["batches"], True
        if state_dict.get("monitor") == self.monitor:
            self.best = state_dict.get("best")

    def _is_due(self) -> bool:
        if self.every_batches is not None and self.batches % self.every_batches == 0:
            return True
        return (
            self.every_minutes is not None
            and time.monotonic() - self._saved_time > 60 * self.every_minutes
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

    def _save_if_best(self, trainer: Trainer, monitor: str) -> None:
        done = trainer.current_epoch + 1
        if done % (trainer.check_val_every_n_epoch or 1):
            return  # a metric of the validation may not be there yet
        metrics = trainer.callback_metrics
        first, self._resumed = self._resumed, False
        if monitor not in metrics:
            if first:
                return  # the rest of an epoch: what it measures may lie before the interruption
            raise ConfigError(
                "no such metric was logged",
                where="callbacks.checkpoints.monitor",
                expected=", ".join(sorted(metrics)) or "a system that logs metrics",
                found=monitor,
                remedy=suggestion(monitor, metrics),
            )
        # one decision for all processes
        value = float(trainer.strategy.broadcast(float(metrics[monitor])))
        old = self.best
        better = old is None or (value < old if self.mode == "min" else value > old)
        if done > self.after_epochs and math.isfinite(value) and better:
            self.best = value
            if not self._save(trainer, BEST):
                self.best = old

    def _take_best_over(self, trainer: Trainer) -> None:
        """Copy the best checkpoint of the run that is resumed: it lies beside the file it is
        resumed from.
        """
        if self.best is None or (self.folder / BEST).exists() or trainer.ckpt_path is None:
            return
        old = Path(trainer.ckpt_path).with_name(BEST)
        found = trainer.strategy.broadcast(old.is_file())
        if not found:
            console.err.print(
                f"[yellow]no {BEST} beside[/yellow] {trainer.ckpt_path}; the next is the best"
            )
            self.best = None
        elif trainer.is_global_zero:
            with old.open("rb") as source:
                write_atomic(self.folder / BEST, lambda file: shutil.copyfileobj(source, file))

    def _save(self, trainer: Trainer, name: str = LAST, *, must: bool = False) -> bool:
        saved = False
        try:
            trainer.save_checkpoint(self.folder / name)
            saved = True
            if name != BEST:
                self._saved_at = self.batches
        except CheckpointError as error:
            # the other processes wait in save_checkpoint
            trainer.strategy.barrier("checkpoint failed")
            if must:
                raise
            console.err.print(
                f"[yellow]no checkpoint:[/yellow] {error} Training goes on; next try later."
            )
        self._saved_time = time.monotonic()
        return saved

    def _stop(self, trainer: Trainer, number: int) -> None:
        self._save(trainer, INTERRUPTED, must=True)
        name = signal.Signals(number).name
        command = resume_command(self.folder / INTERRUPTED)
        raise Interrupted(
            f"interrupted by {name} after {self.batches} batches; the state is saved",
            where=self.folder / INTERRUPTED,
            remedy=f"Continue exactly there with: {command}",
            exit_code=128 + (signal.SIGTERM if number != signal.SIGINT else number),
        )


def _ends_inside_an_epoch(trainer: Trainer) -> bool:
    """Whether this batch is the run's last, by a budget or ``max_steps``, but not the epoch's."""
    steps = trainer.max_steps
    ends = trainer.should_stop or (steps >= 0 and trainer.global_step >= steps)
    return ends and not trainer.is_last_batch


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
