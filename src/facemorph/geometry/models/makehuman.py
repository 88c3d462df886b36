"""The embedded head: MakeHuman's base mesh (CC0) as a morphable model.

4,929 vertices, 80 identity modes (principal components of random MakeHuman people and their mirror
images) and 52 ARKit expressions. ``facemorph.geometry.makehuman_recipe`` makes it again from
MakeHuman's files; ``src/facemorph/assets/README.md`` says what it is not.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from facemorph.errors import ChecksumError
from facemorph.geometry.models.contours import contour_candidates
from facemorph.geometry.models.morphable_model import (
    FaceTopology,
    MorphableModel,
    Skeleton,
    SurfacePoints,
)
from facemorph.storage.files import ASSETS, sha256_of

PATH = ASSETS / "makehuman_head.npz"
LANDMARKS = ASSETS / "makehuman_landmarks.csv"
SHA256 = "84c5443149cff325d8b2c30e51f9a2c244a04fc527d062d2f769d2c9a0d6a9fc"
JOINTS = ("neck", "head")


def load_makehuman() -> MorphableModel:
    """The embedded head model.

    Raises:
        ChecksumError: The embedded file was changed.
    """
    arrays, contour = _embedded()
    values = {
        name: torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if array.dtype.kind != "U"
    }
    masks = {
        name.removeprefix("mask_"): values[name] for name in values if name.startswith("mask_")
    }
    topology = FaceTopology(
        faces=values["faces"].long(),
        uv=values["uv"],
        faces_uv=values["faces_uv"].long(),
        components=tuple(arrays["component_names"].tolist()),
        face_component=values["face_component"].long(),
        landmarks=SurfacePoints(values["landmark_vertices"].long(), values["landmark_weights"]),
        contour=SurfacePoints(contour.vertices.clone(), contour.weights.clone()),
        masks=masks,
        mirror=values["mirror"].long(),
    )
    chosen = [arrays["joint_names"].tolist().index(name) for name in JOINTS]
    neck = values["neck_weight"]
    skeleton = Skeleton(
        JOINTS,
        (-1, 0),
        values["joint_mean"][chosen],
        values["joint_identity"][:, chosen],
        torch.stack([neck, 1 - neck], 1),
    )
    return MorphableModel(
        "makehuman",
        values["mean"],
        values["identity"],
        values["expression"],
        arrays["expression_names"].tolist(),
        topology,
        skeleton=skeleton,
    )


@cache
def _embedded() -> tuple[dict[str, np.ndarray], SurfacePoints]:
    """The arrays in the embedded file, in float32, and the paths of the jaw line."""
    if (found := sha256_of(PATH)) != SHA256:
        raise ChecksumError(
            "the embedded head model is damaged",
            where=PATH,
            expected=SHA256,
            found=found,
            remedy="Install facemorph again.",
        )
    with np.load(PATH) as data:
        arrays = {name: data[name] for name in data.files}
    arrays = {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in arrays.items()
    }
    landmarks = SurfacePoints(
        torch.from_numpy(arrays["landmark_vertices"]).long(),
        torch.from_numpy(arrays["landmark_weights"]),
    )
    mean, faces, mirror = (torch.from_numpy(arrays[name]) for name in ("mean", "faces", "mirror"))
    contour = contour_candidates(
        mean, faces.long(), landmarks, torch.from_numpy(arrays["mask_face"]), mirror.long()
    )
    return arrays, contour
