"""The 68 landmarks of GNM Head: a file of points on its mesh, put into iBUG's order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError, GeometryError, MissingExtra
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_arrays import ModelArrays
from facemorph.geometry.models.morphable_model import SurfacePoints

LANDMARKS = "head_sparse_68.txt"
# Where they may lie: beside the model, or as in a clone of the repository.
FOLDERS = (".", "landmarks", "../landmarks", "../../landmarks", "../data/landmarks")
UPPER_LIP, LOWER_LIP = (*range(49, 54), 61, 62, 63), (*range(55, 60), 65, 66, 67)
ROUNDS = 10  # in which the order settles, at most
FLAT = 1.0  # millimetres of spread along each axis below which the points are no face's


def landmark_file(path: Path, given: str | Path | None) -> Path:
    """The file of the landmarks that was given, or the one that belongs to a model's file.

    Raises:
        MissingExtra: There is none.
    """
    if given is not None:
        return Path(given)
    places = [path.parent / folder / LANDMARKS for folder in FOLDERS]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise MissingExtra(
            "GNM's landmarks are missing",
            where=places[0],
            remedy="Run: facemorph download gnm_landmarks, or put head_sparse_68.txt of its "
            "repository (github.com/google/GNM) beside the model.",
        )
    return found


def read_landmarks(path: Path, count: int) -> SurfacePoints:
    """68 points on a mesh, rows ``i0 w0 i1 w1 i2 w2``, in the order of the file.

    Args:
        path: The file.
        count: How many vertices the mesh has.

    Raises:
        DataError: The file cannot be read.
        GeometryError: It does not hold 68 points of this mesh.
    """
    try:
        lines = path.read_text(encoding="utf-8").replace(",", " ").splitlines()
        rows = [
            [float(word) for word in line.split()]
            for line in lines
            if line.strip()[:1] not in ("", "#")
        ]
    except (OSError, ValueError) as error:
        raise DataError(
            "these landmarks cannot be read",
            where=path,
            expected="68 rows i0 w0 i1 w1 i2 w2",
            found=str(error)[:80],
        ) from error
    if len(rows) != 68 or any(len(row) != 6 for row in rows):
        raise GeometryError(
            "these are not GNM's landmarks",
            where=path,
            expected="68 rows of 6 numbers",
            found=f"{len(rows)} rows of {', '.join(map(str, sorted({len(row) for row in rows})))}",
        )
    table = np.array(rows)
    if not np.isfinite(table).all():
        raise GeometryError("these landmarks are not finite", where=path)
    arrays = ModelArrays(path, {"vertices": table[:, ::2], "weights": table[:, 1::2]}, "landmark")
    return SurfacePoints(arrays.indices("vertices", count, 68, 3), arrays.tensor("weights", 68, 3))


def landmarks_of(path: Path, mean: Tensor, upper_lip: Tensor, lower_lip: Tensor) -> SurfacePoints:
    """The 68 landmarks of a file in iBUG's order; see ``in_ibug_order``.

    Raises:
        DataError: The file cannot be read.
        GeometryError: It does not hold 68 landmarks of a face on this mesh.
    """
    points = read_landmarks(path, len(mean))
    spread = points.of(mean).std(0)
    if not bool((spread > FLAT).all()):
        raise GeometryError(
            "these landmarks are not a face's: many lie in the same place or plane",
            where=path,
            expected=f"more than {FLAT:g} mm of spread along x, y and z",
            found=", ".join(f"{value:.2f}" for value in spread.tolist()),
        )
    return in_ibug_order(points, mean, upper_lip, lower_lip)


def in_ibug_order(
    points: SurfacePoints, mean: Tensor, upper_lip: Tensor, lower_lip: Tensor
) -> SurfacePoints:
    """68 landmarks in iBUG's order, told by where they lie: files have them in other orders too.

    Each is matched with the embedded head's landmark at its place, after an affine map between
    both. Lips that touch are told apart by the regions.

    Args:
        points: In any order.
        mean: ``(V, 3)`` the mesh.
        upper_lip: ``(V,)`` bool.
        lower_lip: ``(V,)`` bool.
    """
    # Not at the top: other models need no assignments.
    from scipy.optimize import linear_sum_assignment

    model = load_makehuman()
    wanted = model.landmarks(model.mean[None])[0].double().numpy()
    found = points.of(mean).double().numpy()
    share = points.of(torch.stack([upper_lip, lower_lip], 1).float()).numpy()
    wrong = np.zeros((68, 68), bool)  # a landmark of one lip in a place of the other
    wrong[np.ix_(UPPER_LIP, np.flatnonzero(share[:, 1] > 0.5))] = True
    wrong[np.ix_(LOWER_LIP, np.flatnonzero(share[:, 0] > 0.5))] = True
    # Middle and spread do not depend on the order.
    placed = (found - found.mean(0)) / found.std(0).clip(1e-6) * wanted.std(0) + wanted.mean(0)
    order = np.arange(68)
    for _ in range(ROUNDS):
        apart = ((wanted[:, None] - placed[None]) ** 2).sum(2)
        chosen = linear_sum_assignment(apart + wrong * 1e6)[1]
        if np.array_equal(chosen, order):
            break
        order = chosen
        known = np.concatenate([found[order], np.ones((68, 1))], 1)
        affine = np.linalg.lstsq(known, wanted, rcond=None)[0]
        placed = np.concatenate([found, np.ones((68, 1))], 1) @ affine
    return SurfacePoints(points.vertices[order], points.weights[order])
