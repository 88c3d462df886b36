"""Where a scan lies in ImFace's space: its landmarks turn and shift it, and say in which unit it
is.

Unit: 1 is 100 mm. The tip of the nose (landmark 30) is at (0, 0, 0.4) and +z looks at the viewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.fitting.scan_fit import similarity_between
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_arrays import FACESCAPE
from facemorph.ops.rotations import nearest_rotation

UNIT = 100.0  # millimetres
NOSE, NOSE_PLACE = 30, (0.0, 0.0, 0.4)
UNITS = {"mm": 1.0, "cm": 0.1, "m": 0.001}  # of a scan for a millimetre
UNIT_SLACK = 1.3  # a face may be this much larger or smaller than the mean one
GIVEN_SLACK = 2.0  # the same where the unit is given: children, sculptures
FEWEST_LANDMARKS = 4
LARGEST_MISFIT = 20.0  # millimetres that landmarks may be beside those of the mean head
OUTLIER = 3.0


@dataclass(frozen=True)
class Placement:
    """How points of a scan come to ImFace's space: turned, scaled and shifted.

    Attributes:
        rotation: ``(3, 3)``.
        shift: ``(3,)`` in ImFace's unit, after the turn.
        unit: How many of the scan's units a millimetre is.
    """

    rotation: Tensor
    shift: Tensor
    unit: float

    def into(self, points: Tensor) -> Tensor:
        """Points of the scan ``(N, 3)`` in ImFace's space."""
        return points @ self.rotation.T / (UNIT * self.unit) + self.shift

    def back(self, points: Tensor) -> Tensor:
        """Points of ImFace's space ``(N, 3)`` in the scan's own place and unit."""
        return (points - self.shift) @ self.rotation * (UNIT * self.unit)


@cache
def mean_landmarks() -> Tensor:
    """The 68 landmarks ``(68, 3)`` of the embedded head, millimetres."""
    model = load_makehuman()
    return model.landmarks(model.mean[None])[0]


def size_of_face(landmarks: Tensor) -> float:
    """How many times as large as the mean face, in millimetres, a face is.

    Args:
        landmarks: ``(68, 3)``; rows of NaN where one is missing.
    """
    known = torch.isfinite(landmarks).all(1)
    return float(similarity_between(mean_landmarks()[known], landmarks[known])[0])


def unit_of_size(size: float) -> str | None:
    """The unit in which a face of that size is one; None where there is none.

    Args:
        size: See ``size_of_face``.
    """
    name = min(UNITS, key=lambda unit: abs(math.log(size / UNITS[unit])))
    return name if 1 / UNIT_SLACK <= size / UNITS[name] <= UNIT_SLACK else None


def guess_unit(landmarks: Tensor) -> tuple[str, float]:
    """The unit of a scan by the size of its face: its name and how many of it a millimetre is.

    Args:
        landmarks: ``(68, 3)``; rows of NaN where one is missing.

    Raises:
        GeometryError: The face is too large or too small for millimetres, centimetres and metres.
    """
    size = size_of_face(landmarks)
    name = unit_of_size(size)
    if name is None:
        raise GeometryError(
            "this scan is in no known unit",
            where="landmarks",
            expected="a face in mm, cm or m",
            found=f"a face {size:.3g} times as large as one in mm",
            remedy="Give the unit, or scale the scan.",
        )
    return name, UNITS[name]


def place_scan(landmarks: Tensor, unit: float | None = None) -> Placement:
    """How a scan is turned, shifted and scaled into ImFace's space.

    Turned by its landmarks onto those of the embedded head; the size stays what it is. Where the
    tip of the nose is missing, it is taken to be where the other landmarks have it on that head.

    Args:
        landmarks: ``(68, 3)`` in the scan's unit; rows of NaN where one is missing.
        unit: How many of it a millimetre is; None guesses.

    Raises:
        GeometryError: The landmarks are too few, mirrored or not those of a face; the unit is
            unknown or not the given one.
    """
    known = torch.isfinite(landmarks).all(1)
    if int(known.sum()) < FEWEST_LANDMARKS:
        raise GeometryError(
            "too few landmarks on the scan",
            where="landmarks",
            expected=f"at least {FEWEST_LANDMARKS} of 68",
            found=int(known.sum()),
            remedy="Give a file of its landmarks, nan for missing ones.",
        )
    template = mean_landmarks()
    size, rotation, _ = similarity_between(landmarks[known], template[known])
    _check_shape(landmarks)
    if unit is None:
        unit = guess_unit(landmarks)[1]
    elif not 1 / GIVEN_SLACK <= 1 / size / unit <= GIVEN_SLACK:
        own, mean = (float(torch.pdist(points[known]).max()) for points in (landmarks, template))
        raise GeometryError(
            "this scan is not in the given unit",
            where="unit",
            expected=f"landmarks about {mean:.0f} mm apart at most",
            found=f"{own / unit:.4g} mm",
            remedy="Leave --unit out, or give another one.",
        )
    nose = landmarks[NOSE]
    if not bool(known[NOSE]):
        scale, turn, shift = similarity_between(template[known], landmarks[known])
        nose = scale * turn @ template[NOSE] + shift
    return Placement(
        rotation, landmarks.new_tensor(NOSE_PLACE) - rotation @ nose / (UNIT * unit), unit
    )


