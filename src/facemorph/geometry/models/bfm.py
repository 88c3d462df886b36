"""The Basel Face Models 2017 and 2019 (Gerig et al. 2018, "Morphable face models - an open
framework").

The files are the user's own (https://faces.dmi.unibas.ch/bfm); ``.h5`` in the layout of statismo.
``face12.json`` of the same source, beside the model, gives texture coordinates. The 68 landmarks
are not in the files: the user's own table ``landmarks68.txt``, ``.json`` or ``.npz`` beside the
model, or given, is needed.

Departure from VariTex's reader: the mean of the expression model is added to the neutral face;
theirs leaves it out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError, GeometryError, MissingExtra
from facemorph.geometry.models.contours import contour_candidates
from facemorph.geometry.models.model_arrays import ModelArrays, read_landmark_vertices
from facemorph.geometry.models.morphable_model import FaceTopology, MorphableModel
from facemorph.geometry.models.regions import cylinder_chart, face_region, head_parts, mirror_map
from facemorph.storage.files import read_json

TEXTURE = "face12.json"
LANDMARKS = ("landmarks68.txt", "landmarks68.json", "landmarks68.npz")
COLOURS = ("color/model/mean", "color/model/pcaBasis", "color/model/pcaVariance")
KEYS = (
    "shape/model/mean",
    "shape/model/pcaBasis",
    "shape/model/pcaVariance",
    "shape/representer/points",
    "shape/representer/cells",
    "expression/model/mean",
    "expression/model/pcaBasis",
    "expression/model/pcaVariance",
    *COLOURS,
)


def load_bfm(
    path: str | Path, *, landmarks: str | Path | None = None, texture: str | Path | None = None
) -> MorphableModel:
    """A Basel Face Model from its ``.h5`` file.

    Args:
        path: ``model2017-1_face12_nomouth.h5``, ``model2019_fullHead.h5`` and the like.
        landmarks: The user's table of the 68 landmarks (``model_arrays.read_landmark_vertices``);
            None looks for ``landmarks68.*`` beside the model.
        texture: ``face12.json``; None looks beside the model. It is used where it has the same
            triangles, otherwise the chart is a cylinder.

    Raises:
        DataError: A file cannot be read.
        GeometryError: A key is missing or does not fit: a file of another model or version.
        MissingExtra: The landmarks, or the package h5py, are missing.
    """
    path = Path(path)
    arrays = read_h5(path)
    mean = arrays.tensor("shape/model/mean", None)
    if len(mean) % 3:
        raise GeometryError(
            "shape/model/mean does not hold points",
            where=path,
            expected="3 numbers for each vertex",
            found=len(mean),
        )
    count = len(mean) // 3
    _same_points(arrays, count)
    mean = (mean + arrays.tensor("expression/model/mean", 3 * count)).view(count, 3)
    faces = _faces(arrays, count)
    corners = mean[faces]
    if (
        float(
            torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[
                :, 2
            ].sum()
        )
        < 0
    ):
        raise GeometryError(
            "this model's triangles face away from the viewer",
            where=path,
            expected="the front towards +z, counter-clockwise triangles",
            remedy="Check that it is a Basel Face Model 2017 or 2019.",
        )
    points = read_landmark_vertices(_landmark_file(path, landmarks), count)
    uv, faces_uv = _chart(path, texture, mean, faces)
    components, component = head_parts(mean, faces)
    face = face_region(mean, points)
    mirror = mirror_map(mean, 0.5)
    topology = FaceTopology(
        faces,
        uv,
        faces_uv,
        components,
        component,
        points,
        contour_candidates(mean, faces, points, face, mirror),
        {"face": face},
        mirror,
    )
    expression = _basis(arrays, "expression", count)
    colours = all(key in arrays for key in COLOURS)
    scale = 1.0
    if colours and float(arrays.array("color/model/mean").max()) > 2:
        scale = 1 / 255
    return MorphableModel(
        _version(path),
        mean,
        _basis(arrays, "shape", count),
        expression,
        [f"expression_{number + 1:03}" for number in range(len(expression))],
        topology,
        expression_range=(-np.inf, np.inf),
        albedo_mean=arrays.tensor("color/model/mean", 3 * count).view(count, 3) * scale
        if colours
        else None,
        albedo_basis=_basis(arrays, "color", count) * scale if colours else None,
    )


def standard_deviations(path: str | Path) -> tuple[Tensor, Tensor]:
    """Of the shape and expression coefficients as VariTex writes them, ``(199,)`` and ``(100,)``;
    ours are in these.

    Raises:
        DataError: The file cannot be read.
        GeometryError: It is another file.
    """
    arrays = read_h5(Path(path))
    return (
        arrays.tensor("shape/model/pcaVariance", None).sqrt(),
        arrays.tensor("expression/model/pcaVariance", None).sqrt(),
    )


def read_h5(path: Path) -> ModelArrays:
    """The arrays of a model in ``.h5``.

    Raises:
        DataError: It cannot be read, or is cut off.
        MissingExtra: The package h5py is missing.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra(
            "Basel Face Models need the package h5py",
            where=path,
            remedy="Install it: pip install 'facemorph-torch[bfm]'",
        ) from error
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Any] = {key: file[key][()] for key in KEYS if key in file}
            if not found:
                found = dict.fromkeys(list(file)[:8])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(
            "this file cannot be read as .h5",
            where=path,
            expected="a Basel Face Model 2017 or 2019",
            found=str(error)[:80],
            remedy="Check that it is whole.",
        ) from error
    return ModelArrays(path, found, "Basel Face Model 2017 or 2019")


