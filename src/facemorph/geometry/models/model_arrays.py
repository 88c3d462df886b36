"""The arrays in a model file, taken out one by one with checks that say what is wrong with which
key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.models.morphable_model import SurfacePoints
from facemorph.storage import array_files
from facemorph.storage.files import read_json
from facemorph.storage.pickled_arrays import read_pickle

# landmark_indices.npz of FaceScape's toolkit has the vertex numbers of either topology
FACESCAPE = (
    "of FaceScape's, v10 is that of the TU models and bilinear models 1.0 to 1.3, v16 that of "
    "bilinear model 1.6"
)


class ModelArrays:
    """The content of a model file by key.

    Args:
        path: Where it comes from.
        values: The content.
        model: What the file should be, for messages.
    """

    def __init__(self, path: Path, values: Mapping[str, Any], model: str) -> None:
        self.path, self.values, self.model = path, values, model

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def array(self, key: str, *shape: int | None) -> np.ndarray:
        """The numbers of a key.

        Args:
            key: Its name in the file.
            *shape: Expected sizes; None is any, no size at all is any shape.

        Raises:
            GeometryError: There is no such key, it has another shape, or it holds no or broken
                numbers.
        """
        if key not in self.values:
            raise GeometryError(
                f"this is no {self.model} file: a key is missing",
                where=self.path,
                expected=key,
                found=", ".join(sorted(map(str, self.values)))[:120] or "nothing",
                remedy="Check that it is the file of this model and version.",
            )
        try:
            found = np.asarray(self.values[key])
            good = found.dtype.kind in "fiub"
        except (ValueError, TypeError):
            good = False
        if not good:
            raise GeometryError(
                f"{key} does not hold numbers",
                where=self.path,
                expected="an array of numbers",
                found=type(self.values[key]).__name__,
            )
        if shape and (
            len(found.shape) != len(shape)
            or any(
                want is not None and want != size
                for want, size in zip(shape, found.shape, strict=True)
            )
        ):
            wanted = ", ".join("any" if want is None else str(want) for want in shape)
            raise GeometryError(
                f"{key} has the wrong shape for {self.model}",
                where=self.path,
                expected=f"({wanted})",
                found=tuple(found.shape),
                remedy="Check that it is the file of this model and version.",
            )
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise GeometryError(
                f"{key} holds numbers that are not finite",
                where=self.path,
                found=f"{int((~np.isfinite(found)).sum())} of {found.size}",
                remedy="The file is damaged: fetch it again.",
            )
        return found

    def texts(self, key: str) -> list[str]:
        """The words of a key, such as names of modes.

        Raises:
            GeometryError: There is no such key, or it holds something else.
        """
        found = np.asarray(self.values.get(key, ()))
        if found.dtype.kind not in "US" or found.ndim != 1:
            raise GeometryError(
                f"this is no {self.model} file: {key} holds no names",
                where=self.path,
                expected="a list of words",
                found=f"{found.dtype} {found.shape}" if key in self.values else "no such key",
                remedy="Check that it is the file of this model and version.",
            )
        return [str(name) for name in found.astype(np.str_)]

    def tensor(self, key: str, *shape: int | None) -> Tensor:
        """The numbers of a key in float32; see ``array``."""
        return torch.from_numpy(np.ascontiguousarray(self.array(key, *shape), dtype=np.float32))

    def indices(self, key: str, below: int, *shape: int | None) -> Tensor:
        """Whole numbers of a key, from 0 to ``below - 1``; see ``array``.

        Raises:
            GeometryError: Also where a number is not within the range.
        """
        found = self.array(key, *shape)
        if found.size and (
            found.min() < 0 or found.max() >= below or (found != np.floor(found)).any()
        ):
            raise GeometryError(
                f"{key} names something that is not there",
                where=self.path,
                expected=f"whole numbers from 0 to {below - 1}",
                found=f"{found.min()} to {found.max()}",
            )
        return torch.from_numpy(found.astype(np.int64))


def read_npz(path: Path, model: str, *, only: str | None = None) -> ModelArrays:
    """The arrays of a ``.npz`` file.

    Args:
        path: The file.
        model: What it should be, for messages.
        only: Read the array of this key alone, if there is one: a file may be large.

    Raises:
        DataError: It cannot be read or is no such file, or is cut off.
    """
    arrays = array_files.read_npz(path, expected=f"the arrays of {model}", only=only)
    return ModelArrays(path, arrays, model)


def read_arrays(path: Path, model: str) -> ModelArrays:
    """The arrays of a ``.npz``, or of a pickle (``.pkl``, ``.npy``), which is read without running
    it.

    Raises:
        DataError: It cannot be read, or holds something else.
    """
    if path.suffix.lower() == ".npz":
        return read_npz(path, model)
    values = read_pickle(path)
    if not isinstance(values, dict):
        raise DataError(
            f"this is no {model} file",
            where=path,
            expected="a dict of arrays",
            found=type(values).__name__,
        )
    return ModelArrays(path, values, model)


def read_landmark_vertices(path: Path, count: int) -> SurfacePoints:
    """The 68 iBUG landmarks of a mesh from a table that its user made.

    Args:
        path: ``.txt`` with 68 vertex indices; ``.json`` with a list of them; or ``.npz`` with
            ``vertices`` ``(68,)``, or ``vertices`` and ``weights``, both ``(68, 3)``.
        count: How many vertices the mesh has.

    Raises:
        DataError: The file cannot be read.
        GeometryError: It does not hold 68 landmarks of this mesh.
    """
    kind = path.suffix.lower()
    if kind == ".npz":
        arrays = read_npz(path, "landmark")
    else:
        try:
            values = (
                read_json(path)
                if kind == ".json"
                else [int(word) for word in path.read_text(encoding="utf-8").split()]
            )
        except (OSError, ValueError) as error:
            raise DataError(
                "these landmarks cannot be read",
                where=path,
                expected="68 vertex indices",
                found=str(error)[:80],
            ) from error
        arrays = ModelArrays(path, {"vertices": values}, "landmark")
    if "vertices" not in arrays and ("v10" in arrays or "v16" in arrays):
        raise GeometryError(
            "these are the landmarks of FaceScape's topologies, not of this mesh",
            where=path,
            expected=f"vertices: 68 numbers of a mesh with {count} vertices",
            found=", ".join(sorted(map(str, arrays.values))),
            remedy=f"Give a table of this mesh's own vertices; {FACESCAPE}.",
        )
    if "weights" in arrays:
        return SurfacePoints(
            arrays.indices("vertices", count, 68, 3), arrays.tensor("weights", 68, 3)
        )
    vertices = arrays.indices("vertices", count, 68)
    weights = torch.zeros(68, 3)
    weights[:, 0] = 1
    return SurfacePoints(vertices[:, None].repeat(1, 3), weights)
