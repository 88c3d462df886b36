"""FLAME (Li et al. 2017, "Learning a model of facial shape and expression from 4D scans"), 2020,
2023 and 2023 Open.

The files are the user's own: FLAME needs a registration (https://flame.is.tue.mpg.de); FLAME 2023
Open may be passed on with attribution (CC BY 4.0). ``facemorph import flame`` keeps one as the
model ``flame``. The model is read from its ``.pkl`` without ``chumpy`` and without running the
pickle, or from a ``.npz`` with the same keys. Beside it are looked for, by the names under which
they are published:

* ``landmark_embedding.npy`` (of DECA) or ``.npz``: the 51 static and 17 sliding landmarks; or
  ``.txt`` or ``.json``: a table of 68 vertices. Needed.
* ``FLAME_texture.npz``: the texture space with its UV map. Optional.
* ``FLAME_masks.pkl``: regions. Optional.

Departures: the root joint is left out, as it is the rotation of the whole head, so the joints are
neck, jaw and the two eyes. The texture space is sampled at the vertices, one colour each, as
``MorphableModel.albedo`` gives them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import ConfigError, MissingExtra
from facemorph.geometry.models.model_arrays import (
    ModelArrays,
    read_arrays,
    read_landmark_vertices,
    read_npz,
)
from facemorph.geometry.models.morphable_model import (
    FaceTopology,
    MorphableModel,
    Skeleton,
    SurfacePoints,
)
from facemorph.geometry.models.regions import cylinder_chart, face_region, head_parts, mirror_map
from facemorph.storage.files import copy_whole, pretrained_folder, write_atomic

VERTICES, TRIANGLES, SHAPES, EXPRESSIONS = 5023, 9976, 300, 100
JOINTS = ("neck", "jaw", "eye_left", "eye_right")
MILLIMETRES = 1000.0
LANDMARKS = tuple(f"landmark_embedding{kind}" for kind in (".npy", ".npz", ".txt", ".json"))
TEXTURE, MASKS = "FLAME_texture.npz", "FLAME_masks.pkl"
IMPORTED = "imported_flame"  # the folder that an imported one is kept in
KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
# rows of the sliding landmarks: 0 to 39 degrees one way, then 1 to 39 the other way
ANGLES, FRONTAL_SIDE = 79, 40


def load_flame(
    path: str | Path,
    *,
    landmarks: str | Path | None = None,
    texture: str | Path | None = None,
    masks: str | Path | None = None,
) -> MorphableModel:
    """FLAME from its own files.

    Args:
        path: ``generic_model.pkl``, ``flame2023.pkl``, ``flame2023_Open.pkl`` or ``.npz`` with the
            same keys.
        landmarks: DECA's ``landmark_embedding.npy`` or ``.npz``, or a table of 68 vertices; None
            looks beside it.
        texture: ``FLAME_texture.npz``; None looks beside the model, and goes without.
        masks: ``FLAME_masks.pkl``; None looks beside the model, and goes without.

    Raises:
        DataError: A file cannot be read, or holds anything else than plain values and arrays; it
            was not run.
        GeometryError: A key is missing, or an array has another shape than FLAME 2020 and 2023
            have.
        MissingExtra: The landmarks are nowhere.
    """
    path = Path(path)
    arrays = read_arrays(path, "FLAME")
    mean = arrays.tensor("v_template", VERTICES, 3) * MILLIMETRES
    directions = (
        arrays.tensor("shapedirs", VERTICES, 3, SHAPES + EXPRESSIONS).permute(2, 0, 1) * MILLIMETRES
    )
    faces = arrays.indices("f", VERTICES, TRIANGLES, 3)
    identity, expression = directions[:SHAPES].contiguous(), directions[SHAPES:].contiguous()
    points, contour = _landmarks(path, landmarks, faces, mean)
    uv, faces_uv, albedo_mean, albedo_basis = _texture(_beside(path, texture, TEXTURE), mean, faces)
    components, component = head_parts(mean, faces)
    topology = FaceTopology(
        faces,
        uv,
        faces_uv,
        components,
        component,
        points,
        contour,
        _masks(_beside(path, masks, MASKS), mean, points),
        mirror_map(mean, 0.5),
    )
    return MorphableModel(
        model_name(path),
        mean,
        identity,
        expression,
        [f"expression_{number + 1:03}" for number in range(EXPRESSIONS)],
        topology,
        expression_range=(-np.inf, np.inf),
        skeleton=_skeleton(arrays, mean, identity, expression),
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
    )


def model_name(path: Path) -> str:
    """``flame2020``, ``flame2023`` or ``flame2023_open`` by the file's name; the files themselves
    do not say it.
    """
    stem = path.stem.lower()
    if "2023" not in stem:
        return "flame2020"
    return "flame2023_open" if "open" in stem else "flame2023"


def imported_folder() -> Path:
    """Where the imported model is kept."""
    return pretrained_folder() / IMPORTED


def import_flame(
    file: str | Path, *, landmarks: str | Path | None = None, output: str | Path | None = None
) -> Path:
    """Keep a FLAME and what lies beside it, as plain arrays, to be used as the model ``flame``.

    Args:
        file: ``flame2023_Open.pkl`` or another of ``load_flame``.
        landmarks: DECA's ``landmark_embedding.npy``; None looks beside the file.
        output: New folder to write; None is ``imported_folder``.

    Returns:
        The path of the model that was written.

    Raises:
        ConfigError: The folder holds another model.
        DataError: A file cannot be read, or holds foreign names; it was not run.
        GeometryError: It is not FLAME.
        MissingExtra: The landmarks are nowhere.
    """
    path = Path(file)
    name = load_flame(path, landmarks=landmarks).name  # whole, or an error before anything is kept
    folder = Path(output) if output is not None else imported_folder()
    written = folder / f"{name}.npz"
    for other in folder.glob("*.npz") if folder.is_dir() else ():
        if other.stem.startswith("flame20") and other != written:
            raise ConfigError(
                "this folder holds another FLAME",
                where=folder,
                found=other.name,
                remedy="Remove it, or give another folder with -o.",
            )
    given: dict[str, str | Path | None] = dict.fromkeys((*LANDMARKS, TEXTURE, MASKS))
    if landmarks is not None:
        usual = f"{Path(LANDMARKS[0]).stem}{Path(landmarks).suffix}"
        given = {usual: landmarks, TEXTURE: None, MASKS: None}
    for usual, place in given.items():
        if (found := _beside(path, place, usual)) is not None:
            copy_whole(found, folder / usual)
    values = read_arrays(path, "FLAME")
    arrays: dict[str, Any] = {key: values.array(key) for key in KEYS}
    write_atomic(written, lambda target: np.savez(target, **arrays))
    return written


def load_imported_flame() -> MorphableModel:
    """The FLAME that ``import_flame`` kept.

    Raises:
        MissingExtra: None was imported yet.
        DataError: The file cannot be read.
    """
    found = sorted(imported_folder().glob("flame20*.npz"))
    if not found:
        raise MissingExtra(
            "FLAME is not here",
            where=imported_folder(),
            remedy="Fetch FLAME 2023 Open (https://flame.is.tue.mpg.de) and run: facemorph import "
            "flame FILE",
        )
    return load_flame(found[0])


def root_places(path: str | Path, identity: Tensor, expression: Tensor) -> Tensor:
    """FLAME's root joints ``(B, 3)`` in millimetres: its global rotation turns about them
    (``parameters.to_deca``).

    Args:
        path: The model's file.
        identity: ``(B, K)`` with K at most 300.
        expression: ``(B, E)`` with E at most 100.

    Raises:
        DataError: The file cannot be read.
        GeometryError: It is not FLAME.
    """
    arrays = read_arrays(Path(path), "FLAME")
    row = arrays.tensor("J_regressor", len(JOINTS) + 1, VERTICES)[0]
    directions = torch.einsum(
        "v,vck->kc", row, arrays.tensor("shapedirs", VERTICES, 3, SHAPES + EXPRESSIONS)
    )
    mean = row @ arrays.tensor("v_template", VERTICES, 3)
    moved = (
        identity @ directions[: identity.shape[1]]
        + expression @ directions[SHAPES:][: expression.shape[1]]
    )
    return (mean + moved) * MILLIMETRES


def _skeleton(arrays: ModelArrays, mean: Tensor, identity: Tensor, expression: Tensor) -> Skeleton:
    regressor = arrays.tensor("J_regressor", len(JOINTS) + 1, VERTICES)[1:]
    tree = arrays.array("kintree_table", 2, len(JOINTS) + 1)[0].astype(np.int64)
    parents = tuple(int(parent) - 1 for parent in tree[1:])
    correctives = (
        arrays.tensor("posedirs", VERTICES, 3, 9 * len(JOINTS)).permute(2, 0, 1) * MILLIMETRES
    )
    weights = arrays.tensor("weights", VERTICES, len(JOINTS) + 1)
    return Skeleton(
        JOINTS,
        parents,
        regressor @ mean,
        torch.einsum("jv,kvc->kjc", regressor, identity),
        weights[:, 1:].contiguous(),
        torch.einsum("jv,kvc->kjc", regressor, expression),
        correctives.contiguous(),
    )


def _beside(path: Path, given: str | Path | None, name: str) -> Path | None:
    """The file that was given, or the one of the usual name beside the model, if it is there."""
    if given is not None:
        return Path(given)
    return path.parent / name if (path.parent / name).is_file() else None


def _landmarks(
    path: Path, given: str | Path | None, faces: Tensor, mean: Tensor
) -> tuple[SurfacePoints, SurfacePoints | None]:
    """The 68 landmarks, those of the jaw as in a frontal view, and the way of the latter ``(17,
    N)``.
    """
    found = next(
        (file for name in LANDMARKS if (file := _beside(path, given, name)) is not None), None
    )
    if found is None:
        raise MissingExtra(
            "FLAME's landmarks are missing",
            where=path.parent / LANDMARKS[0],
            remedy="Put landmark_embedding.npy of DECA (github.com/yfeng95/DECA, data/) beside the "
            "model, or give a table of 68 vertex indices.",
        )
    if found.suffix.lower() in (".txt", ".json"):
        return read_landmark_vertices(found, VERTICES), None
    arrays = read_arrays(found, "FLAME landmark")
    if "vertices" in arrays:
        return read_landmark_vertices(found, VERTICES), None
    inner = arrays.indices("static_lmk_faces_idx", TRIANGLES, 51)
    inner_weights = arrays.tensor("static_lmk_bary_coords", 51, 3)
    jaw = arrays.indices("dynamic_lmk_faces_idx", TRIANGLES, ANGLES, 17)
    jaw_weights = arrays.tensor("dynamic_lmk_bary_coords", ANGLES, 17, 3)
    points = SurfacePoints(
        faces[torch.cat([jaw[0], inner])], torch.cat([jaw_weights[0], inner_weights])
    )
    return points, _ways(SurfacePoints(faces[jaw], jaw_weights), mean)


def _ways(jaw: SurfacePoints, mean: Tensor) -> SurfacePoints:
    """From the landmarks of the jaw at each angle ``(79, 17)`` to the way of each ``(17, 40)``.

    A landmark slides while its own side turns away; the half of the angles over which it goes
    farther is kept.
    """
    places = jaw.of(mean)
    rows = (
        torch.arange(FRONTAL_SIDE),
        torch.cat([torch.tensor([0]), torch.arange(FRONTAL_SIDE, ANGLES)]),
    )
    travel = torch.stack([(places[row] - places[0]).norm(dim=-1).amax(0) for row in rows])
    chosen = torch.where((travel[0] >= travel[1])[:, None], rows[0], rows[1])
    column = torch.arange(17)[:, None]
    return SurfacePoints(jaw.vertices[chosen, column], jaw.weights[chosen, column])


def _texture(
    path: Path | None, mean: Tensor, faces: Tensor
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """UV map, v down, and the colours' mean and basis at the vertices in [0, 1]; without the file a
    plain chart.
    """
    if path is None:
        return *cylinder_chart(mean, faces), None, None
    arrays = read_npz(path, "FLAME texture")
    uv = arrays.tensor("vt", None, 2) * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
    faces_uv = arrays.indices("ft", len(uv), TRIANGLES, 3)
    texture = arrays.array("mean", None, None, 3)
    height, width = texture.shape[:2]
    basis = arrays.array("tex_dir", height, width, 3, None)
    place = torch.zeros(VERTICES, 2)
    place[faces.flatten()] = uv[faces_uv.flatten()]
    mean_colour = _sampled(texture[..., None], place)[0]
    return uv, faces_uv, mean_colour, _sampled(basis, place)


def _sampled(texture: np.ndarray, uv: Tensor) -> Tensor:
    """Bilinear samples ``(K, V, 3)`` in [0, 1], RGB, of textures ``(H, W, 3, K)``, BGR from 0 to
    255.
    """
    height, width = texture.shape[:2]
    x = np.clip(uv[:, 0].numpy() * width - 0.5, 0, width - 1)
    y = np.clip(uv[:, 1].numpy() * height - 0.5, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    across, down = (x - left)[:, None, None], (y - top)[:, None, None]
    upper = texture[top, left] * (1 - across) + texture[top, right] * across
    lower = texture[low, left] * (1 - across) + texture[low, right] * across
    colours = (upper * (1 - down) + lower * down)[:, ::-1] / 255
    return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1), dtype=np.float32))


def _masks(path: Path | None, mean: Tensor, landmarks: SurfacePoints) -> dict[str, Tensor]:
    if path is None:
        return {"face": face_region(mean, landmarks)}
    arrays = read_arrays(path, "FLAME mask")
    result = {}
    for name in arrays.values:
        mask = torch.zeros(VERTICES, dtype=torch.bool)
        mask[arrays.indices(name, VERTICES, None)] = True
        result[str(name)] = mask
    if "face" not in result:
        arrays.array("face")
    if {"left_ear", "right_ear"} <= result.keys():
        result["ears"] = result["left_ear"] | result["right_ear"]
    return result
