"""Readers that do what none of facemorph's may do, for the tests of ``bench readers``."""

from __future__ import annotations

import os
import time
from pathlib import Path

from facemorph.bench.readers.reader import Reader
from facemorph.errors import DataError

GOOD = b"good" * 10


def seeds() -> dict[str, bytes]:
    return {"a.txt": GOOD}


def refusing(path: Path) -> None:
    """As a reader should."""
    if path.read_bytes() != GOOD:
        raise DataError("not good", where=path)


def raising(path: Path) -> None:
    if path.read_bytes() != GOOD:
        raise ValueError("somebody else's")


def sleeping(path: Path) -> None:
    if path.read_bytes() != GOOD:
        time.sleep(60)


def allocating(path: Path) -> None:
    if path.read_bytes() != GOOD:
        bytearray(b"x" * 2**26)


def asking(path: Path) -> None:
    if path.read_bytes() != GOOD:
        bytearray(2**36)


def dying(path: Path) -> None:
    if path.read_bytes() != GOOD:
        os._exit(11)


def unreadable(path: Path) -> None:
    raise DataError("nothing is good", where=path)


def reader(read) -> Reader:
    return Reader(read.__name__, seeds, read)
