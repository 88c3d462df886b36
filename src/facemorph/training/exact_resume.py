"""Resume so exactly that the final weights are the same bit for bit.

Lightning restores weights, optimizers and counters, but no random state. Together with the order of
the data (`facemorph.data.resumable`) this callback closes the gap: it stores the state of every
random generator of every process, and puts it back just before the first batch. Validation gets its
own stream of numbers, so that it makes no difference whether it runs: a validation that a signal
cut short is not repeated.

A system keeps this exact by doing its work in ``training_step``: its own ``on_train_batch_end``
comes after the checkpoint.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from facemorph import console


def random_state() -> dict[str, Any]:
    """States of the random generators of this process, as tensors and plain values only."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [
            name,
            torch.from_numpy(np.asarray(keys).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "python": [version, list(internal), gauss_next],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(state["torch"].cpu())
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


class ExactResume(Callback):
    """Keep the random states of all processes in the checkpoint and restore them at the first
    batch.
    """

    def __init__(self) -> None:
        self._pending: list[dict[str, Any]] | None = None
        self._before_validation: dict[str, Any] | None = None
        self._after_batch: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Random states, one for each process; every process calls this when a checkpoint is
        written.
        """
        # In a validation the training's state is the one from before it.
        mine = self._before_validation or random_state()
        states: list[Any] = [mine]
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            states = [None] * dist.get_world_size()
            dist.all_gather_object(states, mine)
        return {"random": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states until the first batch: building loaders and loggers still draws
        numbers.
        """
        self._pending = state_dict["random"]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore, once."""
        if self._pending is None:
            return
        states, self._pending = self._pending, None
        if len(states) == trainer.world_size:
            set_random_state(states[trainer.global_rank])
        elif trainer.is_global_zero:
            console.err.print(
                f"resuming with {trainer.world_size} processes what was trained with "
                f"{len(states)}: "
                "random numbers will differ from those of an uninterrupted run"
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Remember torch's state: the validation's loaders draw from it before
        `on_validation_start`.
        """
        self._after_batch = torch.get_rng_state()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Set the training's random state aside."""
        self._before_validation = random_state()
        if self._after_batch is not None:
            self._before_validation["torch"] = self._after_batch

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the training's random state up again."""
        if self._before_validation is not None:
            set_random_state(self._before_validation)
            self._before_validation = None
