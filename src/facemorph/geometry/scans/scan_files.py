"""Prepared scans as files: one compact ``.npz`` each, and the trees of FaceScape as ImFace's
authors prepare them.

Writers give bytes; who calls them writes the files.

A set of scans is a folder with ``index.json`` and one ``.npz`` for each scan. Coordinates, normals
and gradients are 16-bit fractions of 1, distances of 2: rounding moves a point by 1.6e-5 at most in
each coordinate, 0.0016 mm, and a distance by 0.0031 mm. (16-bit floating point would move points by
0.024 mm.) The sheet and the landmarks stay 32-bit.

A FaceScape tree is ``ID/EXPRESSION_surf_pcl.npy``, ``_surf_nor``, ``_free_pcl``, ``_free_grd``,
``_free_sdf`` and ``EXPRESSION.bnd``, 68 lines ``x y z``; arrays stay on disk and are read where
points of them are wanted.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.storage.array_files import read_npy, read_npz
from facemorph.storage.files import read_json

INDEX, VERSION = "index.json", 1
LEVELS = 32767
SCALES = {"surface": 1.0, "normals": 1.0, "free": 1.0, "distance": 2.0, "gradient": 1.0}
TREE = ("surf_pcl", "surf_nor", "free_pcl", "free_sdf", "free_grd")


@dataclass(frozen=True)
class ListedScan:
    """A scan of a set.

    Attributes:
        path: Its ``.npz``, or the start ``ID/EXPRESSION`` of its files in a FaceScape tree.
        identity: Name of the person.
        expression: Name of the expression.
        split: ``training`` or ``test``.
    """

    path: Path
    identity: str
    expression: str
    split: str = "training"


def scan_bytes(scan: PreparedScan) -> bytes:
    """The content of a scan's ``.npz``."""
    arrays: dict[str, Any] = {
        name: _packed(getattr(scan, name), scale) for name, scale in SCALES.items()
    }
    arrays |= {
        "landmarks": scan.landmarks.numpy().astype(np.float32),
        "version": np.int64(VERSION),
        "vertices": scan.sheet.vertices.numpy().astype(np.float32),
        "faces": scan.sheet.faces.numpy().astype(np.int32),
    }
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _packed(values: Tensor, scale: float) -> np.ndarray:
    return (
        np.rint(values.numpy().astype(np.float64) * (LEVELS / scale))
        .clip(-LEVELS, LEVELS)
        .astype(np.int16)
    )


def unpacked(values: np.ndarray, scale: float = 1.0) -> Tensor:
    """Float32 of stored numbers: of 16-bit fractions, or as they are."""
    if values.dtype == np.int16:
        return torch.from_numpy(values.astype(np.float32) * np.float32(scale / LEVELS))
    return torch.from_numpy(np.array(values, dtype=np.float32))


