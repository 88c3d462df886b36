"""Times of the stages of a job."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


class Stopwatch:
    """Seconds spent in named stages."""

    def __init__(self, seconds: dict[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = {} if seconds is None else seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the block to ``name``."""
        start = clock.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + clock.perf_counter() - start

    def timed(self, frames: Iterator[Tensor]) -> Iterator[Tensor]:
        """The same frames; their rendering counts as ``render``."""
        while True:
            with self.stage("render"):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame
