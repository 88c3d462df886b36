"""Progress of a training: a bar with the time left on a terminal, a plain line now and then
elsewhere.
"""

from __future__ import annotations

import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import Progress as RichProgress
from rich.progress import TaskID, TextColumn

from facemorph import console
from facemorph.training.budget import batches_done, budget_of


class Progress(ProgressBar):
    """Show batches done, time left and the metrics that the system logs with ``prog_bar=True``.

    Looks at the clock in every batch and does anything else only a few times a second, because a
    step of a small field takes about a millisecond.

    Args:
        refresh_seconds: Between two updates of the bar on a terminal.
        plain_seconds: Between two lines elsewhere.
    """

    def __init__(self, refresh_seconds: float = 0.25, plain_seconds: float = 15.0) -> None:
        super().__init__()
        self.refresh_seconds, self.plain_seconds = refresh_seconds, plain_seconds
        self._bar: RichProgress | None = None
        self._task = TaskID(0)
        self._enabled = True
        self._start = self._last = 0.0
        self._first_batch = 0

    def disable(self) -> None:
        """Lightning calls this on all processes but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show progress."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock and the bar."""
        self._start = self._last = time.monotonic()
        self._first_batch = batches_done(trainer)
        if self._enabled and console.err.is_terminal:
            self._bar = RichProgress(
                *console.progress_columns(),
                TextColumn("{task.fields[metrics]}"),
                console=console.err,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                "training", total=self._total(trainer), completed=self._first_batch, metrics=""
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update, if it is time to."""
        now = time.monotonic()
        if not self._enabled or now - self._last < (
            self.refresh_seconds if self._bar else self.plain_seconds
        ):
            return
        self._last = now
        done, total = batches_done(trainer), self._total(trainer)
        metrics = self._metrics(trainer, pl_module)
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, metrics=metrics)
            return
        spent = now - self._start
        fresh = done - self._first_batch
        left = f", about {spent / fresh * (total - done):.0f} s left" if total and fresh else ""
        console.err.print(
            f"training: {done}/{total or '?'} batches after {spent:.0f} s{left} {metrics}"
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the bar and say how long it took."""
        self._close()
        if self._enabled:
            spent = time.monotonic() - self._start
            console.err.print(
                f"training: {batches_done(trainer)} batches, {spent:.1f} s "
                f"{self._metrics(trainer, pl_module)}"
            )

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Remove the bar before the error is printed."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _total(self, trainer: Trainer) -> int | None:
        limits = []
        if trainer.max_epochs is not None and trainer.max_epochs >= 0:
            limits.append(trainer.max_epochs * trainer.num_training_batches)
        if trainer.max_steps >= 0:
            limits.append(trainer.max_steps * trainer.accumulate_grad_batches)
        budget = budget_of(trainer)
        if budget is not None and (share := budget.share_done(trainer)) > 0:
            limits.append(max(1, round(batches_done(trainer) / share)))
        finite = [limit for limit in limits if limit != float("inf")]
        return int(min(finite)) if finite else None

    def _metrics(self, trainer: Trainer, pl_module: LightningModule) -> str:
        metrics = self.get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return " ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in metrics.items()
        )
