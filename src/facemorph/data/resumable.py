"""Data whose order depends only on (seed, epoch, step), so that a resumed run sees what it would
have seen.

Two kinds of data module build on this file:

- `ResumableDataModule`: a finite data set, shuffled anew in every epoch;
- `SeededStepDataModule`: every batch is drawn at random, batch k from a generator seeded with
  (seed, k).

``batch_size`` always means the batch of one step over all processes: rank r of w takes the items r,
r + w, ... of it, so the number of processes does not change what is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from facemorph.errors import ConfigError
from facemorph.ops.seeds import mix_seed


class ResumableSampler(Sampler[list[int]]):
    """Batches of indices in an order of (seed, epoch) only; the first epoch may start in its
    middle.

    Args:
        num_items: Items of the data set.
        batch_size: Items per step over all ranks; the last, smaller batch is left out.
        seed: Seed of the order.
        shuffle: Whether to permute the items in every epoch.
        rank: This process.
        num_ranks: Number of processes; divides the batch size.
        epoch: Epoch to begin with.
        start: Batches of that epoch to skip.

    Raises:
        ConfigError: The batch does not divide by the ranks, or is larger than the data set.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        num_ranks: int = 1,
        epoch: int = 0,
        start: int = 0,
    ) -> None:
        if batch_size % num_ranks:
            raise ConfigError(
                "the batch does not divide by the number of processes",
                where="data.batch_size",
                expected=f"a multiple of {num_ranks}",
                found=batch_size,
            )
        if not 0 < batch_size <= num_items:
            raise ConfigError(
                "the batch is larger than the data set or empty",
                where="data.batch_size",
                expected=f"1 to {num_items}",
                found=batch_size,
            )
        self.num_items, self.batch_size, self.seed, self.shuffle = (
            num_items,
            batch_size,
            seed,
            shuffle,
        )
        self.rank, self.num_ranks, self.epoch, self.start = rank, num_ranks, epoch, start

    def __len__(self) -> int:
        # Of the whole epoch, also where it starts in its middle: Lightning counts the batches done
        # itself.
        return self.num_items // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        # The order is fixed here, not lazily: Lightning may set the next epoch while an iterator is
        # alive.
        order = list(range(self.num_items))
        if self.shuffle:
            generator = torch.Generator().manual_seed(mix_seed(self.seed, self.epoch))
            order = torch.randperm(self.num_items, generator=generator).tolist()
        first, size = self.start, self.batch_size
        return iter(
            [
                order[k * size + self.rank : (k + 1) * size : self.num_ranks]
                for k in range(first, len(self))
            ]
        )

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch, from its first batch; Lightning calls it at the start of every
        epoch.
        """
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0


class StepSampler(Sampler[int]):
    """Numbers of the steps: ``epoch * num_steps + i``, without end of the numbering between epochs.

    Args:
        num_steps: Steps of one epoch.
        epoch: Epoch to begin with.
        start: Steps of that epoch to skip.
    """

    def __init__(self, num_steps: int, *, epoch: int = 0, start: int = 0) -> None:
        self.num_steps, self.epoch, self.start = num_steps, epoch, start

    def __len__(self) -> int:
        return self.num_steps

    def __iter__(self) -> Iterator[int]:
        base = self.epoch * self.num_steps
        return iter(range(base + self.start, base + self.num_steps))

    def set_epoch(self, epoch: int) -> None:
        """Go to another epoch, from its first step."""
        if epoch != self.epoch:
            self.epoch, self.start = epoch, 0


class StepDataset(Dataset[Any]):
    """Batch k is made by a function from a generator seeded with (seed, k), and from nothing else.

    Args:
        make_batch: ``(generator, step) -> batch`` of all ranks: a tensor, or tensors in dicts,
            tuples and lists, batch first.
        seed: Seed of all batches.
        rank: This process.
        num_ranks: Number of processes; each takes its part of the batch.
    """

    def __init__(
        self,
        make_batch: Callable[[torch.Generator, int], Any],
        seed: int = 0,
        *,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        self.make_batch, self.seed, self.rank, self.num_ranks = make_batch, seed, rank, num_ranks
        self._generator = torch.Generator()

    def __getitem__(self, step: int) -> Any:
        batch = self.make_batch(self._generator.manual_seed(mix_seed(self.seed, step)), step)
        return batch if self.num_ranks == 1 else part_of_rank(batch, self.rank, self.num_ranks)


def part_of_rank(batch: Any, rank: int, num_ranks: int) -> Any:
    """Items rank, rank + num_ranks, ... of every tensor in a batch; what is no tensor is left
    whole.

    Raises:
        ConfigError: A batch that does not divide by the ranks: their mean would not be the batch's
            mean.
    """
    if isinstance(batch, Tensor):
        if batch.ndim == 0:
            return batch
        if len(batch) % num_ranks:
            raise ConfigError(
                "the batch does not divide by the number of processes",
                where="data.batch_size",
                expected=f"a multiple of {num_ranks}",
                found=len(batch),
            )
        return batch[rank::num_ranks]
    if isinstance(batch, dict):
        return {name: part_of_rank(value, rank, num_ranks) for name, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        parts = [part_of_rank(value, rank, num_ranks) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    return batch


class _ResumableBase(LightningDataModule):
    """Remembers in the checkpoint which batch comes next."""

    def __init__(self) -> None:
        super().__init__()
        self._resume_epoch, self._resume_batch = 0, 0

    def state_dict(self) -> dict[str, int]:
        """Epoch and number of its batches that are done; stored by Lightning in every
        checkpoint.
        """
        if self.trainer is None:
            return {"epoch": self._resume_epoch, "batches": self._resume_batch}
        loop: Any = self.trainer.fit_loop
        progress = loop.epoch_loop.batch_progress
        # `processed` is the number of whole epochs; until the end of the running one it is its
        # index.
        epoch, batches = loop.epoch_progress.current.processed, progress.current.ready
        if batches >= self.trainer.num_training_batches:
            whole = loop.epoch_progress.current.processed == loop.epoch_progress.current.started
            epoch, batches = epoch if whole else epoch + 1, 0
        return {"epoch": epoch, "batches": batches}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Take up where a checkpoint ended; Lightning calls it before it asks for the loader."""
        self._resume_epoch, self._resume_batch = state_dict["epoch"], state_dict["batches"]

    def _ranks(self) -> tuple[int, int]:
        return (
            (self.trainer.global_rank, self.trainer.world_size)
            if self.trainer is not None
            else (0, 1)
        )


