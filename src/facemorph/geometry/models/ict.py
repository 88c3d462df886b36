"""ICT-FaceKit (Li et al. 2020, "Learning formation of physically-based face attributes"), the light
model, MIT.

100 identity modes from scans and 53 expressions. It is not part of facemorph: ``facemorph import
ict DIR`` reads the OBJ files of a clone of https://github.com/USC-ICT/ICT-FaceKit once and keeps
their arrays.

Departures: the transparent shells in front of the eyes (eye blend, occlusion, lashes) are not
drawn, as they would hide the eyes; their vertices stay. The tiles of its texture charts are packed
into one square, the face part on half of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError, GeometryError, MissingExtra
from facemorph.geometry.meshes.mesh_files import read_mesh, read_obj_vertices
from facemorph.geometry.models.contours import contour_candidates
from facemorph.geometry.models.model_arrays import read_npz
from facemorph.geometry.models.morphable_model import FaceTopology, MorphableModel, SurfacePoints
from facemorph.geometry.models.regions import pair_up
from facemorph.storage.files import pretrained_folder, write_atomic

# its unit is about a centimetre; its outer eye corners are then 82 mm apart
MILLIMETRES = 82 / 8.92
NEUTRAL = "generic_neutral_mesh.obj"
NUM_IDENTITY = 100
NARROW_FACE = 6706  # vertices before this one are the face without ears and forehead's sides
EARS = (-20.0, 35.0)  # millimetres: between these heights the sides of the face part are ears
PARTS = (
    ("face", 9230),
    ("head_neck", 11144),
    ("mouth_socket", 13226),
    ("eye_socket_left", 13630),
    ("eye_socket_right", 14034),
    ("gums_tongue", 17006),
    ("teeth", 21496),
    ("eyeball_left", 23094),
    ("eyeball_right", 24692),
    ("lacrimal", 25018),
    ("eyeblend", 25048),
    ("eyeocclusion", 25304),
    ("eyelashes", 26384),
)  # each part ends before this polygon
SHELLS = ("eyeblend", "eyeocclusion", "eyelashes")
# Box in the packed chart: u0, v0, side. The parts of one tile of the original share one.
PACKED = {
    "face": (0.0, 0.0, 0.72),
    "head_neck": (0.725, 0.0, 0.275),
    "mouth_socket": (0.725, 0.0, 0.275),
    "eye_socket_left": (0.725, 0.0, 0.275),
    "eye_socket_right": (0.725, 0.0, 0.275),
    "eyeball_left": (0.865, 0.28, 0.135),
    "eyeball_right": (0.725, 0.28, 0.135),
    "gums_tongue": (0.725, 0.42, 0.275),
    "teeth": (0.0, 0.725, 0.275),
    "lacrimal_left": (0.28, 0.725, 0.135),
    "lacrimal_right": (0.28, 0.865, 0.135),
    "eyelashes_left": (0.42, 0.725, 0.275),
    "eyelashes_right": (0.42, 0.725, 0.275),
    "eyeblend_left": (0.70, 0.725, 0.135),
    "eyeblend_right": (0.70, 0.865, 0.135),
    "eyeocclusion_left": (0.84, 0.725, 0.135),
    "eyeocclusion_right": (0.84, 0.865, 0.135),
}
# The README's 68 landmarks of Multi-PIE, with its vertices on the true jaw line (0-7, 9-16), which
# suit iBUG better.
LANDMARKS = (
    1278,
    1272,
    12,
    1834,
    243,
    781,
    2199,
    1447,
    966,
    3661,
    4390,
    3022,
    2484,
    4036,
    2253,
    3490,
    3496,
    268,
    493,
    1914,
    2044,
    1401,
    3615,
    4240,
    4114,
    2734,
    2509,
    978,
    4527,
    4942,
    4857,
    1140,
    2075,
    1147,
    4269,
    3360,
    1507,
    1542,
    1537,
    1528,
    1518,
    1511,
    3742,
    3751,
    3756,
    3721,
    3725,
    3732,
    5708,
    5695,
    2081,
    0,
    4275,
    6200,
    6213,
    6346,
    6461,
    5518,
    5957,
    5841,
    5702,
    5711,
    5533,
    6216,
    6207,
    6470,
    5517,
    5966,
)
_SIDED = (
    "browDown",
    "browInnerUp",
    "browOuterUp",
    "cheekPuff",
    "cheekSquint",
    "eyeBlink",
    "eyeLookDown",
    "eyeLookIn",
    "eyeLookOut",
    "eyeLookUp",
    "eyeSquint",
    "eyeWide",
    "mouthDimple",
    "mouthFrown",
    "mouthLowerDown",
    "mouthPress",
    "mouthSmile",
    "mouthStretch",
    "mouthUpperUp",
    "noseSneer",
)
_WHOLE = (
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthFunnel",
    "mouthLeft",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
)
EXPRESSIONS = tuple(sorted([*(f"{name}_{side}" for name in _SIDED for side in "LR"), *_WHOLE]))


def default_path() -> Path:
    """Where the imported model is kept."""
    return pretrained_folder() / "ict_facekit.npz"


def import_ict(folder: str | Path, output: str | Path | None = None) -> Path:
    """Read the OBJ files of ICT-FaceKit and keep their arrays.

    Args:
        folder: The clone of the repository, or its folder ``FaceXModel``.
        output: The ``.npz`` to write; None is ``default_path``.

    Returns:
        The path that was written.

    Raises:
        DataError: A file is missing or cannot be read.
        GeometryError: A file is not of this model.
    """
    folder = Path(folder)
    source = folder / "FaceXModel" if (folder / "FaceXModel").is_dir() else folder
    missing = [name for name in _file_names() if not (source / name).is_file()]
    if missing:
        raise DataError(
            "this folder is no clone of ICT-FaceKit",
            where=source,
            expected=missing[0],
            found=f"{len(missing)} of {len(_file_names())} files missing",
            remedy="Clone https://github.com/USC-ICT/ICT-FaceKit and give its folder.",
        )
    neutral = read_mesh(source / NEUTRAL)
    if neutral.uv is None or neutral.faces_uv is None or neutral.polygon is None:
        raise GeometryError("this mesh has no texture coordinates", where=source / NEUTRAL)
    if int(neutral.polygon.max()) + 1 != PARTS[-1][1]:
        raise GeometryError(
            "this mesh is not that of the light model",
            where=source / NEUTRAL,
            expected=f"{PARTS[-1][1]} polygons",
            found=int(neutral.polygon.max()) + 1,
        )
    mean = read_obj_vertices(source / NEUTRAL)
    names, component = _components(mean, neutral.faces.numpy(), neutral.polygon.numpy())
    identity = np.stack(
        [_offsets(source / f"identity{number:03}.obj", mean) for number in range(NUM_IDENTITY)]
    )
    expression = np.stack([_offsets(source / f"{name}.obj", mean) for name in EXPRESSIONS])
    path = Path(output) if output is not None else default_path()
    arrays: dict[str, Any] = {
        "mean": mean.astype(np.float32),
        "identity": identity,
        "expression": expression,
        "expression_names": np.array(EXPRESSIONS),
        "faces": neutral.faces.numpy().astype(np.int32),
        "uv": (neutral.uv.double().numpy() * [1, -1] + [0, 1]).astype(np.float32),
        "faces_uv": neutral.faces_uv.numpy().astype(np.int32),
        "face_component": component,
        "component_names": np.array(names),
        "landmarks68_contour": np.array(LANDMARKS, np.int32),
    }
    write_atomic(path, lambda target: np.savez_compressed(target, **arrays))
    return path


def _file_names() -> list[str]:
    return [
        NEUTRAL,
        *(f"identity{number:03}.obj" for number in range(NUM_IDENTITY)),
        *(f"{name}.obj" for name in EXPRESSIONS),
    ]


def _offsets(path: Path, mean: np.ndarray) -> np.ndarray:
    vertices = read_obj_vertices(path)
    if vertices.shape != mean.shape:
        raise GeometryError(
            "this mesh has other vertices than the neutral one",
            where=path,
            expected=mean.shape,
            found=vertices.shape,
        )
    if not np.isfinite(vertices).all():
        raise GeometryError("this mesh has vertices that are not numbers", where=path)
    return (vertices - mean).astype(np.float16)


def _components(
    mean: np.ndarray, faces: np.ndarray, polygon: np.ndarray
) -> tuple[list[str], np.ndarray]:
    """Names of the parts, and the part of each triangle; parts of both eyes are split by their
    side.
    """
    names: list[str] = []
    component = np.zeros(len(faces), np.uint8)
    middle = mean[faces].mean(1)[:, 0]
    start = 0
    for name, end in PARTS:
        within = (polygon >= start) & (polygon < end)
        sides = [("", within)]
        if name == "lacrimal" or name in SHELLS:
            sides = [("_left", within & (middle > 0)), ("_right", within & (middle <= 0))]
        for side, chosen in sides:
            component[chosen] = len(names)
            names.append(name + side)
        start = end
    return names, component


def load_ict(path: str | Path | None = None) -> MorphableModel:
    """ICT-FaceKit as imported.

    Args:
        path: The file that ``import_ict`` wrote; None is ``default_path``.

    Raises:
        MissingExtra: It was not imported yet.
        DataError: The file cannot be read.
        GeometryError: A key is missing or does not fit.
    """
    path = Path(path) if path is not None else default_path()
    if not path.is_file():
        raise MissingExtra(
            "ICT-FaceKit is not here",
            where=path,
            remedy="Clone https://github.com/USC-ICT/ICT-FaceKit and run: facemorph import ict "
            "FOLDER",
        )
    arrays = read_npz(path, "ICT-FaceKit")
    mean = arrays.tensor("mean", None, 3) * MILLIMETRES
    count = len(mean)
    names = [str(name) for name in arrays.values.get("component_names", ())]
    expressions = [str(name) for name in arrays.values.get("expression_names", ())]
    if set(names) != set(PACKED):
        raise GeometryError(
            "component_names are not those of ICT-FaceKit",
            where=path,
            expected=", ".join(sorted(PACKED))[:80],
            found=", ".join(names)[:80] or "nothing",
            remedy="Import it again: facemorph import ict FOLDER",
        )
    faces = arrays.indices("faces", count, None, 3)
    component = arrays.indices("face_component", len(names), len(faces))
    uv = arrays.tensor("uv", None, 2)
    uv, faces_uv = _packed(uv, arrays.indices("faces_uv", len(uv), len(faces), 3), component, names)
    drawn = torch.tensor([not name.startswith(SHELLS) for name in names])[component]
    chosen = arrays.indices("landmarks68_contour", count, 68)
    weights = torch.zeros(68, 3)
    weights[:, 0] = 1
    landmarks = SurfacePoints(chosen[:, None].repeat(1, 3), weights)
    masks = _masks(mean, faces, component, names)
    mirror = pair_up(mean, masks["face"] | masks["skin"])
    topology = FaceTopology(
        faces[drawn],
        uv,
        faces_uv[drawn],
        tuple(names),
        component[drawn],
        landmarks,
        contour_candidates(mean, faces, landmarks, masks["face"], mirror),
        masks,
        mirror,
    )
    return MorphableModel(
        "ict",
        mean,
        arrays.tensor("identity", None, count, 3) * MILLIMETRES,
        arrays.tensor("expression", len(expressions), count, 3) * MILLIMETRES,
        expressions,
        topology,
    )


def _packed(
    uv: Tensor, faces_uv: Tensor, component: Tensor, names: list[str]
) -> tuple[Tensor, Tensor]:
    """All tiles in one square, v down; left and right of a tile take different boxes."""
    parts, corners, count = [], torch.zeros_like(faces_uv), 0
    for number, name in enumerate(names):
        chosen = component == number
        if not bool(chosen.any()):
            continue  # of a file with fewer parts
        kept, own = faces_uv[chosen].unique(return_inverse=True)
        left, top, side = PACKED[name]
        place = uv[kept] - uv[kept].floor().amin(0)
        parts.append(torch.stack([left + side * place[:, 0], top + side * (1 - place[:, 1])], 1))
        corners[chosen] = own + count
        count += len(kept)
    return torch.cat(parts), corners


def _masks(mean: Tensor, faces: Tensor, component: Tensor, names: list[str]) -> dict[str, Tensor]:
    count = len(mean)

    def of(*parts: str) -> Tensor:
        mask = torch.zeros(count, dtype=torch.bool)
        for part in parts:
            mask[faces[component == names.index(part)].flatten()] = True
        return mask

    narrow = torch.arange(count) < NARROW_FACE
    front, back = of("face"), of("head_neck")
    around = (front | back) & ~(front & narrow)
    ears = front & ~narrow & (mean[:, 1] > EARS[0]) & (mean[:, 1] < EARS[1])
    low = around & ~ears & (mean[:, 1] < EARS[0])
    return {
        "face": front & narrow,
        "skin": front | back,
        "ears": ears,
        "neck": low,
        "scalp": around & ~ears & ~low,
        "inside_mouth": of("mouth_socket"),
        "socket": of("eye_socket_left", "eye_socket_right"),
        "teeth": of("teeth"),
        "tongue": of("gums_tongue"),
        "eye_left": of("eyeball_left"),
        "eye_right": of("eyeball_right"),
    }
