"""Long work beside the page: one thing after the other, with progress, and stopped when asked."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from facemorph.errors import FacemorphError

State = Literal["waiting", "running", "done", "failed", "cancelled"]
KEPT = 50  # pieces of work that are over and still listed

logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """The user has stopped a piece of work."""


@dataclass
class Work:
    """A piece of long work.

    Attributes:
        id: Its number.
        label: What it is, for people.
        state: How far it is.
        share: Of it that is done, 0 to 1.
        text: What it does now, or why it failed.
        result: Names of what it made.
    """

    id: int
    label: str
    state: State = "waiting"
    share: float = 0.0
    text: str = ""
    result: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def describe(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {
            "id": self.id,
            "label": self.label,
            "state": self.state,
            "share": self.share,
            "text": self.text,
            "result": self.result,
        }

    @property
    def is_over(self) -> bool:
        """Whether it will not change any more."""
        return self.state in ("done", "failed", "cancelled")


class Workshop:
    """Does one piece of work after the other in a thread of its own.

    Args:
        name: Of its thread.
        tell: Called after every change, from that thread.
    """

    def __init__(self, name: str, tell: Callable[[Work], None]) -> None:
        self._tell, self._numbers = tell, itertools.count(1)
        self._thread = ThreadPoolExecutor(1, name, initializer=prepare_thread)
        self.works: dict[int, Work] = {}

    def begin(self, label: str, act: Callable[[Work], list[str] | None]) -> Work:
        """Put a piece of work at the end of the queue.

        Args:
            label: What it is, for people.
            act: Does it, calls `report` now and then, and returns the names of what it made.
        """
        work = Work(next(self._numbers), label)
        self.works[work.id] = work
        for old in [one for one in self.works.values() if one.is_over][:-KEPT]:
            del self.works[old.id]
        self._tell(work)
        self._thread.submit(self._do, work, act)
        return work

    def report(self, work: Work, share: float, text: str = "") -> None:
        """Say how far a piece of work is; where the user has stopped it, this ends it.

        Raises:
            Cancelled: The user has stopped it.
        """
        if work.stop.is_set():
            raise Cancelled
        if (work.share, work.text) != (share, text):  # the page draws anew what it is told
            work.share, work.text = share, text
            self._tell(work)

    def cancel(self, number: int) -> None:
        """Stop a piece of work; nothing happens where it is over or unknown."""
        work = self.works.get(number)
        if work is None or work.is_over:
            return
        work.stop.set()
        if work.state == "waiting":
            work.state = "cancelled"
            self._tell(work)

    def close(self) -> None:
        """Stop everything."""
        for number in list(self.works):
            self.cancel(number)
        self._thread.shutdown(cancel_futures=True)

    def _do(self, work: Work, act: Callable[[Work], list[str] | None]) -> None:
        if work.is_over:
            return
        work.state = "running"
        self._tell(work)
        try:
            work.result = act(work) or []
            work.state, work.share, work.text = "done", 1.0, ""
        except Cancelled:
            work.state, work.text = "cancelled", ""
        except Exception as error:
            if not isinstance(error, FacemorphError):
                logger.exception("The studio could not do: %s", work.label)
            work.state, work.text = "failed", str(error)[:800]
        self._tell(work)


def prepare_thread() -> None:
    """One torch thread: with two, LU of some sizes can hang (ops.threads), and the browser needs a
    core.
    """
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


@contextmanager
def warnings_here() -> Iterator[list[str]]:
    """Texts of what facemorph warns of in this thread inside the block, for the page."""
    handler = _Notes()
    logger_of_all = logging.getLogger("facemorph")
    logger_of_all.addHandler(handler)
    try:
        yield handler.texts
    finally:
        logger_of_all.removeHandler(handler)


class _Notes(logging.Handler):
    """Keeps the warnings of one thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record, unless another thread made it."""
        if record.thread == self._thread:
            self.texts.append(record.getMessage()[:500])
