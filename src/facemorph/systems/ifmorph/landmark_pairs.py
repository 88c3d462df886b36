"""Many pairs of faces, and the samples of space and time that their warps share while they train as
one stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from facemorph.data.resumable import SeededStepDataModule
from facemorph.errors import DataError
from facemorph.faces.pair import FacePair
from facemorph.systems.ifmorph.landmark_pair import LandmarkPair


class LandmarkPairs(SeededStepDataModule):
    """Pairs that are prepared already.

    Batches are those of ``LandmarkPair`` for one of the pairs: with the same seed, each pair sees
    what it would see in a training of its own.

    Args:
        pairs: At least one.
        steps_per_epoch: See ``LandmarkPair``.
        seed: Seed of all batches.
        options: Other options of ``LandmarkPair``.

    Raises:
        DataError: There is no pair.
        ConfigError: An option is none of the possible ones.
    """

    def __init__(
        self, pairs: Sequence[FacePair], steps_per_epoch: int = 100, seed: int = 0, **options: Any
    ) -> None:
        super().__init__(steps_per_epoch, seed)
        if not pairs:
            raise DataError("a stack needs a pair of faces", where="pairs", expected="at least one")
        self.pairs = [
            LandmarkPair.of(pair, steps_per_epoch=steps_per_epoch, seed=seed, **options)
            for pair in pairs
        ]

    def make_batch(self, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        """Samples of one step, see ``LandmarkPair``."""
        return self.pairs[0].make_batch(generator, step)