class ResumableDataModule(_ResumableBase):
    """Base of data modules with a finite data set.

    A subclass returns `training_loader` from ``train_dataloader``.
    """

    def training_loader(
        self,
        dataset: Dataset[Any],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        num_workers: int = 0,
        **options: Any,
    ) -> DataLoader[Any]:
        """A loader that continues exactly where the checkpoint being resumed ended.

        Args:
            dataset: Map-style data set.
            batch_size: Items per step over all ranks.
            seed: Seed of the order, and of the workers' generators.
            shuffle: Whether to permute the items in every epoch.
            num_workers: Worker processes. Random augmentation should draw from a generator seeded
                with the item and the epoch: a worker's own state is not in the checkpoint.
            **options: Further arguments of `torch.utils.data.DataLoader`.
        """
        rank, num_ranks = self._ranks()
        sampler = ResumableSampler(
            len(dataset),  # type: ignore[arg-type]
            batch_size,
            seed=seed,
            shuffle=shuffle,
            rank=rank,
            num_ranks=num_ranks,
            epoch=self._resume_epoch,
            start=self._resume_batch,
        )
        # Its own generator, because creating an iterator would otherwise draw from the global one.
        return _EpochLoader(
            dataset,
            batch_sampler=sampler,
            num_workers=num_workers,
            generator=torch.Generator().manual_seed(mix_seed(seed, rank)),
            **options,
        )


class _EpochLoader(DataLoader[Any]):
    """A loader that passes Lightning's ``set_epoch`` on to its batch sampler."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Lightning calls set_epoch of `batch_sampler.sampler`.
        if isinstance(self.batch_sampler, ResumableSampler):
            self.batch_sampler.sampler = self.batch_sampler  # type: ignore[attr-defined]


class SeededStepDataModule(_ResumableBase):
    """Base of data modules that draw every batch at random, such as random coordinates of an image.

    A subclass writes `make_batch`. No order, no state but the number of the step.

    Args:
        steps_per_epoch: Steps between two validations; ``trainer.max_epochs`` times this is the
            length of the run.
        seed: Seed of all batches.
        num_workers: Processes that make batches; how many does not change what is made.
    """

    def __init__(self, steps_per_epoch: int = 1000, seed: int = 0, num_workers: int = 0) -> None:
        super().__init__()
        if steps_per_epoch < 1:
            raise ConfigError(
                "an epoch needs a step", where="data.steps_per_epoch", found=steps_per_epoch
            )
        self.steps_per_epoch, self.seed, self.num_workers = steps_per_epoch, seed, num_workers

    def make_batch(self, generator: torch.Generator, step: int) -> Any:
        """Draw the batch of one step for all ranks, batch first, from nothing but the arguments.

        Args:
            generator: CPU generator, already seeded for this step.
            step: Number of the step from the start of the training, over all epochs.
        """
        raise NotImplementedError

    def train_dataloader(self) -> DataLoader[Any]:
        """The loader of an epoch, from the step that comes next."""
        rank, num_ranks = self._ranks()
        dataset = StepDataset(self.make_batch, self.seed, rank=rank, num_ranks=num_ranks)
        return DataLoader(
            dataset,
            batch_size=None,
            num_workers=self.num_workers,
            generator=torch.Generator().manual_seed(self.seed),
            sampler=StepSampler(
                self.steps_per_epoch, epoch=self._resume_epoch, start=self._resume_batch
            ),
        )
