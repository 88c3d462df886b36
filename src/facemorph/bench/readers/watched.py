"""Damaged files read in a process of their own, which may hang, crash or be killed."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from facemorph.bench.readers.reader import READ, REFUSED, Outcome, Reader, Trial, changed_file
from facemorph.errors import DataError
from facemorph.storage.files import write_whole

SECONDS, MEBIBYTES = 10.0, 1024.0  # that a reader may take for one small file
ROOM = 4 * 2**30  # bytes of address space beyond what a process has when it begins
BEGIN = 300.0  # seconds in which a process must be ready


@dataclass(frozen=True)
class Limits:
    """What a reader may take for one file."""

    seconds: float = SECONDS
    mebibytes: float = MEBIBYTES


@dataclass
class Tally:
    """What became of all damaged files of a reader.

    Attributes:
        reader: Its name.
        kinds: How many files were read, refused, or ended with which other exception.
        bad: The inputs that must not be: number, name of the file, and what happened.
        memory: Mebibytes of the worst file.
        seconds: Of all, without the beginnings of processes.
    """

    reader: str
    kinds: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str, str]] = field(default_factory=list)
    memory: float = 0.0
    seconds: float = 0.0

    @property
    def changes(self) -> int:
        """Files tried."""
        return self.kinds.total()

    @property
    def foreign(self) -> int:
        """Files that ended with an exception that is none of ours."""
        own = (READ, REFUSED, *LOST)
        return sum(count for kind, count in self.kinds.items() if kind not in own)


HANG, CRASH, MEMORY = "hang", "crash", "memory"
LOST = (HANG, CRASH, MEMORY)


def try_reader(
    reader: Reader,
    changes: int,
    seed: int = 0,
    *,
    keep: Path | None = None,
    limits: Limits | None = None,
) -> Tally:
    """Read damaged files, one after the other.

    Args:
        reader: Who reads them.
        changes: How many files.
        seed: What the damages follow from, with the reader's name and the number of the file.
        keep: Folder in which files are put that did harm.
        limits: What a reader may take for one file.

    Raises:
        DataError: The reader does not read its own files as they are.
    """
    limits = limits or Limits()
    tally, first, again = Tally(reader.name), 0, -1
    while first < changes:
        with _Process(reader, seed, range(first, changes)) as process:
            for index, outcome in process.outcomes(limits):
                if outcome.kind == HANG and again != index:  # the machine may have been busy
                    again = index
                    break
                first = index + 1
                _count(tally, index, outcome, limits)
                if tally.bad and tally.bad[-1][0] == index and keep is not None:
                    _keep(keep, reader, seed, index)
            tally.seconds += process.seconds
    return tally


def _count(tally: Tally, index: int, outcome: Outcome, limits: Limits) -> None:
    too_much = outcome.memory > limits.mebibytes or outcome.asked
    kind = MEMORY if too_much else outcome.kind
    tally.kinds[kind] += 1
    tally.memory = max(tally.memory, outcome.memory)
    if kind not in (READ, REFUSED):
        text = f"{outcome.kind}: {outcome.text}" if kind != outcome.kind else outcome.text
        tally.bad.append((index, outcome.file, f"{kind}: {text} ({outcome.memory:.0f} MiB)"))


def _keep(folder: Path, reader: Reader, seed: int, index: int) -> None:
    name, content = changed_file(reader, reader.seeds(), seed, index)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{reader.name} {index} {Path(name).name}".replace(" ", "_"), content)


class _Process:
    """A process that reads damaged files and tells of each."""

    def __init__(self, reader: Reader, seed: int, indices: range) -> None:
        self.reader, self.seed, self.indices = reader, seed, indices
        self.seconds = 0.0

    def __enter__(self) -> _Process:
        context = multiprocessing.get_context("spawn")  # forked ones would inherit torch's threads
        self.told, teller = context.Pipe(duplex=False)
        # Of a process that is killed nobody else would take the files away.
        self.scratch = tempfile.TemporaryDirectory(prefix="facemorph-readers-")
        given = (teller, self.scratch.name, self.reader, self.seed, self.indices)
        self.process: Any = context.Process(target=_read_all, args=given, daemon=True)
        self.process.start()
        teller.close()  # so that the end of the process is seen
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join()
        self.told.close()
        self.scratch.cleanup()

    def outcomes(self, limits: Limits) -> Iterator[tuple[int, Outcome]]:
        """Number and outcome of each file, up to the first that takes the process with it."""
        seeds = self.reader.seeds()
        ready = self._message(BEGIN)
        if not isinstance(ready, dict) or any(one.kind != READ for one in ready.values()):
            raise DataError(
                "this reader does not read its own files",
                where=self.reader.name,
                found="; ".join(
                    f"{name}: {one.kind} {one.text}"
                    for name, one in ready.items()
                    if one.kind != READ
                )
                if isinstance(ready, dict)
                else ready,
            )
        start = time.perf_counter()
        for index in self.indices:
            outcome = self._message(limits.seconds)
            self.seconds = time.perf_counter() - start
            if isinstance(outcome, Outcome):
                yield index, outcome
                continue
            yield index, Outcome(list(seeds)[index % len(seeds)], *_lost(outcome))
            return

    def _message(self, seconds: float) -> Any:
        """The next message; None where there is none in time, else how the process ended."""
        if not self.told.poll(seconds):
            return None
        try:
            return self.told.recv()
        except EOFError:
            self.process.join()
            return f"the process ended with {self.process.exitcode}"


def _lost(ended: str | None) -> tuple[str, str]:
    return (HANG, "no answer in time") if ended is None else (CRASH, ended)


def _read_all(teller: Connection, scratch: str, reader: Reader, seed: int, indices: range) -> None:
    """What the process does; all that it writes goes into ``scratch``."""
    tempfile.tempdir = scratch
    _be_quiet()
    trial = Trial(reader)
    teller.send(trial.unchanged())
    outcomes = trial.unchanged()  # all that is imported late is there
    trial.base = _resident()
    _limit_memory()
    del outcomes
    with trial.folder() as folder:
        for index in indices:
            name, content = changed_file(reader, trial.seeds, seed, index)
            teller.send(trial.outcome(folder, name, content))


def _resident() -> float:
    """Mebibytes in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    room = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _be_quiet() -> None:
    """Readers and their libraries warn of thousands of damaged files."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