def check_not_mirrored(landmarks: Tensor, where: str | Path = "landmarks") -> None:
    """See that landmarks ``(68, 3)``, NaN where one is missing, are not those of a mirror image.

    Raises:
        GeometryError: They are.
    """
    misfit, mirrored = _misfits(landmarks)
    if mirrored < misfit / 2:
        raise GeometryError(
            "this scan is mirrored",
            where=where,
            expected=f"{mirrored:.1f} mm beside a mean face, as its mirror image",
            found=f"{misfit:.1f} mm",
            remedy="Negate one axis of the scan and its landmarks, or number the landmarks from "
            "the "
            "other side.",
        )


def _misfits(landmarks: Tensor) -> tuple[float, float]:
    """Millimetres that landmarks are beside those of a mean face in the mean, as they are and
    mirrored, in any size.
    """
    known = torch.isfinite(landmarks).all(1)
    a, b = (
        points[known].double() - points[known].double().mean(0)
        for points in (landmarks, mean_landmarks())
    )
    sizes = nearest_rotation(b.T @ a)[1]
    left, allowed = (
        max(0.0, float(b.square().sum() - total.square() / a.square().sum())) / len(b)
        for total in (sizes.sum(), sizes.abs().sum())
    )
    return math.sqrt(left), math.sqrt(allowed)


def _check_shape(landmarks: Tensor) -> None:
    """See that landmarks are those of a face and not of its mirror image; size does not matter.

    Raises:
        GeometryError: They are not.
    """
    check_not_mirrored(landmarks)
    misfit, _ = _misfits(landmarks)
    if misfit > LARGEST_MISFIT:
        raise GeometryError(
            "these landmarks are not those of a face",
            where="landmarks",
            expected=f"up to {LARGEST_MISFIT:g} mm beside a mean face",
            found=f"{misfit:.1f} mm",
            remedy="Check their order: the 68 of iBUG. Places that come from vertex numbers need "
            f"the list of the mesh's own topology; {FACESCAPE}.",
        )


def without_outliers(landmarks: Tensor) -> Tensor:
    """Landmarks ``(68, 3)`` with NaN in the rows that do not fit the others.

    What is read off a depth map at a landmark on an outline may be the cheek before it or the
    shoulder behind it. In each round the farthest one goes that is more than ``OUTLIER`` times the
    median, and more than ``LARGEST_MISFIT``, from where the mean head has it when it is laid on the
    others.
    """
    kept = torch.where(torch.isfinite(landmarks).all(1, keepdim=True), landmarks, torch.nan)
    template = mean_landmarks()
    while int((known := torch.isfinite(kept).all(1)).sum()) > FEWEST_LANDMARKS:
        size, rotation, shift = similarity_between(template[known], kept[known])
        gap = (size * template @ rotation.T + shift - kept).norm(dim=1) / size
        worst = int(gap.nan_to_num(nan=-1).argmax())
        if float(gap[worst]) <= max(LARGEST_MISFIT, OUTLIER * float(gap[known].median())):
            break
        kept[worst] = torch.nan
    return kept


def align_scan(mesh: Mesh, landmarks: Tensor, unit: float | None = None) -> tuple[Mesh, Tensor]:
    """A scan and its landmarks ``(68, 3)`` in ImFace's space, by ``place_scan``.

    Raises:
        GeometryError: The landmarks determine no pose, or the unit is unknown.
    """
    placement = place_scan(landmarks, unit)
    return Mesh(placement.into(mesh.vertices), mesh.faces), placement.into(landmarks)


def in_millimetres(mesh: Mesh) -> Mesh:
    """A mesh of ImFace's space in millimetres."""
    return Mesh(mesh.vertices * UNIT, mesh.faces)
