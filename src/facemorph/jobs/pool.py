"""Work divided among processes that ends in order: after a stop signal, a killed process or an
error.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

from facemorph import console
from facemorph.errors import ConfigError, FacemorphError, Interrupted

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Forked from this process, they would inherit torch's threads in an undefined state. A server that
# has none imports once what all of them need; where forking is no use, each starts on its own.
CONTEXT: BaseContext = multiprocessing.get_context(
    "forkserver" if sys.platform == "linux" else "spawn"
)
T = TypeVar("T")
R = TypeVar("R")


def count_workers(wanted: int | None) -> int:
    """Processes: as many as wanted, or one for each core.

    Raises:
        ConfigError: Fewer than one is wanted.
    """
    if wanted is not None and wanted < 1:
        raise ConfigError(
            "the work needs a process", where="workers", expected="1 or more", found=wanted
        )
    return wanted or (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


class StopSignals:
    """Context in which Ctrl-C and SIGTERM (Slurm) are only noted in ``number``; a second Ctrl-C
    interrupts at once.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        """Begin to note."""
        # elsewhere Python allows no handlers
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        """Put the handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        if self.number is not None:
            self.at_once = True
            raise KeyboardInterrupt
        self.number = number
        console.err.print("stopping after what is begun; once more stops at once")

    def raise_if_any(self, output: Path) -> None:
        """Raise Interrupted where a signal came; what is finished in ``output`` stays."""
        if self.number is not None:
            raise Interrupted(
                f"interrupted by {signal.Signals(self.number).name}; what is finished stays",
                where=output,
                remedy="The same command continues there.",
                exit_code=128 + self.number,
            )


def results_from_pool(
    tasks: Sequence[T],
    work: Callable[[T], R],
    workers: int,
    stop: StopSignals,
    output: Path,
    initializer: Callable[..., None],
    arguments: tuple[Any, ...],
    modules: Sequence[str],
) -> Iterator[R]:
    """Results of ``work`` on each task in the order in which they are finished, from several
    processes.

    Args:
        tasks: What there is to do.
        work: A function of a module, called in a process.
        workers: Processes.
        stop: After a signal, only what is begun is finished.
        output: Folder in which a killed process may leave part files.
        initializer: Called first in each process, with the arguments.
        arguments: Of the initializer; queues are of ``CONTEXT``.
        modules: What the processes need, imported once for all of them where that is possible.

    Raises:
        FacemorphError: A process was killed from outside.
    """
    CONTEXT.set_forkserver_preload(list(modules))
    pool = ProcessPoolExecutor(workers, CONTEXT, _own_process, (initializer, arguments))
    try:
        # Processes inherit the mask: a signal to the whole group is for this process alone to
        # decide on.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        pending: set[Future[R]] = {pool.submit(work, task) for task in tasks}
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        while pending:
            finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
            if stop.number is not None:
                pending = {future for future in pending if not future.cancel()}
    except BrokenProcessPool as error:
        raise FacemorphError(
            "a process was killed, perhaps for want of memory",
            where="workers",
            found=workers,
            remedy="The same command with fewer --workers continues.",
        ) from error
    finally:
        if stop.at_once:
            _kill(pool, output)
        pool.shutdown(wait=True, cancel_futures=True)


def _own_process(initializer: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    # A server that ran before this pool has not inherited its mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    initializer(*arguments)


def _kill(pool: ProcessPoolExecutor, output: Path) -> None:
    """End the processes of a pool in the middle of their work, which holds SIGTERM off."""
    # Python 3.11's pool trips over what was
    shown, threading.excepthook = threading.excepthook, lambda _: None
    try:  # cancelled when its processes end
        for process in list((pool._processes or {}).values()):
            process.kill()
            process.join()
            for part in output.rglob(f"*.{process.pid}.part"):
                part.unlink(missing_ok=True)
        pool.shutdown(wait=True, cancel_futures=True)
    finally:
        threading.excepthook = shown


def end_with_parent() -> None:
    """A process whose parent was killed would otherwise wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def parse_shard(text: str) -> tuple[int, int]:
    """``K/N`` to both numbers.

    Raises:
        ConfigError: It is not that, or K is not below N.
    """
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and int(first) < int(second)):
        raise ConfigError(
            "not a part of the work",
            where="shard",
            found=text,
            expected="K/N with K from 0 to N-1, such as 0/8",
        )
    return int(first), int(second)
