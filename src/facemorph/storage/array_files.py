"""NumPy's files, read without unpickling; a damaged one is refused before it takes memory."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from facemorph.errors import DataError
from facemorph.storage.files import regular

PACKED = 1100  # times that zip can make zeros smaller, at most
SLACK = 4096  # bytes
LAST_LETTER = 0x10FFFF  # of Unicode
WHOLE = "Check that it is whole."

Array = np.ndarray[Any, Any]


def read_npz(
    path: Path,
    what: str = "this file cannot be read as .npz",
    *,
    expected: object = None,
    remedy: str = WHOLE,
    only: str | None = None,
) -> dict[str, Array]:
    """The arrays of a ``.npz`` file by name.

    Args:
        path: The file.
        what: What is wrong where it cannot be read, for the message.
        expected: What it should be, for the message.
        remedy: What to do then.
        only: Read the array of this name alone, if there is one: a file may be large.

    Raises:
        DataError: It cannot be read, is no such file, is cut off, or holds objects.
    """
    found: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(regular(path)) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name == member.filename or only not in (None, name):
                    continue
                if member.file_size > PACKED * member.compress_size + SLACK:
                    raise ValueError(f"{name} of {member.file_size} bytes")
                with archive.open(member) as file:
                    _check_size(file, member.file_size)
                with archive.open(member) as file:
                    found[name] = np.lib.format.read_array(file, allow_pickle=False)
                _check_text(found[name], name)
    except Exception as error:  # damaged archives and headers lead to whatever
        raise _unreadable(path, what, expected, remedy, error) from error
    return found


def names_of(path: Path) -> list[str]:
    """Names of the arrays of a ``.npz`` file, which are not read.

    Raises:
        DataError: It cannot be read, or is no such file.
    """
    try:
        with zipfile.ZipFile(regular(path)) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # damaged archives lead to whatever
        what = "this file cannot be read as .npz"
        raise _unreadable(path, what, None, WHOLE, error) from error


def read_npy(
    path: Path,
    what: str = "this array cannot be read",
    *,
    expected: object = None,
    remedy: str = WHOLE,
    mapped: bool = False,
) -> Array:
    """The array of a ``.npy`` file.

    Args:
        path: The file.
        what: What is wrong where it cannot be read, for the message.
        expected: What it should be, for the message.
        remedy: What to do then.
        mapped: Leave it on disk and read what is looked at.

    Raises:
        DataError: It cannot be read, is no such file, is cut off, or holds objects.
    """
    try:
        with regular(path).open("rb") as file:
            _check_size(file, path.stat().st_size)
        found: Array = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except Exception as error:  # damaged headers lead to whatever
        raise _unreadable(path, what, expected, remedy, error) from error
    return found


def _check_size(file: IO[bytes], size: int) -> None:
    """Raise ValueError where an array is not of the size that its header says."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, kind = np.lib.format.read_array_header_2_0(file)
    if kind.hasobject:
        raise ValueError("pickled objects, which are never read")
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != size - file.tell():
        raise ValueError(f"{size} bytes for {kind} {shape}")


def _check_text(values: Array, name: str) -> None:
    """Raise ValueError where text has numbers that are no letters: Python fails on them later."""
    if values.dtype.kind == "U" and values.size:
        order = "<u4" if values.dtype.byteorder != ">" else ">u4"
        letters = np.frombuffer(values.tobytes(), order)
        if letters.max() > LAST_LETTER:
            raise ValueError(f"{name} is no text")


def _unreadable(
    path: Path, what: str, expected: object, remedy: str, error: Exception
) -> DataError:
    found = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(
        what, where=path, expected=expected, found=found.splitlines()[0][:120], remedy=remedy
    )
