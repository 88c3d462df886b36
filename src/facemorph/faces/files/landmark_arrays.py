"""Landmark files of NumPy; nothing in them is unpickled."""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from facemorph.errors import DataError
from facemorph.faces.files.landmark_formats import AT_CENTRE, FoundPoints, pair

MAGIC = b"\x93NUMPY"


def read_array(path: Path, content: bytes) -> FoundPoints:
    """Points of a ``.npy`` file: numbers ``(K, 2)`` or ``(1, K, 2)``.

    Raises:
        DataError: It is damaged, holds objects, or has another shape; says how to convert it.
    """
    values = _numbers(path, content)
    if values.ndim == 3 and len(values) == 1:  # of detectors that return a list of faces
        values = values[0]
    if values.ndim == 3 and values.shape[2] == 2:
        raise DataError(
            "this array has several faces, and it does not follow which is meant",
            where=path,
            expected="(K, 2)",
            found=tuple(values.shape),
            remedy="Save the one that is meant: np.save(path, points[0]).",
        )
    if values.ndim != 2 or values.shape[1] != 2:
        remedy = "Save it with x and y in two columns: np.save(path, points[:, :2])."
        if values.ndim == 2 and values.shape[0] == 2:
            remedy = "Save it with a row for each point: np.save(path, points.T)."
        elif values.ndim == 1:
            remedy = "If x and y take turns, save it so: np.save(path, points.reshape(-1, 2))."
        raise DataError(
            "this array is no list of points",
            where=path,
            expected="(K, 2)",
            found=tuple(values.shape),
            remedy=remedy,
        )
    rows = [pair(row, f"{path}, point {index}") for index, row in enumerate(values.tolist())]
    return FoundPoints(rows, AT_CENTRE, free=True)


def _numbers(path: Path, content: bytes) -> np.ndarray[Any, np.dtype[Any]]:
    file = io.BytesIO(content)
    damaged = DataError(
        "this array is damaged",
        where=path,
        expected="what np.save writes",
        found=f"{len(content)} bytes",
        remedy="Save it again with np.save.",
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                header = np.lib.format.read_array_header_2_0
            shape, fortran, kind = header(file)
    except Exception as error:  # a damaged header leads its parser to whatever
        raise damaged from error
    if kind.kind not in "fiu":
        raise DataError(
            "this array does not hold numbers",
            where=path,
            expected="floats or whole numbers (K, 2)",
            found="pickled objects, which are never read" if kind.hasobject else str(kind),
            remedy="Save the points alone: np.save(path, np.asarray(points, float)).",
        )
    count = math.prod(shape)
    if count * kind.itemsize != len(content) - file.tell():  # before memory is taken for it
        raise damaged
    values = np.frombuffer(content, kind, count, file.tell()) if count else np.zeros(0, kind)
    return values.reshape(shape, order="F" if fortran else "C").astype(np.float64)