def read_scan(path: Path) -> PreparedScan:
    """Read a scan's ``.npz``.

    Raises:
        DataError: It cannot be read, is cut off, or is none.
    """
    arrays = read_arrays(path)
    values = {name: unpacked(arrays[name], scale) for name, scale in SCALES.items()}
    sheet = Mesh(torch.from_numpy(arrays["vertices"]), torch.from_numpy(arrays["faces"]).long())
    return PreparedScan(
        values["surface"],
        values["normals"],
        values["free"],
        values["distance"],
        values["gradient"],
        torch.from_numpy(arrays["landmarks"]),
        sheet,
    )


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a scan's ``.npz`` as they are stored.

    Raises:
        DataError: It cannot be read, is cut off, or is none.
    """
    what, expected, remedy = (
        "this prepared scan cannot be read",
        "a file of `data prepare-scans`",
        "Prepare it again.",
    )
    arrays = read_npz(path, what, expected=expected, remedy=remedy)
    missing = [
        name
        for name in (*SCALES, "landmarks", "vertices", "faces", "version")
        if name not in arrays
    ]
    if missing:
        raise DataError(
            what, where=path, expected=expected, found=f"no {missing[0]}", remedy=remedy
        )
    if arrays["version"].shape or int(arrays["version"]) != VERSION:
        raise DataError(
            "this prepared scan is of another version",
            where=path,
            expected=VERSION,
            found=arrays["version"],
            remedy="Prepare it again.",
        )
    _check(arrays, path)
    return arrays


def read_tree_arrays(start: Path) -> dict[str, np.ndarray]:
    """The arrays of one scan of a FaceScape tree, mapped into memory, and its landmarks.

    Args:
        start: ``ROOT/ID/EXPRESSION``, what its files' names begin with.

    Raises:
        DataError: A file is missing, cannot be read, or does not fit the others.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, part in zip(
        ("surface", "normals", "free", "distance", "gradient"), TREE, strict=True
    ):
        path = start.with_name(f"{start.name}_{part}.npy")
        arrays[name] = read_npy(path, "this array of a scan cannot be read", mapped=True)
    path = start.with_name(f"{start.name}.bnd")
    try:
        arrays["landmarks"] = np.loadtxt(path, ndmin=2, max_rows=1000).astype(np.float32)
    except (OSError, ValueError) as error:
        raise DataError(
            "these landmarks cannot be read",
            where=path,
            expected="68 lines of x y z",
            found=str(error)[:120],
        ) from error
    arrays["distance"] = arrays["distance"].reshape(-1)
    _check(arrays, start)
    return arrays


def _check(arrays: dict[str, np.ndarray], where: Path) -> None:
    surface, free = len(arrays["surface"]), len(arrays["free"])
    wanted = {
        "surface": (surface, 3),
        "normals": (surface, 3),
        "free": (free, 3),
        "distance": (free,),
        "gradient": (free, 3),
        "landmarks": (68, 3),
    }
    for name, shape in wanted.items():
        if arrays[name].shape != shape or (name == "surface" and not surface):
            raise DataError(
                "the arrays of this scan do not fit together",
                where=f"{where}: {name}",
                expected=shape,
                found=arrays[name].shape,
            )


def index_bytes(folder: Path, scans: Sequence[ListedScan], neutral: str) -> bytes:
    """The content of a set's ``index.json``.

    Args:
        folder: The set's folder.
        scans: Its scans.
        neutral: Name of the expression without expression.
    """
    rows = [
        {
            "file": scan.path.relative_to(folder).as_posix(),
            "identity": scan.identity,
            "expression": scan.expression,
            "split": scan.split,
        }
        for scan in scans
    ]
    content = {"kind": "prepared scans", "unit": "100 mm", "neutral": neutral, "scans": rows}
    return (json.dumps(content) + "\n").encode()


def list_scans(folder: Path) -> tuple[list[ListedScan], str]:
    """The scans of a set or of a FaceScape tree, and the name of the expression without expression.

    Raises:
        DataError: The folder is neither.
    """
    path = folder / INDEX
    if not path.is_file():
        tail = f"_{TREE[0]}.npy"
        files = sorted(
            folder.glob(f"*/*{tail}"),
            key=lambda file: (file.parent.name.zfill(9), file.name.zfill(40)),
        )
        if not files:
            raise DataError(
                "this folder holds no prepared scans",
                where=folder,
                expected=f"{INDEX}, or ID/EXPRESSION{tail}",
                remedy="Prepare them with `facemorph data prepare-scans`.",
            )
        starts = [file.with_name(file.name.removesuffix(tail)) for file in files]
        return [ListedScan(start, start.parent.name, start.name) for start in starts], "1"
    try:
        content = read_json(path)
        if content["kind"] != "prepared scans":
            raise ValueError(f"kind {content['kind']}")
        scans = [
            ListedScan(
                folder / row["file"],
                str(row["identity"]),
                str(row["expression"]),
                str(row["split"]),
            )
            for row in content["scans"]
        ]
        return scans, str(content["neutral"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "this index of scans cannot be read",
            where=path,
            expected="an index of prepared scans",
            found=f"{type(error).__name__}: {error}"[:120],
            remedy="Prepare the scans with `facemorph data prepare-scans`.",
        ) from error
