"""How well two surfaces agree: chamfer distance, accuracy, completeness, F-scores, normals.

Of points that are even by area on both: *accuracy* is the mean distance from the found surface to
the true one, *completeness* the other way, *chamfer* their mean (L1), the *F-score* at a threshold
the harmonic mean of the shares of points of either that are nearer than it, *normal consistency*
the mean ``|cos|`` between normals of nearest points. All of these hold the points' own distance;
*mean* and *percentile 95*, of the found surface from the true one and the other way, do not.

Source: Knapitsch et al., Tanks and Temples (2017) for F-scores; Mescheder et al. (2019) for
normals; numbers of points and the rigid alignment as in ImFace's released evaluation (Zheng et al.,
CVPR 2022), there seedless and called l2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph.errors import ConfigError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.mesh_sampling import distances_from_samples, sample_area
from facemorph.ops.rotations import nearest_rotation

SAMPLES = 150_000
ALIGNMENT_POINTS, ALIGNMENT_STEPS, ALIGNMENT_DONE = 10_000, 20, 1e-3


def surface_agreement(
    found: Mesh,
    true: Mesh,
    *,
    thresholds: Sequence[float] = (1.0,),
    samples: int = SAMPLES,
    seed: int = 0,
    rigid: bool = False,
) -> dict[str, float]:
    """Figures of a found surface against the true one, in the meshes' unit and per cent.

    Args:
        found: The surface that is judged.
        true: What it should be.
        thresholds: Of the F-scores.
        samples: Points on each.
        seed: Of the points.
        rigid: Move the found surface onto the true one first, by rotation and shift.

    Returns:
        ``chamfer``, ``accuracy``, ``completeness``, ``normal_consistency`` (0 to 1), ``mean`` and
        ``percentile_95`` from the true surface, ``true_mean`` and ``true_percentile_95`` from the
        found one, and ``f_score_T``, ``precision_T``, ``recall_T`` in per cent for each
        threshold T.

    Raises:
        ConfigError: A threshold is not above 0, or there are no samples.
        GeometryError: A mesh has no area.
    """
    if samples < 1 or any(not threshold > 0 for threshold in thresholds):
        raise ConfigError(
            "unusable thresholds or samples",
            where="thresholds",
            expected="above 0",
            found=f"{list(thresholds)}, {samples} samples",
        )
    # Of each its own numbers: equal meshes would get equal points, and a distance of 0.
    points, normals = sample_area(found, samples, torch.Generator().manual_seed(2 * seed))
    goal, goal_normals = sample_area(true, samples, torch.Generator().manual_seed(2 * seed + 1))
    if rigid:
        rotation, shift = rigid_alignment(points, goal)
        points, normals = points @ rotation.T + shift, normals @ rotation.T
    from_true, there = distances_from_samples(points, goal, goal_normals)
    from_found, back = distances_from_samples(goal, points, normals)
    to_true, to_found = (
        (one - other[index]).norm(dim=1).numpy()
        for one, other, index in ((points, goal, there), (goal, points, back))
    )
    alike = (normals * goal_normals[there]).sum(1).abs().mean()
    alike = alike + (goal_normals * normals[back]).sum(1).abs().mean()
    figures = {
        "chamfer": float(np.mean(to_true) + np.mean(to_found)) / 2,
        "accuracy": float(np.mean(to_true)),
        "completeness": float(np.mean(to_found)),
        "normal_consistency": float(alike) / 2,
    }
    for name, away in (("", from_true), ("true_", from_found)):
        figures[f"{name}mean"] = float(away.mean())
        figures[f"{name}percentile_95"] = float(np.percentile(away.numpy(), 95))
    for threshold in thresholds:
        precision, recall = (100 * float(np.mean(one < threshold)) for one in (to_true, to_found))
        both = precision + recall
        figures |= {
            f"f_score_{threshold:g}": 2 * precision * recall / both if both else 0.0,
            f"precision_{threshold:g}": precision,
            f"recall_{threshold:g}": recall,
        }
    return figures


def rigid_alignment(points: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation ``(3, 3)`` and shift ``(3,)`` of points onto others: iterated closest points (Besl
    and McKay 1992).
    """
    some = points[:ALIGNMENT_POINTS].double()
    tree, other = cKDTree(goal.numpy()), goal.double()
    rotation, shift, last = (
        torch.eye(3, dtype=torch.float64),
        torch.zeros(3, dtype=torch.float64),
        np.inf,
    )
    for _ in range(ALIGNMENT_STEPS):
        moved = some @ rotation.T + shift
        distance, index = tree.query(moved.numpy(), workers=1)
        target = other[torch.from_numpy(index)]
        mean, goal_mean = some.mean(0), target.mean(0)
        rotation, _ = nearest_rotation((target - goal_mean).T @ (some - mean))
        shift = goal_mean - rotation @ mean
        if last - float(np.mean(distance)) < ALIGNMENT_DONE * float(np.mean(distance)):
            break
        last = float(np.mean(distance))
    return rotation.float(), shift.float()
