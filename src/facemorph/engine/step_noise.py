"""Random numbers that follow from (seed, step, name) and belong to the rows of the whole batch.

However a batch is divided among processes and micro-batches, each of its rows gets the same
numbers, and a resumed run draws what it would have drawn.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from facemorph.ops.seeds import mix_seed


class StepNoise:
    """Random numbers of some rows of one step's batch.

    Args:
        seed: Of the run.
        step: Number of the batch.
        rows: ``(B,)`` which rows of the whole batch these are.
        total: Rows of the whole batch, over all processes.
        device: Where the numbers go; they are drawn on the CPU.
    """

    def __init__(
        self, seed: int, step: int, rows: Tensor, total: int, device: torch.device | str = "cpu"
    ) -> None:
        self.seed, self.step, self.rows, self.total = seed, step, rows, total
        self.device = torch.device(device)

    def generator(self, name: str) -> torch.Generator:
        """The generator of one purpose; the same for all processes."""
        key = mix_seed(mix_seed(self.seed, self.step), zlib.crc32(name.encode()))
        return torch.Generator().manual_seed(key)

    def normal(self, name: str, *shape: int) -> Tensor:
        """Standard normal numbers ``(B, *shape)``."""
        drawn = torch.randn(self.total, *shape, generator=self.generator(name))
        return drawn[self.rows].to(self.device)

    def uniform(self, name: str, *shape: int) -> Tensor:
        """Numbers ``(B, *shape)`` evenly in [0, 1)."""
        drawn = torch.rand(self.total, *shape, generator=self.generator(name))
        return drawn[self.rows].to(self.device)

    def part(self, index: int, parts: int) -> StepNoise:
        """The numbers of rows index, index + parts, ... of these."""
        return StepNoise(self.seed, self.step, self.rows[index::parts], self.total, self.device)
