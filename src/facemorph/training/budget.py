"""How long a training lasts, counted in batches, images or hours.

Lightning's ``global_step`` counts the steps of every optimizer, so that a system with a generator
and a discriminator would be done in half of ``max_steps``. Here a batch is one batch, whatever is
done with it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from facemorph.errors import ConfigError


def batches_done(trainer: Trainer) -> int:
    """Training batches that have begun, over all epochs and resumed runs."""
    return int(trainer.fit_loop.epoch_loop.batch_progress.total.ready)


def num_images(batch: Any) -> int:
    """Entries of a batch: the first length of its first tensor; 1 where it has none."""
    return next((len(one) if one.ndim else 1 for one in _tensors(batch)), 1)


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (Mapping, list, tuple)):
        for part in batch.values() if isinstance(batch, Mapping) else batch:
            yield from _tensors(part)


class Budget(Callback):
    """Stop a training after so many batches, images or hours, whichever comes first.

    What is counted goes on in a resumed run.

    Args:
        max_batches: Batches, whatever number of optimizers steps in each.
        max_images: Images seen, of all processes.
        max_hours: Hours of training, validation included, pauses between resumed runs left out.

    Raises:
        ConfigError: A limit is not positive.
    """

    def __init__(
        self,
        max_batches: int | None = None,
        max_images: int | None = None,
        max_hours: float | None = None,
    ) -> None:
        for name, limit in (
            ("max_batches", max_batches),
            ("max_images", max_images),
            ("max_hours", max_hours),
        ):
            if limit is not None and not (limit > 0 and math.isfinite(limit)):
                raise ConfigError(
                    "the limit must be positive", where=f"callbacks.budget.{name}", found=limit
                )
        self.max_batches, self.max_images, self.max_hours = max_batches, max_images, max_hours
        self.images, self._seconds_before = 0, 0.0
        self._start: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those of earlier runs that this one resumes included."""
        now = 0.0 if self._start is None else time.monotonic() - self._start
        return self._seconds_before + now

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; a run that is resumed at its limit ends at once."""
        self._start = time.monotonic()
        if self.share_done(trainer) >= 1:
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and stop where a limit is reached."""
        self.images += num_images(batch) * trainer.world_size
        done = self.share_done(trainer) >= 1
        if self.max_hours is not None and trainer.world_size > 1:
            # Clocks differ; the processes leave at the same batch.
            done = bool(trainer.strategy.reduce_boolean_decision(done, all=False))
        if done:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._seconds_before, self._start = self.seconds, None

    def share_done(self, trainer: Trainer) -> float:
        """Share of the budget that is used, by the limit that is nearest; 0 without a limit."""
        used = (
            (batches_done(trainer), self.max_batches),
            (self.images, self.max_images),
            (self.seconds / 3600, self.max_hours),
        )
        return max((spent / limit for spent, limit in used if limit is not None), default=0.0)

    def state_dict(self) -> dict[str, Any]:
        """Images and seconds so far."""
        return {"images": self.images, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.images, self._seconds_before = state_dict["images"], state_dict["seconds"]


def budget_of(trainer: Trainer) -> Budget | None:
    """The budget among a trainer's callbacks."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((one for one in callbacks if isinstance(one, Budget)), None)


def with_batches_for_steps(config: dict[str, Any], automatic_optimization: bool) -> dict[str, Any]:
    """A run's config in which ``trainer.max_steps`` of a system that steps its optimizers itself is
    a budget of as many batches; unchanged for all others.

    Args:
        config: The resolved config as a plain dict.
        automatic_optimization: Whether Lightning steps the one optimizer of the system.
    """
    steps = config["trainer"].get("max_steps", -1)
    if automatic_optimization or steps is None or steps < 0:
        return config
    callbacks = dict(config.get("callbacks") or {})
    budget = dict(callbacks.get("budget") or {"_target_": f"{__name__}.{Budget.__name__}"})
    budget["max_batches"] = min(steps, budget.get("max_batches") or steps)
    epochs = config["trainer"].get("max_epochs")
    trainer = {**config["trainer"], "max_steps": -1, "max_epochs": -1 if epochs is None else epochs}
    return {**config, "trainer": trainer, "callbacks": {**callbacks, "budget": budget}}
