"""Arrays of numbers out of pickle files, read without unpickling: nothing in the file is called.

The ifmorph project stores landmarks so (``STEM.dat``), FLAME its models (``.pkl``) and landmark
tables (``.npy``), DECA its parameters. A pickle is a small program that may call anything. Here its
instructions are only parsed, by the standard library's disassembler, and those that describe plain
values, NumPy arrays, torch tensors, SciPy's sparse matrices and the arrays of ``chumpy`` (which
need not be installed) are followed; any other instruction or name ends the reading.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facemorph.errors import DataError
from facemorph.storage.pickle_machine import (
    LARGEST_MODEL,
    PickleMachine,
    Refused,
    values_of,
)

LARGEST = 4 * 2**20


def read_pickled_array(path: str | Path) -> np.ndarray:
    """The one array of floats in a pickle file.

    Raises:
        DataError: The file cannot be read, is too large, or holds anything else.
    """

    def array(content: bytes) -> np.ndarray:
        found = values_of(PickleMachine().run(content))
        if not isinstance(found, np.ndarray) or found.dtype.kind != "f" or found.dtype.itemsize < 4:
            raise Refused(f"a {type(found).__name__}")
        return found.astype(np.float64)

    found: np.ndarray = _read(
        Path(path),
        LARGEST,
        array,
        "this file holds no plain array of numbers",
        "a pickled NumPy array of floats",
    )
    return found


def read_pickle(path: str | Path) -> Any:
    """The plain values in a pickle file: dicts, lists, numbers, texts and arrays; sparse matrices
    come out dense.

    Args:
        path: A pickle, or a ``.npy`` file that holds one.

    Raises:
        DataError: The file cannot be read, is too large, or holds anything else.
    """

    def values(content: bytes) -> Any:
        return values_of(PickleMachine().run(_without_npy_header(content)))

    return _read(
        Path(path),
        LARGEST_MODEL,
        values,
        "this pickle cannot be read without running it",
        "plain values and arrays, of NumPy, SciPy's sparse matrices or chumpy",
    )


def _read(
    path: Path, largest: int, convert: Callable[[bytes], Any], what: str, expected: str
) -> Any:
    try:
        if path.stat().st_size > largest:
            raise Refused(f"{path.stat().st_size} bytes")
        return convert(path.read_bytes())
    except OSError as error:
        raise DataError(
            "this file cannot be read", where=path, found=error.strerror or str(error)
        ) from error
    except (
        Refused,
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
        MemoryError,
    ) as error:
        # The disassembler and the damaged operands it gives raise any of these.
        raise DataError(
            what,
            where=path,
            expected=expected,
            remedy="It was not run.",
            found=str(error)[:80] or type(error).__name__,
        ) from error


def _without_npy_header(content: bytes) -> bytes:
    if not content.startswith(b"\x93NUMPY"):
        return content
    width = 2 if content[6] == 1 else 4
    return content[8 + width + int.from_bytes(content[8 : 8 + width], "little") :]
