"""What is known about a data set in the making: its settings, one record for each pair, and the
report.

A folder holds ``settings.json``, which must not change between runs into it; one
``records.*.jsonl`` for each shard, to which its only writer appends; and ``report.json``, made anew
of all records at the end of each run.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facemorph.errors import DataError, OutputError
from facemorph.faces.files.pair_lists import ListedPair
from facemorph.storage.files import write_whole
from facemorph.storage.versions import versions

SETTINGS, REPORT = "settings.json", "report.json"
DONE, FAILED, SKIPPED, MISSING = "done", "failed", "skipped", "missing"


class Records:
    """Records of one shard of a data set, and what the other shards have written.

    Args:
        folder: The data set's folder; it must exist.
        shard: Number of this shard, from 0.
        shards: Number of shards.
    """

    def __init__(self, folder: Path, shard: int = 0, shards: int = 1) -> None:
        self.folder = folder
        self.path = folder / f"records.{shard}-of-{shards}.jsonl"

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        """Hold this shard, so that no other process makes the same pairs.

        Raises:
            OutputError: Another process holds it, or the folder cannot be written.
        """
        try:
            file = self.path.open("a+b")
        except OSError as error:
            raise OutputError(
                "the data set's folder cannot be written",
                where=self.folder,
                found=error.strerror,
                remedy="Choose another folder with -o.",
            ) from error
        with file:
            try:
                # goes with the process, however it ends
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    "another process is making this part of the data set",
                    where=self.path,
                    remedy="Wait for it, or divide the work: --shard 0/2 here, --shard 1/2 there.",
                ) from error
            except OSError as error:
                raise OutputError(
                    "this file system cannot lock files",
                    where=self.path,
                    found=error.strerror,
                    remedy="Choose a folder on another one with -o.",
                ) from error
            file.seek(max(0, file.tell() - 1))
            if file.read(1) not in (b"", b"\n"):
                file.write(b"\n")  # after a line that was cut off
            self._file = file
            yield

    def append(self, record: Mapping[str, Any]) -> None:
        """Add the record of one pair."""
        try:
            self._file.write(json.dumps({**record, "made": time.time()}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(
                "the records of the data set cannot be written",
                where=self.path,
                found=error.strerror,
                remedy="Make room; the same command continues.",
            ) from error

    def all(self) -> dict[str, dict[str, Any]]:
        """The newest record of each pair, of all shards, by the pair's name."""
        found: dict[str, dict[str, Any]] = {}
        for path in self.folder.glob("records.*.jsonl"):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                except ValueError:
                    continue  # cut off by a power failure or a full disk
                if not isinstance(record, dict) or not isinstance(record.get("name"), str):
                    continue
                earlier = found.get(record["name"])
                if earlier is None or record.get("made", 0) >= earlier.get("made", 0):
                    found[record["name"]] = record
        return found


def keep_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a new data set, or see that those of a begun one are the same.

    Raises:
        DataError: The folder holds a data set with other settings.
        OutputError: It cannot be written.
    """
    path = folder / SETTINGS
    wanted = json.loads(json.dumps(settings))
    if not path.is_file():
        write_whole(path, (json.dumps(wanted, indent=2) + "\n").encode())
        return
    try:
        earlier = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            "the settings of this data set cannot be read",
            where=path,
            found=type(error).__name__,
            remedy="Choose another folder with -o.",
        ) from error
    changed = [key for key in sorted({*wanted, *earlier}) if wanted.get(key) != earlier.get(key)]
    if changed:
        raise DataError(
            "this folder holds a data set made with other settings",
            where=path,
            expected=", ".join(f"{key}={earlier.get(key)}" for key in changed),
            found=", ".join(f"{key}={wanted.get(key)}" for key in changed),
            remedy="Choose another folder with -o, or remove this one.",
        )


def is_finished(record: Mapping[str, Any] | None, folder: Path) -> bool:
    """Whether a record says that its pair is done, and its files are there."""
    return (
        record is not None
        and record.get("status") == DONE
        and bool(record.get("files"))
        and all((folder / file).is_file() for file in record["files"])
    )


@contextmanager
def only_reporter(folder: Path) -> Iterator[None]:
    """Hold a data set's report: one shard at a time reads and writes, else one that read early
    could write last.
    """
    with (folder / SETTINGS).open("r+b") as lock:  # NFS locks only files that are open for writing
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_report(
    records: Records, pairs: Sequence[ListedPair], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Write ``report.json``: the settings, versions, how many pairs ended how, and a row for each.

    Args:
        records: Records of the data set.
        pairs: All pairs of the list.
        settings: The data set's settings.

    Returns:
        What the file holds.

    Raises:
        OutputError: It cannot be written.
    """
    with only_reporter(records.folder):
        return _write_report(records, pairs, settings)


def _write_report(
    records: Records, pairs: Sequence[ListedPair], settings: Mapping[str, Any]
) -> dict[str, Any]:
    folder = records.folder
    rows = list(_rows(folder, pairs, records.all()))
    counts = Counter(str(row["status"]) for row in rows)
    report = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "settings": dict(settings),
        "versions": versions(),
        "counts": {status: counts.get(status, 0) for status in (DONE, FAILED, SKIPPED, MISSING)},
        "seconds": sum(float(row.get("seconds", 0)) for row in rows),
        "rows": rows,
    }
    write_whole(folder / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _rows(
    folder: Path, pairs: Iterable[ListedPair], records: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    for pair in pairs:
        known = {"name": pair.name, "line": pair.line, "a": str(pair.a), "b": str(pair.b)}
        record = records.get(pair.name)
        if pair.skip is not None:
            yield {**known, "status": SKIPPED, "reason": pair.skip}
        elif record is None or (record.get("status") == DONE and not is_finished(record, folder)):
            yield {**known, "status": MISSING, "reason": "not made yet, or its files are gone"}
        else:
            yield {**known, **record}