def _version(path: Path) -> str:
    """``bfm2017`` or ``bfm2019`` by the file's name; the files themselves do not say it."""
    found = re.search("2017|2019", path.stem)
    return f"bfm{found.group()}" if found else "bfm"


def _same_points(arrays: ModelArrays, count: int) -> None:
    """Raise GeometryError where the representer has other points than the mean."""
    points = arrays.array("shape/representer/points", None, None)
    if points.shape not in ((3, count), (count, 3)):
        raise GeometryError(
            "shape/representer/points does not fit shape/model/mean",
            where=arrays.path,
            expected=(3, count),
            found=points.shape,
        )


def _faces(arrays: ModelArrays, count: int) -> Tensor:
    cells = arrays.indices("shape/representer/cells", count, None, None)
    if cells.shape[0] != 3 and cells.shape[1] != 3:
        raise GeometryError(
            "shape/representer/cells holds no triangles",
            where=arrays.path,
            expected="(3, F)",
            found=tuple(cells.shape),
        )
    return (cells.T if cells.shape[0] == 3 else cells).contiguous()


def _basis(arrays: ModelArrays, part: str, count: int) -> Tensor:
    """``(K, V, 3)``, one standard deviation each."""
    basis = arrays.tensor(f"{part}/model/pcaBasis", 3 * count, None)
    variance = arrays.tensor(f"{part}/model/pcaVariance", basis.shape[1])
    if bool((variance < 0).any()):
        raise GeometryError(f"{part}/model/pcaVariance is negative", where=arrays.path)
    return (basis * variance.sqrt()).T.reshape(-1, count, 3).contiguous()


def _landmark_file(path: Path, given: str | Path | None) -> Path:
    if given is not None:
        return Path(given)
    found = next((path.parent / name for name in LANDMARKS if (path.parent / name).is_file()), None)
    if found is None:
        raise MissingExtra(
            "the Basel Face Models carry no 68 landmarks",
            where=path.parent / LANDMARKS[0],
            remedy="Put a table of 68 vertex indices there, or give one.",
        )
    return found


def _chart(
    path: Path, given: str | Path | None, mean: Tensor, faces: Tensor
) -> tuple[Tensor, Tensor]:
    """Texture coordinates of ``face12.json``, or a cylinder."""
    file = Path(given) if given is not None else path.parent / TEXTURE
    if given is None and not file.is_file():
        return cylinder_chart(mean, faces)
    try:
        mapping = read_json(file)["textureMapping"]
        arrays = ModelArrays(
            file,
            {"pointData": mapping["pointData"], "triangles": mapping["triangles"]},
            "texture mapping",
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "this texture mapping cannot be read",
            where=file,
            expected="textureMapping with pointData and triangles",
            found=str(error)[:80],
        ) from error
    uv = arrays.tensor("pointData", None, 2)
    triangles = arrays.indices("triangles", len(uv), None, 3)
    if len(triangles) != len(faces):
        if given is None:
            return cylinder_chart(mean, faces)
        raise GeometryError(
            "this texture mapping is that of another mesh",
            where=file,
            expected=f"{len(faces)} triangles",
            found=len(triangles),
        )
    # Whether v points up or down is not written anywhere; on an upright chart the forehead tells.
    height, v = mean[faces.flatten(), 1], uv[triangles.flatten(), 1]
    upward = float(((height - height.mean()) * (v - v.mean())).sum()) > 0
    return (torch.stack([uv[:, 0], 1 - uv[:, 1]], 1) if upward else uv), triangles
