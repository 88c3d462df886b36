"""ARKit's units for a model whose modes of expression have no names.

A unit moves the embedded head in a known way. That motion is carried over to the other mesh by
corresponding points, and the block of modes that moves this part of the face is fitted to it by
ridge regression, with coefficients that stay within what the model has learnt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.models.morphable_model import FaceTopology, MorphableModel
from facemorph.ops.meshes import vertex_normals

Block = Literal["left_eye", "right_eye", "lower_face", "tongue"]
# Beginnings of the modes' names in newer and in older files.
PREFIXES: dict[Block, tuple[str, ...]] = {
    "left_eye": ("left_eye_",),
    "right_eye": ("right_eye_",),
    "lower_face": ("lower_face_", "mouth_"),
    "tongue": ("tongue_",),
}
INNER = ("inside_mouth", "socket", "teeth", "tongue", "eye_left", "eye_right")
NORMAL = 8.0  # millimetres that opposite normals are apart, halved: tells the lips from each other
REACH = 10.0  # millimetres from a corresponding point beyond which a motion is not known
NEIGHBOURS = 4
RIDGE = 1e-3  # of the mean square of the modes, at first
LARGEST = 3.0  # coefficient, in standard deviations
DOUBLINGS = 40
TURN = 0.02  # radians below which an eyeball does not turn


def blocks_of(names: Sequence[str], path: Path) -> dict[Block, Tensor]:
    """Indices of the modes that move each part of the face.

    Args:
        names: Of the modes.
        path: Of the file, for messages.

    Raises:
        GeometryError: A part has no modes.
    """
    blocks = {
        block: torch.tensor(
            [index for index, name in enumerate(names) if name.startswith(prefixes)],
            dtype=torch.long,
        )
        for block, prefixes in PREFIXES.items()
    }
    for block, indices in blocks.items():
        if not len(indices):
            raise GeometryError(
                "expression_names lack a part of the face",
                where=path,
                expected=" or ".join(f"{prefix}..." for prefix in PREFIXES[block]),
                found=", ".join(names)[:80] or "nothing",
            )
    return blocks


def named_units(
    source: MorphableModel,
    modes: Tensor,
    blocks: Mapping[Block, Tensor],
    mean: Tensor,
    topology: FaceTopology,
    eyes: Mapping[str, tuple[Tensor, Tensor]],
) -> tuple[list[str], Tensor]:
    """The units of a named model on another mesh.

    Args:
        source: The embedded head.
        modes: ``(E, V, 3)`` of the other model, one standard deviation each.
        blocks: Of ``blocks_of``.
        mean: ``(V, 3)`` the other mesh.
        topology: Its landmarks, triangles and regions.
        eyes: Joint's place ``(3,)`` and share ``(V,)`` of each eyeball, by the name of its region.

    Returns:
        Names, and offsets ``(U, V, 3)`` of the whole unit each.
    """
    warped, size = _warped(source, mean, topology)
    masks = topology.masks
    skin = masks["skin"] & ~_any(masks, INNER)
    outer = ~_any(source.topology.masks, INNER)
    regions = {
        "skin": _matched(source, warped, outer, mean, topology.faces, skin),
        "tongue": _matched(
            source,
            warped,
            source.topology.masks["tongue"],
            mean,
            topology.faces,
            masks.get("tongue", torch.zeros_like(skin)),
        ),
    }
    groups: dict[tuple[Block, ...], list[int]] = {}
    for number, name in enumerate(source.expression_names):
        groups.setdefault(_blocks_for(name), []).append(number)
    units = torch.zeros(len(source.expression_names), *mean.shape)
    for chosen, numbers in groups.items():
        rows, neighbours, weights = regions["tongue" if chosen == ("tongue",) else "skin"]
        motion = source.expression_basis[numbers][:, neighbours]
        motion = size * (motion * weights[..., None]).sum(2)
        block = modes[torch.cat([blocks[one] for one in chosen])]
        coefficients = ridge_fit(block[:, rows].flatten(1), motion.flatten(1))
        units[numbers] = torch.einsum("un,nvc->uvc", coefficients, block)
    for name, (place, share) in eyes.items():
        units += _eye_turns(source, name, mean - place, share)
    return list(source.expression_names), units


def ridge_fit(modes: Tensor, motions: Tensor) -> Tensor:
    """Coefficients ``(U, N)`` of modes ``(N, P)`` for motions ``(U, P)``, none beyond 3 standard
    deviations.

    Where a coefficient is larger, the penalty of that motion is doubled until none is.
    """
    basis, wanted = modes.double(), motions.double()
    products, targets = basis @ basis.T, basis @ wanted.T
    values, vectors = torch.linalg.eigh(products)
    values, turned = values.clamp(min=0)[:, None], vectors.T @ targets
    mean = values.mean().clamp(min=1e-12)
    penalty = torch.full((len(wanted),), RIDGE, dtype=torch.float64) * mean
    for _ in range(DOUBLINGS):
        found = vectors @ (turned / (values + penalty))
        beyond = found.abs().amax(0) > LARGEST
        if not bool(beyond.any()):
            break
        penalty = torch.where(beyond, penalty * 2, penalty)
    return found.T.to(modes.dtype)


def _blocks_for(unit: str) -> tuple[Block, ...]:
    """The blocks that a unit is made of."""
    if unit.startswith("tongue"):
        return ("tongue",)
    eyes: tuple[Block, ...] = ("left_eye", "right_eye")
    if unit.endswith("Left"):
        eyes = ("left_eye",)
    elif unit.endswith("Right"):
        eyes = ("right_eye",)
    if unit.startswith(("eye", "brow")):
        return eyes
    return (*eyes, "lower_face") if unit.startswith(("cheekSquint", "nose")) else ("lower_face",)


def _any(masks: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    return torch.stack([masks[name] for name in names if name in masks]).any(0)


def _warped(source: MorphableModel, mean: Tensor, topology: FaceTopology) -> tuple[Tensor, float]:
    """The source's vertices ``(V', 3)`` laid onto the other mesh by its landmarks, and how much
    larger it is.
    """
    # Not at the top: other models need no such functions.
    from scipy.interpolate import RBFInterpolator

    here = source.landmarks(source.mean[None])[0]
    there = topology.landmarks.of(mean)
    warp = RBFInterpolator(
        here.double().numpy(), there.double().numpy(), kernel="linear", smoothing=1.0, degree=1
    )
    size = float((there - there.mean(0)).norm() / (here - here.mean(0)).norm())
    return torch.from_numpy(warp(source.mean.double().numpy())).to(mean), size


def _matched(
    source: MorphableModel,
    warped: Tensor,
    allowed: Tensor,
    mean: Tensor,
    faces: Tensor,
    region: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices ``(P,)`` of a region near the source's, and for each the source's vertices ``(P,
    N)`` that lie and face as it does, with their shares.
    """
    from_source = torch.cat(
        [warped, vertex_normals(warped[None], source.topology.faces)[0] * NORMAL], 1
    )
    own = torch.cat([mean, vertex_normals(mean[None], faces)[0] * NORMAL], 1)
    candidates = allowed.nonzero()[:, 0]
    rows = region.nonzero()[:, 0]
    from scipy.spatial import cKDTree

    tree = cKDTree(from_source[candidates].double().numpy())
    distance, found = tree.query(own[rows].double().numpy(), NEIGHBOURS)
    near = torch.from_numpy(distance[:, 0] < REACH)
    shares = 1 / (torch.from_numpy(distance) + 0.1) ** 2
    shares = (shares / shares.sum(1, keepdim=True)).to(mean)
    return rows[near], candidates[torch.from_numpy(found)][near], shares[near]


def _eye_turns(source: MorphableModel, eye: str, arms: Tensor, share: Tensor) -> Tensor:
    """Offsets ``(U, V, 3)`` of an eyeball by each unit, which turns it as it turns the source's.

    Args:
        source: The embedded head.
        eye: Name of the eyeball's region.
        arms: ``(V, 3)`` from the eyeball's joint to each vertex.
        share: ``(V,)`` of the eyeball's joint in each vertex.
    """
    rest = source.mean[source.topology.masks[eye]].double().numpy()
    offsets = torch.zeros(source.num_expression, *arms.shape)
    for number, motion in enumerate(source.expression_basis[:, source.topology.masks[eye]]):
        moved = rest + motion.double().numpy()
        left, _, right = np.linalg.svd((rest - rest.mean(0)).T @ (moved - moved.mean(0)))
        sign = np.sign(np.linalg.det(left @ right))
        turn = right.T @ np.diag([1, 1, sign]) @ left.T
        if np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1)) > TURN:
            less = torch.from_numpy(turn - np.eye(3)).to(arms)
            offsets[number] = share[:, None] * (arms @ less.T)
    return offsets
