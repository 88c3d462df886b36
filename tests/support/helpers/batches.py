"""A small batch for tests, in a module that processes of a pool can import."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from facemorph.errors import DataError, OutputError
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.records import REPORT, counts_of, header, write_json

LOG = "work.log"  # a line for each input that is worked on


@dataclass
class Copier:
    """Writes ``NAME.txt`` for each name; what else it does is in the name."""

    output: Path
    number: int

    def copy(self, name: str):
        """Fail (``bad``), have a bug, find the disk full, warn, or ``wait`` for the file ``go``."""
        with (self.output / LOG).open("a") as log:
            log.write(f"{name} {os.getpid()}\n")
        if name.startswith("bad"):
            raise DataError("no good", where=name)
        if name.startswith("bug"):
            raise ZeroDivisionError("oops")
        if name.startswith("full"):
            raise OutputError("the disk is full", where=name)
        if name.startswith("warn"):
            logging.getLogger("facemorph.tests").warning("careful with %s", name)
        while name.startswith("wait") and not (self.output / "go").exists():
            time.sleep(0.02)
        (self.output / f"{name}.txt").write_text(name)
        return {"files": [f"{name}.txt"], "number": self.number}


def no_model(number: int) -> Copier:
    """What makes the worker of a process, in vain."""
    raise DataError("no such model")


def finish(output: Path, names: Sequence[str], known):
    """Write and return the report."""
    rows = [known.get(name, {"name": name, "status": "missing"}) for name in names]
    counts = counts_of(rows, ("done", "failed", "missing"))
    report = {**header({}), "counts": counts, "rows": rows}
    write_json(output / REPORT, report)
    return report


def batch_of(output: Path, names: Sequence[str], **options) -> Batch:
    """The batch of some names; ``inputs`` is a folder of files of these names."""
    folder = options.pop("inputs", None)
    if folder is not None:
        options |= {"given": lambda name: {"stamp": stamp_of(folder / name)}, "same": ("stamp",)}
    tasks = {name: name for name in options.pop("tasks", names)}
    return Batch(
        output,
        "names",
        tasks,
        partial(Copier, output),
        Copier.copy,
        partial(finish, output, names),
        **options,
    )


def worked_on(output: Path) -> list[str]:
    """Names in the order in which they were worked on, and nothing after that."""
    log = output / LOG
    names = [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
    log.unlink(missing_ok=True)
    return names


def main() -> None:
    """Run a batch in a process of its own: FOLDER WORKERS NAMES..."""
    folder, workers, *names = sys.argv[1:]
    run(batch_of(Path(folder), names, workers=int(workers), settings={"size": 1}))
