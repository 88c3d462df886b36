"""One resumable job for many inputs: what is left to do, processes, the time left, a row for each.

An input is done once. What is known of it is its row, appended to ``records.*.jsonl`` as soon as it
is there, so that the same call goes on after Ctrl-C, SIGTERM or SIGKILL; a bad input is a failed
row and does not stop the others. The report is made anew of all rows at the end of each call.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from facemorph import console
from facemorph.errors import FacemorphError, Interrupted, OutputError
from facemorph.jobs.pool import CONTEXT, StopSignals, end_with_parent, results_from_pool
from facemorph.jobs.records import (
    DONE,
    FAILED,
    Records,
    Row,
    Settings,
    is_finished,
    keep_settings,
    only_reporter,
)

Task = TypeVar("Task")
Worker = TypeVar("Worker")
OneRow = TypeVar("OneRow", bound=Row)
Result = TypeVar("Result")
Chunk = list[tuple[str, Task]]


@dataclass(frozen=True)
class Batch(Generic[Task, Worker, OneRow, Result]):
    """Many inputs and what is done with each.

    Attributes:
        output: Folder of the results; it must exist.
        noun: What the inputs are called beside the progress bar, such as ``pairs``.
        tasks: The inputs of this shard by their names, in the order in which they are done.
        start: Called with the number of the process, makes what works there: models, detectors. In
            several processes it and ``work`` are functions that can be pickled.
        work: Does one input and gives its row, with its ``files`` relative to ``output``. An error
            becomes a failed row; ``OutputError`` stops the job, as no other input will fare better.
        finish: Called at the end, however it came, with the rows of all inputs that are known, of
            all shards; writes the report.
        settings: Must not change between calls, and are kept in ``settings.json``; None where
            ``same`` says what a row follows from.
        given: What a row says of its input, whatever became of it.
        same: Keys of ``given``; an input whose row has another value there is done again.
        here: What works in this process where there is only one, if it is made already.
        together: Called with the inputs that a process takes at a time before ``work`` with each.
        joined: Names of inputs that are one piece of work: if one is missing all are done.
        chunk: Inputs that a process takes at a time.
        workers: Processes.
        shard: Number of this part of the work, and of all parts.
        again: Do what is done already again.
        raise_error: Raise an error of an input that facemorph raises on purpose; for a lone one.
        report_if_stopped: Call ``finish`` after an interruption too.
        quiet: Note warnings in the rows instead of showing them.
    """

    output: Path
    noun: str
    tasks: Mapping[str, Task]
    start: Callable[[int], Worker]
    work: Callable[[Worker, Task], OneRow]
    finish: Callable[[dict[str, OneRow]], Result]
    settings: Settings | None = None
    given: Callable[[Task], OneRow] | None = None
    same: tuple[str, ...] = ()
    here: Worker | None = None
    together: Callable[[Worker, Sequence[Task]], object] | None = None
    joined: Collection[str] = ()
    chunk: int = 1
    workers: int = 1
    shard: tuple[int, int] = (0, 1)
    again: bool = False
    raise_error: bool = False
    report_if_stopped: bool = True
    quiet: bool = False


def run(batch: Batch[Task, Worker, OneRow, Result]) -> Result:
    """Do what is not done yet, and report.

    Returns:
        What ``batch.finish`` returns.

    Raises:
        DataError: The folder was begun with other settings.
        OutputError: Another process works in the folder, or it cannot be written.
        Interrupted: A signal came; what is finished stays.
    """
    if batch.settings is not None:
        keep_settings(batch.output, batch.settings)
    records, stop, completed = Records(batch.output, *batch.shard), StopSignals(), False
    with records.only_writer():
        given = {name: _given(batch, task) for name, task in batch.tasks.items()}
        chunks = _chunks(batch, _known(batch, records, given))
        rows = _rows(batch, chunks, stop)
        try:
            with stop:
                for row in console.track(rows, batch.noun, total=sum(map(len, chunks))):
                    records.append(cast(OneRow, {**given[row["name"]], **row}))
            completed = stop.number is None
        finally:
            if completed or batch.report_if_stopped:
                with nullcontext() if batch.settings is None else only_reporter(batch.output):
                    result = batch.finish(_known(batch, records, given))
    stop.raise_if_any(batch.output)
    return result


def stamp_of(*files: Path | None) -> str:
    """Sizes and times of files, which change when their content does."""
    found = [file.stat() if file is not None and os.path.isfile(file) else None for file in files]
    return ", ".join("-" if one is None else f"{one.st_size} {one.st_mtime_ns}" for one in found)


def key_of(settings: Settings) -> str:
    """A short name of some settings: 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


# ------------------------------------------------------------
# what is left to do
def _given(batch: Batch[Task, Any, OneRow, Any], task: Task) -> Row:
    return {} if batch.given is None else batch.given(task)


def _known(
    batch: Batch[Any, Any, OneRow, Any], records: Records, given: Mapping[str, Row]
) -> dict[str, OneRow]:
    """Rows that still hold: of the very same input, and with their files where it is done."""

    def holds(name: str, row: Mapping[str, object]) -> bool:
        now: Mapping[str, object] = given.get(name, {})
        # Rows of older versions lack some of the keys.
        same = all(row.get(key, now[key]) == now[key] for key in batch.same if key in now)
        return same and (row["status"] == FAILED or is_finished(cast(Row, row), batch.output))

    return {name: cast(OneRow, row) for name, row in records.all().items() if holds(name, row)}


