"""How good a warp is: landmarks, inverse, folds, bending. A px is 1/512 of the frame's
longer side.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from facemorph.fields.warps.maps import dense_map, map_determinants
from facemorph.fields.warps.thin_plate_flow import (
    MERGE_DISTANCE,
    PIXEL,
    ThinPlateFlow,
    merge_close_landmarks,
)
from facemorph.fields.warps.warp import Warp
from facemorph.ops.frames import Frame

LATTICE = 129
MISSED = 4.0  # px: more is a morph of landmarks that do not belong together

logger = logging.getLogger(__name__)


def landmark_errors(warp: Warp, source: Tensor, target: Tensor) -> dict[str, float]:
    """Mean distances of landmarks that should meet.

    Landmarks within 1.5 px of each other in either face count as one point, at their mean: where
    they coincide in one face only, no warp can meet both. The plain mean over all of them is given
    too.

    Args:
        warp: The warp.
        source: ``(P, 2)`` field coordinates.
        target: ``(P, 2)``.

    Returns:
        ``landmark_error_px`` after the whole way, ``alignment_px`` between both sets half-way,
        ``landmark_error_all_px`` without merging.
    """
    one, two = merge_close_landmarks(source, target, MERGE_DISTANCE)
    return {
        "landmark_error_px": _mean_distance(warp(one, 0.0, 1.0), two),
        "alignment_px": alignment_error(warp, one, two),
        "landmark_error_all_px": _mean_distance(warp(source, 0.0, 1.0), target),
    }


def say_missed_landmarks(error: float, name: str) -> None:
    """Warn of a warp that carries the landmarks of one face beside those of the other.

    Args:
        error: ``landmark_error_px``.
        name: What to call the morph.
    """
    if error > MISSED:
        logger.warning(
            "%s: the landmarks of both faces miss each other by %.1f px of 512 in the mean: eyes, "
            "nose or mouth will be seen twice. Look at the landmarks (`facemorph landmarks "
            "--overlay`) and give better ones with --points-a and --points-b, or --points.",
            name,
            error,
        )


def say_gave_way(warp: object, scheme: str, name: str) -> dict[int, float]:
    """Warn of landmarks that a flow does not meet because they contradict each other.

    Args:
        warp: The warp; no other than a thin-plate flow has such landmarks.
        scheme: Scheme of its landmarks.
        name: What to call the morph.

    Returns:
        Their indices, and by how many px they are missed.
    """
    gave_way = warp.gave_way() if isinstance(warp, ThinPlateFlow) else {}
    if gave_way:
        logger.warning(
            "%s: %d of the landmarks contradict others, near them in another order in the other "
            "face, which no warp without folds can meet. Only these gave way: %s. Look whether "
            "they are labelled alike in both faces (`facemorph landmarks --overlay`).",
            name,
            len(gave_way),
            ", ".join(f"{scheme} {index} by {px:.1f} px" for index, px in gave_way.items()),
        )
    return gave_way


def alignment_error(warp: Warp, source: Tensor, target: Tensor) -> float:
    """Mean distance in px of both landmark sets ``(P, 2)`` where they should meet half-way."""
    return _mean_distance(warp(source, 0.0, 0.5), warp(target, 1.0, 0.5))


def map_quality(warp: Warp, frame: Frame) -> dict[str, float]:
    """Errors and shape of the half-way maps, as they are used for rendering.

    Args:
        warp: The warp.
        frame: The frame that is rendered.

    Returns:
        ``inverse_error_px`` and ``inverse_error_max_px``: from half-way along the dense map to
        either end and back by the warp itself, so the interpolation of the dense map counts;
        ``fold_over_percent`` and ``min_determinant`` of both dense maps; ``bending_energy``: mean
        squared Frobenius norm of the second derivatives in field units.
    """
    errors, determinants, bending = [], [], []
    coarse = frame if max(frame.height, frame.width) <= LATTICE else frame.scaled_to(LATTICE)
    centres = coarse.pixel_centres().reshape(-1, 2)
    for end in (0.0, 1.0):
        positions = dense_map(warp, frame, 0.5, end)
        cell = (1 / frame.half_extent) ** 2
        determinants.append(map_determinants(positions.cpu().double()).flatten() / cell)
        there = positions if coarse == frame else dense_map(warp, coarse, 0.5, end)
        back = warp(there.reshape(-1, 2), end, 0.5).cpu()
        errors.append((back - centres).norm(dim=1) / PIXEL)
        bending.append(
            _second_differences(there.cpu().double() * coarse.half_extent) * coarse.half_extent**2
        )
    error, determinant = torch.cat(errors), torch.cat(determinants)
    return {
        "inverse_error_px": float(error.mean()),
        "inverse_error_max_px": float(error.max()),
        **_folds(determinant),
        "bending_energy": float(sum(bending) / 2),
    }


def fold_over(warp: Warp, frame: Frame) -> dict[str, float]:
    """``fold_over_percent`` and ``min_determinant`` of the half-way maps alone, as ``map_quality``
    has them.
    """
    maps = [dense_map(warp, frame, 0.5, end).cpu().double() for end in (0.0, 1.0)]
    return _folds(
        torch.cat([map_determinants(one).flatten() for one in maps]) * frame.half_extent**2
    )


def _folds(determinant: Tensor) -> dict[str, float]:
    return {
        "fold_over_percent": float((determinant <= 0).double().mean() * 100),
        "min_determinant": float(determinant.min()),
    }


def _second_differences(positions: Tensor) -> float:
    """Mean of |H|_F^2 for positions ``(H, W, 2)`` in cells, over both outputs."""
    along_x = positions[1:-1, 2:] - 2 * positions[1:-1, 1:-1] + positions[1:-1, :-2]
    along_y = positions[2:, 1:-1] - 2 * positions[1:-1, 1:-1] + positions[:-2, 1:-1]
    mixed = (positions[2:, 2:] - positions[2:, :-2] - positions[:-2, 2:] + positions[:-2, :-2]) / 4
    return float((along_x.square() + along_y.square() + 2 * mixed.square()).sum(-1).mean().detach())


def _mean_distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().norm(dim=1).mean()) / PIXEL
