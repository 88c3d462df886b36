"""What a folder of results says of its making: settings, a row for each input, and the report.

A folder holds ``settings.json``, which must not change between runs into it; one
``records.*.jsonl`` for each shard, to which its only writer appends; and ``report.json``, made anew
of all records at the end of each run.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypedDict, cast

from facemorph.errors import DataError, OutputError
from facemorph.storage.files import read_json, write_whole
from facemorph.storage.versions import versions

SETTINGS, REPORT = "settings.json", "report.json"
DONE, FAILED, SKIPPED, MISSING = "done", "failed", "skipped", "missing"
Settings = Mapping[str, object]


class Row(TypedDict, total=False):
    """What became of one input.

    Attributes:
        name: Of the input.
        status: ``done``, ``failed``, or another one of the job.
        files: What was written, relative to the folder.
        seconds: Spent on it.
        error: Class of the error that it failed by.
        reason: That error as text.
        traceback: Of a bug.
        warnings: What was warned of.
        made: When the row was written, seconds since 1970.
    """

    name: str
    status: str
    files: list[str]
    seconds: float
    error: str
    reason: str
    traceback: str
    warnings: list[str]
    made: float


class Header(TypedDict):
    """What every report begins with."""

    date: str
    settings: Settings
    versions: dict[str, str]


def hold(file: BinaryIO, path: Path, busy: OutputError) -> None:
    """Lock an open file for this process; the lock goes with the process, however it ends.

    Args:
        file: The file.
        path: What to call it.
        busy: Raised where another process holds it.

    Raises:
        OutputError: Another process holds it, or the file system cannot lock files.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise busy from error
    except OSError as error:
        raise OutputError(
            "this file system cannot lock files",
            where=path,
            found=error.strerror,
            remedy="Choose a folder on another one.",
        ) from error


class Records:
    """Rows of one shard, and what the other shards have written.

    Args:
        folder: Folder of the results; it must exist.
        shard: Number of this shard, from 0.
        shards: Number of shards.
    """

    def __init__(self, folder: Path, shard: int = 0, shards: int = 1) -> None:
        self.folder = folder
        self.path = folder / f"records.{shard}-of-{shards}.jsonl"

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        """Hold this shard, so that no other process works on the same inputs.

        Raises:
            OutputError: Another process holds it, or the folder cannot be written.
        """
        try:
            file = self.path.open("a+b")
        except OSError as error:
            raise OutputError(
                "the folder cannot be written",
                where=self.folder,
                found=error.strerror,
                remedy="Choose another folder with -o.",
            ) from error
        with file:
            busy = OutputError(
                "another process is at work in this folder",
                where=self.path,
                remedy="Wait for it; with --shard K/N several share a folder.",
            )
            hold(file, self.path, busy)
            file.seek(max(0, file.tell() - 1))
            if file.read(1) not in (b"", b"\n"):
                file.write(b"\n")  # after a line that was cut off
            self._file: BinaryIO = file
            yield

    def append(self, row: Row) -> None:
        """Add the row of one input."""
        try:
            self._file.write(json.dumps({**row, "made": time.time()}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(
                "the records cannot be written",
                where=self.path,
                found=error.strerror,
                remedy="Make room; the same command continues.",
            ) from error

    def all(self) -> dict[str, Row]:
        """The newest row of each input, of all shards, by the input's name."""
        found: dict[str, Row] = {}
        made: dict[str, float] = {}
        for path in self.folder.glob("records.*.jsonl"):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    continue  # cut off by a power failure or a full disk
                if not isinstance(record, dict) or not all(
                    isinstance(record.get(key), str) for key in ("name", "status")
                ):
                    continue
                name, time_made = record["name"], record.get("made", 0)
                if not isinstance(time_made, (int, float)):
                    continue
                if time_made >= made.get(name, 0):
                    found[name], made[name] = cast(Row, record), time_made
        return found


def keep_settings(folder: Path, settings: Settings) -> None:
    """Write the settings of a new folder, or see that those of a begun one are the same.

    Raises:
        DataError: The folder was begun with other settings.
        OutputError: It cannot be written.
    """
    path = folder / SETTINGS
    wanted = json.loads(json.dumps(settings))
    if not path.is_file():
        write_whole(path, (json.dumps(wanted, indent=2) + "\n").encode())
        return
    try:
        earlier = dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            "the settings of this folder cannot be read",
            where=path,
            found=type(error).__name__,
            remedy="Choose another folder with -o.",
        ) from error
    changed = [key for key in sorted({*wanted, *earlier}) if wanted.get(key) != earlier.get(key)]
    if changed:
        raise DataError(
            "this folder holds results made with other settings",
            where=path,
            expected=", ".join(f"{key}={earlier.get(key)}" for key in changed),
            found=", ".join(f"{key}={wanted.get(key)}" for key in changed),
            remedy="Choose another folder with -o, or remove this one.",
        )


def is_finished(row: Row, folder: Path) -> bool:
    """Whether a row says that its input is done, and its files are there."""
    return row["status"] != FAILED and all(
        (folder / file).is_file() for file in row.get("files", ())
    )


@contextmanager
def only_reporter(folder: Path) -> Iterator[None]:
    """Hold a folder's report: one shard at a time reads and writes, else one that read early could
    write last.
    """
    with (folder / SETTINGS).open("r+b") as lock:  # NFS locks only files that are open for writing
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def header(settings: Settings) -> Header:
    """What a report begins with, of now."""
    date = time.strftime("%Y-%m-%d %H:%M")
    return {"date": date, "settings": dict(settings), "versions": versions()}


def counts_of(rows: Iterable[Row], statuses: Iterable[str]) -> dict[str, int]:
    """How many rows have each status."""
    found = Counter(row["status"] for row in rows)
    return {status: found[status] for status in statuses}


def write_json(path: Path, content: object, indent: int | None = 1) -> None:
    """Write a report or an index.

    Raises:
        OutputError: It cannot be written.
    """
    write_whole(path, (json.dumps(content, indent=indent) + "\n").encode())