def _chunks(batch: Batch[Task, Any, OneRow, Any], known: Mapping[str, OneRow]) -> list[Chunk[Task]]:
    """The inputs to do, as many together as a process takes at a time."""
    todo = [
        name
        for name in batch.tasks
        if batch.again or name not in known or known[name]["status"] == FAILED
    ]
    joined = [name for name in batch.tasks if name in batch.joined]
    joined = joined if set(joined) & set(todo) else []
    alone = [name for name in todo if name not in batch.joined]
    # In one process a row is written as soon as it is there.
    size = batch.chunk if batch.workers > 1 or batch.together is not None else 1
    parts = [joined, *(alone[start : start + size] for start in range(0, len(alone), size))]
    return [[(name, batch.tasks[name]) for name in part] for part in parts if part]


# ------------------------------------------------------------
# doing it
class _Process(Generic[Task, Worker, OneRow]):
    """What one process does; the worker is made when the first inputs come."""

    def __init__(self, batch: Batch[Task, Worker, OneRow, Any], number: int) -> None:
        self.batch, self.number, self.worker = batch, number, batch.here

    def rows(self, chunk: Chunk[Task]) -> Iterator[OneRow]:
        """The row of each input of a chunk."""
        if self.worker is None:
            self.worker = self.batch.start(self.number)
        worker, begun, shared = self.worker, time.perf_counter(), Row()
        if self.batch.together is not None:
            together, tasks = self.batch.together, [task for _, task in chunk]
            shared = self._attempt("", lambda: cast(OneRow, together(worker, tasks) or {}))
        seconds = (time.perf_counter() - begun) / len(chunk)
        warnings: list[str] = shared.get("warnings", [])
        for name, task in chunk:
            if shared.get("status") == FAILED:
                row = cast(OneRow, {**shared, "name": name, "warnings": [], "seconds": 0.0})
            else:
                row = self._attempt(name, partial(self.batch.work, worker, task))
            row["seconds"] = round(row["seconds"] + seconds, 4)
            if warnings:  # of all together, said once
                row["warnings"] = [*warnings, *cast(list[str], row.get("warnings", []))]
                warnings = []
            yield row

    def _attempt(self, name: str, act: Callable[[], OneRow]) -> OneRow:
        """What ``act`` gives as a row, or why it failed."""
        begun, row = time.perf_counter(), Row(name=name, status=DONE)
        quiet: AbstractContextManager[list[str]] = (
            noted_warnings() if self.batch.quiet else nullcontext([])
        )
        with quiet as warnings:
            try:
                row |= act()
            except (OutputError, Interrupted):
                raise
            except FacemorphError as error:
                if self.batch.raise_error:
                    raise
                row |= Row(status=FAILED, error=type(error).__name__, reason=str(error))
            except Exception as error:  # a bug must not cost the others; the report shows it
                reason, trace = f"a bug of facemorph: {error}", traceback.format_exc()
                row |= Row(
                    status=FAILED, error=type(error).__name__, reason=reason, traceback=trace
                )
        if warnings:
            row["warnings"] = warnings
        row["seconds"] = time.perf_counter() - begun
        return cast(OneRow, row)


def _rows(
    batch: Batch[Task, Worker, OneRow, Any], chunks: Sequence[Chunk[Task]], stop: StopSignals
) -> Iterator[OneRow]:
    """Rows in the order in which they are there; after a stop signal, of what is begun."""
    if batch.workers == 1 or len(chunks) < 2:
        process = _Process(batch, 0)
        for chunk in chunks:
            yield from process.rows(chunk)
            if stop.number is not None:
                break
        return
    workers = min(batch.workers, len(chunks))
    numbers = CONTEXT.Queue()
    for number in range(workers):
        numbers.put(number)
    # What stays here need not be of a kind that can be sent to a process.
    sent = replace(batch, tasks={}, finish=len, given=None, here=None, settings=None)
    for rows in results_from_pool(
        chunks,
        _rows_of,
        workers,
        stop,
        batch.output,
        _begin,
        (sent, numbers),
        [batch.work.__module__],
    ):
        yield from cast(list[OneRow], rows)


# In each process of a pool, set by its initializer.
_process: list[_Process[Any, Any, Any]] = []


def _begin(batch: Batch[Any, Any, Any, Any], numbers: Any) -> None:
    """Initializer of a process of a pool: one torch thread, and a number of its own."""
    os.environ["OMP_NUM_THREADS"] = "1"  # for a torch that is imported later, if ever
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _process.append(_Process(batch, numbers.get()))


def _rows_of(chunk: Chunk[Any]) -> list[Row]:
    """The rows of some inputs, made in a process of a pool."""
    return list(_process[0].rows(chunk))


class _Notes(logging.Handler):
    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text."""
        self.texts.append(record.getMessage())


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Texts of what facemorph warns of inside the block, for the report instead of the terminal."""
    texts: list[str] = []
    handler, logger = _Notes(texts), logging.getLogger("facemorph")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
