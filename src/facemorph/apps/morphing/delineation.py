"""Delineation transfer: a template's landmarks, of any scheme, carried onto another picture."""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.faces.alignment import AlignedFace, apply_affine, invert_affine
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.fields.warps.thin_plate_flow import ThinPlateFlow
from facemorph.ops.frames import Frame

SMOOTHING = 1e-3  # detected points are noisy


def carry_landmarks(
    points: Tensor, template: AlignedFace, picture: AlignedFace, scheme: str = "ibug68"
) -> Tensor:
    """Landmarks of a template on another picture, by the flow between points that both faces have.

    Args:
        points: ``(P, 2)`` pixels of the template's picture, of any scheme.
        template: Its crop, with points that a detector has found there.
        picture: Crop of the other picture, of the same size, with points of the same detector.
        scheme: Of the detected points.

    Returns:
        ``(P, 2)`` float64 pixels of the other picture.

    Raises:
        GeometryError: No warp without folds connects both faces.
        DataError: The detector's scheme cannot be converted to ibug68.
    """
    frame = Frame.of(template.image)
    source, target = (
        frame.from_pixels(to_ibug68(face.points, scheme).double()) for face in (template, picture)
    )
    with torch.no_grad():
        warp = ThinPlateFlow(SMOOTHING).fit(source, target, frame)
        inside = apply_affine(points.double(), invert_affine(template.matrix.double()))
        carried = frame.to_pixels(warp(frame.from_pixels(inside), 0.0, 1.0))
    return apply_affine(carried, picture.matrix.double())
