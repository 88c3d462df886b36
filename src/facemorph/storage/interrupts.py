"""Ctrl-C that waits while something is written which a stop in the middle would spoil."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


class HeldInterrupts:
    """Context in which Ctrl-C is only noted, so that what is begun is written to its end.

    It interrupts while the next of ``items`` is made, which is where the time goes, and at the end
    of the context. Threads other than the main one get no Ctrl-C and hold nothing.

    Attributes:
        count: How many items were given out.
        interrupt: The Ctrl-C that ended them early, for the caller to raise again.
    """

    def __init__(self) -> None:
        self.count = 0
        self.interrupt: KeyboardInterrupt | None = None
        self._noted = self._held = False
        self._before: Any = None

    def __enter__(self) -> HeldInterrupts:
        """Begin to hold."""
        self._hold()
        return self

    def __exit__(self, *_: object) -> None:
        """Put the handler back that was there before, and let through what was noted."""
        self._release()

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C came, while an item was made or since."""
        return self.interrupt is not None or self._noted

    def items(self, source: Iterable[Item]) -> Iterator[Item]:
        """The items of ``source``, until there are no more or Ctrl-C comes while one is made."""
        rest, nothing = iter(source), object()
        while True:
            try:
                try:
                    self._release()
                    item: Any = next(rest, nothing)
                finally:
                    self._hold()
            except KeyboardInterrupt as error:
                self._hold()  # again, should Ctrl-C have come just before it held
                self.interrupt = error
                if isinstance(rest, Generator):
                    rest.close()  # it may show a bar, below which the caller prints
                return
            if item is nothing:
                return
            self.count += 1
            yield item

    def _hold(self) -> None:
        # elsewhere Python allows no handlers; one that is None is not Python's to put back
        main = threading.current_thread() is threading.main_thread()
        if main and not self._held and signal.getsignal(signal.SIGINT) is not None:
            self._before, self._held = signal.signal(signal.SIGINT, self._note), True

    def _release(self) -> None:
        if self._held:
            self._held = False
            signal.signal(signal.SIGINT, self._before)
        if self._noted:
            self._noted = False
            signal.raise_signal(signal.SIGINT)

    def _note(self, *_: object) -> None:
        self._noted = True
