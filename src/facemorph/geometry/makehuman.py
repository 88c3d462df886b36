"""The embedded head: MakeHuman's base mesh (CC0) as a morphable model.

4,929 vertices, 80 identity modes (principal components of random MakeHuman people and their mirror images) and 52
ARKit expressions. ``facemorph.geometry.makehuman_recipe`` makes it again from MakeHuman's files;
``src/facemorph/assets/README.md`` says what it is not.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.checkpoint import sha256_of
from facemorph.errors import ChecksumError
from facemorph.geometry.contours import contour_candidates
from facemorph.geometry.morphable_model import FaceTopology, MorphableModel, Skeleton, SurfacePoints

ASSETS = Path(__file__).resolve().parents[1] / "assets"
PATH = ASSETS / "makehuman_head.npz"
LANDMARKS = ASSETS / "makehuman_landmarks.csv"
SHA256 = "4e366b55b122922354e08a74b35bfd4ef5f9aa223e9da4b0852ebdd60aa3e86a"
JOINTS = ("neck", "head")


@cache
def load_makehuman() -> MorphableModel:
    """The embedded head model; the same object each time.

    Raises:
        ChecksumError: The embedded file was changed.
    """
    if (found := sha256_of(PATH)) != SHA256:
        raise ChecksumError("the embedded head model is damaged", where=PATH, expected=SHA256, found=found,
                            remedy="Install facemorph again.")
    with np.load(PATH) as data:
        arrays = {name: data[name] for name in data.files}

    def tensor(name: str) -> Tensor:
        array = arrays[name]
        return torch.from_numpy(array.astype(np.float32) if array.dtype == np.float16 else array)

    mean, mirror = tensor("mean"), tensor("mirror").long()
    landmarks = SurfacePoints(tensor("landmark_vertices").long(), tensor("landmark_weights"))
    masks = {name.removeprefix("mask_"): tensor(name) for name in arrays if name.startswith("mask_")}
    topology = FaceTopology(
        faces=tensor("faces").long(), uv=tensor("uv"), faces_uv=tensor("faces_uv").long(),
        components=tuple(arrays["component_names"].tolist()), face_component=tensor("face_component").long(),
        landmarks=landmarks, contour=contour_candidates(mean, landmarks, masks["face"], mirror), masks=masks,
        mirror=mirror)
    chosen = [arrays["joint_names"].tolist().index(name) for name in JOINTS]
    neck = tensor("neck_weight")
    skeleton = Skeleton(JOINTS, (-1, 0), tensor("joint_mean")[chosen], tensor("joint_identity")[:, chosen],
                        torch.stack([neck, 1 - neck], 1))
    return MorphableModel("makehuman", mean, tensor("identity"), tensor("expression"),
                          arrays["expression_names"].tolist(), topology, skeleton=skeleton)
