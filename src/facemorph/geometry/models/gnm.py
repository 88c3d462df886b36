"""GNM Head (Google 2026, "Generative aNthropometric Model of the human head"), Apache-2.0.

17,821 vertices with eyes, teeth and tongue, 253 identity modes and 383 modes of expression from
scans. ``facemorph download gnm`` fetches it, with its 68 landmarks, or both lie beside each other:

* ``gnm_head.npz``: plain arrays, never unpickled.
* ``head_sparse_68.txt``: the landmarks, rows ``i0 w0 i1 w1 i2 w2`` in any order. Needed.

Departures: millimetres, with the origin between the eyes' joints. The modes of expression have no
names, so the model gets ARKit's units instead (``gnm_units``). The tiles of its texture chart are
packed into one square, the skin on half of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError, GeometryError, MissingExtra
from facemorph.geometry.models.contours import contour_candidates
from facemorph.geometry.models.gnm_landmarks import LANDMARKS, landmark_file, landmarks_of
from facemorph.geometry.models.gnm_units import Block, blocks_of, named_units
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_arrays import ModelArrays, read_npz
from facemorph.geometry.models.morphable_model import (
    FaceTopology,
    MorphableModel,
    Skeleton,
    SurfacePoints,
)
from facemorph.geometry.models.regions import face_region
from facemorph.storage.files import copy_whole, pretrained_folder

MODEL, FILE = "GNM Head", "gnm_head.npz"
KEY = "template_vertex_positions"  # that only this model's files have
MILLIMETRES = 1000.0
JOINTS = {"left_eye": "eye_left", "right_eye": "eye_right"}  # in the file, and ours
# Masks by the names of vertex groups, of which the first set that is there counts.
GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "skin": (("skin_exterior",),),
    "lips": (("upper_lip", "lower_lip"),),
    "ears": (("ears",), ("left_ear", "right_ear")),
    "socket": (("eye_sockets",),),
    "teeth": (("upper_teeth_and_gums", "lower_teeth_and_gums"), ("teeth",)),
    "tongue": (("tongue",),),
    "neck": (("neck",),),
    "scalp": (("scalp",),),
}
# Parts, and their boxes in the packed chart: u0, v0, side.
PACKED = {
    "skin": (0.0, 0.0, 0.72),
    "eye_left": (0.725, 0.0, 0.27),
    "eye_right": (0.725, 0.275, 0.27),
    "teeth_upper": (0.725, 0.55, 0.27),
    "teeth_lower": (0.0, 0.725, 0.27),
    "tongue": (0.275, 0.725, 0.27),
    "inside": (0.55, 0.725, 0.27),
}


def default_path() -> Path:
    """Where the downloaded model is kept."""
    return pretrained_folder() / FILE


def import_gnm(
    file: str | Path, *, landmarks: str | Path | None = None, output: str | Path | None = None
) -> Path:
    """Keep a file of GNM Head and its landmarks, to be used as the model ``gnm``.

    Args:
        file: ``gnm_head.npz`` of any release.
        landmarks: See ``load_gnm``.
        output: Folder to write; None is that of ``default_path``.

    Returns:
        The path of the model that was written.

    Raises:
        DataError: A file is missing or cannot be read.
        GeometryError: It is not GNM Head.
        MissingExtra: The landmarks are nowhere.
    """
    path = Path(file)
    if not path.is_file():
        raise DataError("there is no such file", where=path, expected=FILE)
    load_gnm(path, landmarks=landmarks)  # whole, or an error before anything is kept
    folder = Path(output) if output is not None else default_path().parent
    for source, name in ((landmark_file(path, landmarks), LANDMARKS), (path, FILE)):
        copy_whole(source, folder / name)
    return folder / FILE


def load_gnm(
    path: str | Path | None = None, *, landmarks: str | Path | None = None, named: bool = True
) -> MorphableModel:
    """GNM Head from its own file.

    Args:
        path: ``gnm_head.npz``; None is the downloaded one.
        landmarks: ``head_sparse_68.txt``; None looks beside the model, and where a clone of its
            repository has it.
        named: Expressions are ARKit's units from 0 to 1, as those of the embedded head; else the
            model's own modes, in standard deviations.

    Raises:
        MissingExtra: It was not downloaded yet, or the landmarks are nowhere.
        DataError: A file cannot be read, or holds pickled objects, which were not read.
        GeometryError: A key is missing or does not fit.
    """
    path = Path(path) if path is not None else default_path()
    if not path.is_file():
        raise MissingExtra(
            "GNM Head is not here",
            where=path,
            remedy="Run: facemorph download gnm, or: facemorph import gnm FILE",
        )
    arrays = read_npz(path, MODEL)
    mean = arrays.tensor(KEY, None, 3) * MILLIMETRES
    count = len(mean)
    joints = arrays.texts("joint_names")
    for name in JOINTS:
        if name not in joints:
            raise GeometryError(
                "joint_names are not those of GNM Head",
                where=path,
                expected=name,
                found=", ".join(joints)[:80] or "nothing",
            )
    places = arrays.tensor("template_joint_positions", len(joints), 3) * MILLIMETRES
    origin = places[[joints.index(name) for name in JOINTS]].mean(0)
    mean = mean - origin
    skeleton = _skeleton(arrays, joints, places - origin, count)
    identity = arrays.tensor("vertex_identity_basis", len(skeleton.identity), count, 3)
    topology = _topology(arrays, path, landmarks, mean, skeleton)
    names = arrays.texts("expression_names")
    modes = arrays.tensor("expression_basis", len(names), count, 3) * MILLIMETRES
    if named:
        blocks = blocks_of(names, path)
        names, modes = _units(modes, blocks, mean, topology, skeleton)
    return MorphableModel(
        "gnm",
        mean,
        identity * MILLIMETRES,
        modes,
        names,
        topology,
        expression_range=(0.0, 1.0) if named else (-np.inf, np.inf),
        skeleton=skeleton,
    )


def _units(
    modes: Tensor,
    blocks: dict[Block, Tensor],
    mean: Tensor,
    topology: FaceTopology,
    bones: Skeleton,
) -> tuple[list[str], Tensor]:
    """Names and offsets of ARKit's units, of which the eyes' turns go with the eyeballs."""
    eyes = {name: bones.names.index(name) for name in JOINTS.values()}
    return named_units(
        load_makehuman(),
        modes,
        blocks,
        mean,
        topology,
        {name: (bones.mean[joint], bones.weights[:, joint]) for name, joint in eyes.items()},
    )


def _skeleton(arrays: ModelArrays, joints: list[str], places: Tensor, count: int) -> Skeleton:
    parents = arrays.array("joint_parent_indices", len(joints)).astype(np.int64).tolist()
    if any(parent >= joint for joint, parent in enumerate(parents)):
        raise GeometryError(
            "joint_parent_indices name a joint before its parent",
            where=arrays.path,
            expected="parents first, the root -1",
            found=parents,
        )
    correctives = None
    if "pose_correctives_regressor" in arrays:
        regressor = arrays.tensor("pose_correctives_regressor", 9 * len(joints), 3 * count)
        correctives = regressor.view(-1, count, 3) * MILLIMETRES
    return Skeleton(
        tuple(JOINTS.get(name, name) for name in joints),
        tuple(max(parent, -1) for parent in parents),
        places,
        arrays.tensor("joint_identity_basis", None, len(joints), 3) * MILLIMETRES,
        arrays.tensor("skinning_weights", len(joints), count).T.contiguous(),
        correctives=correctives,
    )


def _topology(
    arrays: ModelArrays,
    path: Path,
    landmarks: str | Path | None,
    mean: Tensor,
    skeleton: Skeleton,
) -> FaceTopology:
    count = len(mean)
    faces = arrays.indices("triangles", count, None, 3)
    corners = arrays.tensor("triangle_uvs", len(faces), 3, 2)
    names = arrays.texts("vertex_group_names")
    groups = arrays.array("vertex_groups", len(names), count) > 0.5
    group = {name: torch.from_numpy(row) for name, row in zip(names, groups, strict=True)}
    nothing = torch.zeros(count, dtype=torch.bool)
    points = landmarks_of(
        landmark_file(path, landmarks),
        mean,
        group.get("upper_lip", nothing),
        group.get("lower_lip", nothing),
    )
    masks = _masks(arrays, group, mean, points, skeleton)
    component = _components(faces, masks, group)
    mirror = arrays.indices("mirror_indices", count, count)
    return FaceTopology(
        faces,
        *_packed(corners, mean[faces][..., 1], component),
        tuple(PACKED),
        component,
        points,
        contour_candidates(mean, faces, points, masks["face"], mirror),
        masks,
        mirror,
    )


def _masks(
    arrays: ModelArrays,
    group: dict[str, Tensor],
    mean: Tensor,
    points: SurfacePoints,
    skeleton: Skeleton,
) -> dict[str, Tensor]:
    """Regions under our names; those of which the file knows nothing are left out."""
    masks: dict[str, Tensor] = {}
    for name, choices in GROUPS.items():
        found = next((choice for choice in choices if set(choice) <= group.keys()), None)
        if found is not None:
            masks[name] = torch.stack([group[one] for one in found]).any(0)
    if "skin" not in masks:
        raise GeometryError(
            "vertex_group_names lack a region",
            where=arrays.path,
            expected="skin_exterior",
            found=", ".join(group)[:80] or "nothing",
        )
    for name in JOINTS.values():
        masks[name] = skeleton.weights[:, skeleton.names.index(name)] > 0.5
    inner = [name for name in ("skin", "socket", "teeth", "tongue") if name in masks]
    masks["inside_mouth"] = ~torch.stack([masks[name] for name in (*inner, *JOINTS.values())]).any(
        0
    )
    face = face_region(mean, points) & masks["skin"]
    masks["face"] = face & ~masks["ears"] if "ears" in masks else face
    if not bool(masks["face"].any()):
        raise GeometryError(
            "no vertex of this mesh lies on the face",
            where=arrays.path,
            expected="skin_exterior between the landmarks",
        )
    return masks


def _components(faces: Tensor, masks: dict[str, Tensor], group: dict[str, Tensor]) -> Tensor:
    """``(F,)`` the part of each triangle, in the order of ``PACKED``."""
    nothing = torch.zeros_like(masks["skin"])
    parts = masks | {
        "teeth_upper": group.get("upper_teeth_and_gums", masks.get("teeth", nothing)),
        "teeth_lower": group.get("lower_teeth_and_gums", nothing),
    }
    names = list(PACKED)
    component = torch.full((len(faces),), names.index("inside"))
    for number, name in enumerate(names):
        if name != "inside":
            component[parts.get(name, nothing)[faces].all(1)] = number
    return component


def _packed(corners: Tensor, height: Tensor, component: Tensor) -> tuple[Tensor, Tensor]:
    """All parts in one square, v down: coordinates ``(U, 2)`` and triangles ``(F, 3)`` of them.

    Args:
        corners: ``(F, 3, 2)`` as in the file, of one tile, or of several beside each other.
        height: ``(F, 3)`` of the corners: whether v points up is not written anywhere, on the skin
            the forehead tells.
        component: ``(F,)`` part of each triangle, in the order of ``PACKED``.
    """
    skin = component == 0
    y, v = height[skin], corners[skin][..., 1]
    upward = float(((y - y.mean()) * (v - v.mean())).sum()) > 0
    pieces, faces_uv, count = [], torch.zeros_like(corners[..., 0], dtype=torch.long), 0
    for number, (left, top, side) in enumerate(PACKED.values()):
        chosen = component == number
        if not bool(chosen.any()):
            continue
        kept, own = corners[chosen].flatten(0, 1).unique(dim=0, return_inverse=True)
        kept = kept - kept.floor().amin(0)
        kept = kept / kept.amax().ceil().clamp(min=1)
        down = 1 - kept[:, 1] if upward else kept[:, 1]
        pieces.append(torch.stack([left + side * kept[:, 0], top + side * down], 1))
        faces_uv[chosen] = own.view(-1, 3) + count
        count += len(kept)
    return torch.cat(pieces), faces_uv
