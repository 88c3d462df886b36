"""Photographs of turned heads, turned to the front before they are morphed or averaged."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.faces.agreement import TURNED, approximate_yaw
from facemorph.faces.detection import find_face, make_detector
from facemorph.faces.face_input import FaceInput
from facemorph.faces.pair import PreparedFace
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.portraits.frontal_portrait import FrontalPortrait, mirrored_side, pose_of

STAYS = 8.0  # degrees of a turn up to which a photograph is left as it is
FAR = 50.0  # beyond which half of the face is made up
UNDONE = 2.0  # degrees that a first turn may leave; the rest is turned once more

logger = logging.getLogger(__name__)


def turned_to_front(faces: Sequence[PreparedFace], given: FaceInput) -> list[PreparedFace]:
    """The same faces, those that are turned to the side by more than 8 degrees from the front.

    The embedded head is fitted, the photograph bent with it, and what the turn uncovers is the
    mirror image of the other side. Landmarks are found anew in what was turned.

    Args:
        faces: Cut and with landmarks, of the scheme ``ibug68``.
        given: Their photographs, and how faces are found.

    Raises:
        DataError: The landmarks are of another scheme.
        NoFaceFound: A turned picture shows no face any more.
        GeometryError: Landmarks determine no pose.
    """
    labels = [f"face {number}" for number in range(1, len(faces) + 1)]
    if len(faces) == len(given.pictures):
        named = zip(given.pictures, labels, strict=True)
        labels = [label if isinstance(one, Tensor) else str(one) for one, label in named]
    for face, label in zip(faces, labels, strict=True):
        if face.scheme != "ibug68":
            raise DataError(
                "a turned photograph needs landmarks that can be found anew",
                where=label,
                expected="ibug68",
                found=face.scheme,
                remedy="Leave the landmark files out, or --frontal.",
            )
    find = given.detector
    if isinstance(find, str):
        find = make_detector(find, min_score=given.min_score)
    model = load_makehuman()
    return [_turned(face, model, find, label) for face, label in zip(faces, labels, strict=True)]


def _turned(
    face: PreparedFace, model: MorphableModel, find: LandmarkDetector, label: str
) -> PreparedFace:
    yaw = approximate_yaw(face.points)
    if abs(yaw) <= STAYS:
        return face
    if abs(yaw) > FAR:
        logger.warning(
            "%s is turned by about %.0f degrees: half of its face from the front is a guess.",
            label,
            abs(yaw),
        )
    head = pose_of(model, face.points)
    portrait = FrontalPortrait(model, face.image, head)
    name = f"{label}, turned to the front"
    yaw = 0.0
    picture = portrait.turned()
    marks = _marks(picture, find, name)
    left = pose_of(model, marks).angles[0]
    if UNDONE < abs(left) < TURNED:
        yaw = -left
        picture = portrait.turned(yaw)
        marks = _marks(picture, find, name)
    whole = mirrored_side(picture, marks, head.angles[0])
    alpha = None
    if face.alpha is not None:
        # Turned as the colours are. What is drawn anew, as the mouth, darkens the ones by as much.
        layers = torch.cat([face.alpha, torch.ones_like(face.alpha), face.alpha])
        layers = FrontalPortrait(model, layers, head).turned(yaw)
        layers = mirrored_side(layers, marks, head.angles[0])
        alpha = (layers[:1] + 1 - layers[1:2]).clamp(0, 1)
    return PreparedFace(whole, _marks(whole, find, name), "ibug68", alpha)


def _marks(picture: Tensor, find: LandmarkDetector, name: str) -> Tensor:
    return find_face(picture, find, name=name).points.double()
