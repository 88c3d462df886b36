"""Keep NaN and infinity out of the weights, and say where they came from when they do not stop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from facemorph import console
from facemorph.errors import CheckpointError, FacemorphError
from facemorph.storage.checkpoint import save_atomic
from facemorph.training.budget import batches_done

ID_KEYS = ("id", "ids", "index", "indices", "name", "names", "path", "paths")


class TrainingDiverged(FacemorphError):
    """Gradients stayed NaN or infinite for too many steps in a row."""


class NaNGuard(Callback):
    """Leave out optimizer steps with a gradient that is not finite, and stop after too many in a
    row of one optimizer: a generator that is NaN for ever is not excused by a healthy
    discriminator.

    It looks at the gradients just before each step, after distributed averaging, so that all
    processes decide alike and manual optimisation is covered too. A step is left out by dropping
    the gradients, so no weight, momentum or decay moves.

    Args:
        patience: Steps of one optimizer in a row to leave out before the training is stopped.
        folder: Where to put the last batch (``nan_batch.pt``) when that happens; None does not
            write it.
    """

    def __init__(self, patience: int = 10, folder: str | Path | None = None) -> None:
        self.patience, self.folder = patience, Path(folder) if folder is not None else None
        self.skipped = 0
        self.in_a_row: dict[int, int] = {}  # of each optimizer, by its place in the system's list
        self._batch: Any = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember the batch; it is needed only when things go wrong."""
        self._batch = batch

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Check this step's gradients."""
        parameters = [
            p for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        if not parameters:
            return
        # A sum of norms is NaN or infinite as soon as one entry is; one number to look at.
        norms = torch.stack(torch._foreach_norm([p.grad for p in parameters]))
        which = _place(trainer, optimizer)
        if torch.isfinite(norms.sum()):
            self.in_a_row[which] = 0
            return
        # Entries may be finite while the sum of their squares is not: too large, and Adam would
        # square them too.
        bad = {id(p) for p, norm in zip(parameters, norms, strict=True) if not torch.isfinite(norm)}
        names = [name for name, p in pl_module.named_parameters() if id(p) in bad]
        for parameter in parameters:
            parameter.grad = None
        self.skipped += 1
        row = self.in_a_row[which] = self.in_a_row.get(which, 0) + 1
        if row == 1 and trainer.is_global_zero:
            console.err.print(
                f"[yellow]batch {batches_done(trainer)}: step left out,[/yellow] gradients of "
                f"{_listed(names)} are not finite ({self.skipped} steps left out so far)"
            )
        if row >= self.patience:
            self._give_up(trainer, names, row)

    def _give_up(self, trainer: Trainer, names: list[str], row: int) -> None:
        where = self._dump(trainer, names)
        ids = _batch_ids(self._batch)
        raise TrainingDiverged(
            f"gradients were not finite for {row} steps in a row, at batch {batches_done(trainer)}",
            where=where,
            found=_listed(names) + (f"; batch {ids}" if ids else ""),
            remedy="Lower the learning rate, limit the gradients (trainer.gradient_clip_val), or "
            "look at the batch written there.",
        )

    def _dump(self, trainer: Trainer, names: list[str]) -> Path | None:
        if self.folder is None:
            return None
        path = self.folder / f"nan_batch_rank{trainer.global_rank}.pt"
        try:
            save_atomic(
                {
                    "batch_number": batches_done(trainer),
                    "names": names,
                    "batch": _plain(self._batch),
                },
                path,
            )
        except CheckpointError as error:
            console.err.print(f"the batch could not be kept: {error}")
            return None
        return path

    def state_dict(self) -> dict[str, Any]:
        """Counts."""
        return {"skipped": self.skipped, "in_a_row": dict(self.in_a_row)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue counting; a checkpoint of 0.1 has one count for all optimizers."""
        self.skipped, found = state_dict["skipped"], state_dict["in_a_row"]
        self.in_a_row = dict(found) if isinstance(found, dict) else {0: found}


def _place(trainer: Trainer, optimizer: Optimizer) -> int:
    """Place of an optimizer in the system's list."""
    return next(
        (place for place, one in enumerate(trainer.optimizers) if one is optimizer),
        -1,
    )


def _listed(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _batch_ids(batch: Any) -> str:
    for key in ID_KEYS if isinstance(batch, dict) else ():
        if key in batch:
            return (
                f"{key} = {batch[key].tolist() if isinstance(batch[key], Tensor) else batch[key]}"[
                    :300
                ]
            )
    return ""


def _plain(value: Any) -> Any:
    """Tensors and plain containers of a batch; anything else as text, to load without pickle."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
