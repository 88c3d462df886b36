"""The embedded head: MakeHuman's base mesh (CC0) as a morphable model.

4,929 vertices, 80 identity modes (principal components of random MakeHuman people and their mirror images) and 52
ARKit expressions. ``src/facemorph/assets/README.md`` says how it was made and what it is not.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.checkpoint import sha256_of
from facemorph.errors import ChecksumError
from facemorph.geometry.morphable_model import FaceTopology, MorphableModel, Skeleton, SurfacePoints

PATH = Path(__file__).resolve().parents[1] / "assets" / "makehuman_head.npz"
SHA256 = "2e6b878e56028603e5f8dd53810776c7fcb673d453c585a1ee5d416016d402f2"
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

    topology = FaceTopology(
        faces=tensor("faces").long(), uv=tensor("head_uv"), faces_uv=tensor("faces_uv").long(),
        components=tuple(arrays["component_names"].tolist()), face_component=tensor("face_component").long(),
        landmarks=SurfacePoints(tensor("landmark_vertices").long(), tensor("landmark_weights")),
        masks={name.removeprefix("mask_"): tensor(name) for name in arrays if name.startswith("mask_")},
        mirror=tensor("mirror").long())
    chosen = [arrays["joint_names"].tolist().index(name) for name in JOINTS]
    neck = tensor("neck_weight")
    skeleton = Skeleton(JOINTS, (-1, 0), tensor("joint_mean")[chosen], tensor("joint_identity")[:, chosen],
                        torch.stack([neck, 1 - neck], 1))
    return MorphableModel("makehuman", tensor("mean"), tensor("identity"), tensor("expression"),
                          arrays["expression_names"].tolist(), topology, skeleton=skeleton)
