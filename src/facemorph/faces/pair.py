"""Photographs made ready for a morph: faces found, cut to one frame, landmarks checked."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph.errors import ConfigError, DataError, FacemorphError
from facemorph.faces.agreement import PictureSize, say_disagreements, say_scaled
from facemorph.faces.alignment import (
    AlignedFace,
    PortraitCut,
)
from facemorph.faces.checks.common_cut import FacePlace, common_cut, say_tight_cut
from facemorph.faces.checks.face_cut import cut_alpha, cut_face
from facemorph.faces.checks.inputs import check_landmarks, check_picture, say_failures
from facemorph.faces.checks.placement import say_misplaced
from facemorph.faces.checks.plausibility import say_implausible
from facemorph.faces.detection import find_face, make_detector
from facemorph.faces.face_input import FaceInput
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import check_pair, read_points
from facemorph.faces.types import LandmarkDetector
from facemorph.ops.frames import Frame

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FacePair:
    """Two pictures in one frame and their corresponding landmarks.

    Attributes:
        image_a: ``(3, H, W)`` in [0, 1].
        image_b: ``(3, H, W)``, the same size.
        points_a: ``(P, 2)`` float64 pixels of the frame.
        points_b: ``(P, 2)``.
        scheme: Landmark scheme of both.
        alpha_a: ``(1, H, W)``, how opaque the first picture is; None as of ``PreparedFace``.
        alpha_b: The same of the second.
    """

    image_a: Tensor
    image_b: Tensor
    points_a: Tensor
    points_b: Tensor
    scheme: str
    alpha_a: Tensor | None = None
    alpha_b: Tensor | None = None

    @property
    def frame(self) -> Frame:
        """The common frame."""
        return Frame.of(self.image_a)

    @property
    def source(self) -> Tensor:
        """Landmarks of the first face in field coordinates ``(P, 2)``."""
        return self.frame.from_pixels(self.points_a)

    @property
    def target(self) -> Tensor:
        """Landmarks of the second face in field coordinates ``(P, 2)``."""
        return self.frame.from_pixels(self.points_b)


@dataclass(frozen=True)
class PreparedFace:
    """A picture and its landmarks.

    Attributes:
        image: ``(3, H, W)`` in [0, 1].
        points: ``(P, 2)`` float64 pixels of the picture.
        scheme: Landmark scheme of the points.
        alpha: ``(1, H, W)`` in [0, 1], how opaque the picture is, which is then shown on white;
            None for an opaque one, and where transparency is not kept.
    """

    image: Tensor
    points: Tensor
    scheme: str
    alpha: Tensor | None = None

    @property
    def frame(self) -> Frame:
        """The picture's frame."""
        return Frame.of(self.image)


def prepare_pair(
    a: FaceInput | str | Path | Tensor,
    b: str | Path | Tensor | None = None,
    *,
    points_a: str | Path | None = None,
    points_b: str | Path | None = None,
    **options: Any,
) -> FacePair:
    """Load, find, check and cut both faces.

    Args:
        a: First picture: a file, or ``(3, H, W)`` in [0, 1]; or a ``FaceInput`` of both, and
            nothing else.
        b: Second picture.
        points_a: Landmark file of the first picture, in its pixels; found by the detector when
            None.
        points_b: Landmark file of the second picture.
        options: Further fields of ``FaceInput``.

    Raises:
        ImageError: A picture cannot be read.
        NoFaceFound: A picture shows no face.
        GeometryError: Landmarks are not finite, outside of the picture, on one line or mostly
            coincident.
        DataError: The landmarks of the two do not correspond.
        ConfigError: ``align`` or ``size`` is none of the possible ones.
    """
    given = a
    if not isinstance(given, FaceInput):
        given = FaceInput([given, b], [points_a, points_b], **options)  # type: ignore[list-item]
    first, second = prepare_faces(given)
    return _paired(first, second)


def pair_faces(
    a: PreparedFace, b: PreparedFace, label_a: str = "first face", label_b: str = "second face"
) -> FacePair:
    """Two faces that are prepared already as a pair.

    Args:
        a: First face.
        b: Second face.
        label_a: What to call the first in messages, usually its file.
        label_b: The same for the second.

    Raises:
        DataError: Their landmarks do not correspond.
        ConfigError: Their pictures differ in shape.
    """
    _check_correspondence((a.points, a.scheme), (b.points, b.scheme), label_a, label_b)
    _check_shapes(a, b, label_a, label_b)
    return _paired(a, b)


def _paired(a: PreparedFace, b: PreparedFace) -> FacePair:
    return FacePair(a.image, b.image, a.points, b.points, a.scheme, a.alpha, b.alpha)


def prepare_faces(
    pictures: FaceInput | Sequence[str | Path | Tensor], **options: Any
) -> list[PreparedFace]:
    """Load, find, check and cut any number of faces, as ``prepare_pair`` does with two.

    Args:
        pictures: The photographs and how they are read, or the photographs alone.
        options: Further fields of ``FaceInput``, for photographs alone.

    Returns:
        The faces in the given order, all in one frame and with one landmark scheme.

    Raises:
        FacemorphError: As ``prepare_pair``; ``DataError`` also where there is no picture.
    """
    given = pictures if isinstance(pictures, FaceInput) else FaceInput(pictures, **options)
    return prepare_numbered_faces(given)[0]


def prepare_numbered_faces(given: FaceInput) -> tuple[list[PreparedFace], list[int]]:
    """The faces of ``prepare_faces``, and the places of their photographs among those given: with
    ``skip_failed`` some are left out.

    Args:
        given: The photographs.

    Raises:
        FacemorphError: As ``prepare_faces``.
    """
    pictures = given.pictures
    files = given.landmark_files
    if not pictures or len(files) != len(pictures):
        raise DataError(
            "no pictures, or not as many landmark files as pictures",
            where="pictures",
            expected="at least one picture",
            found=f"{len(pictures)} and {len(files)}",
        )
    find = _detector(given) if None in files else None
    names = [f"picture {index + 1}" for index in range(len(pictures))]
    labels = [
        _label(file or picture, name)
        for picture, file, name in zip(pictures, files, names, strict=True)
    ]
    faces: list[PreparedFace] = []
    used: list[str] = []
    places: list[FacePlace] = []
    numbers: list[int] = []
    sizes: list[PictureSize] = []
    failed: list[FacemorphError] = []
    rows = enumerate(zip(pictures, files, names, labels, strict=True))
    for number, (picture, file, name, label) in rows:
        try:
            image, found, scheme = locate_face(picture, file, find, name)
            if faces:  # what fits no other face need not be cut
                _check_correspondence(
                    (faces[0].points, faces[0].scheme), (found, scheme), used[0], label
                )
            cut = cut_face(given.align, image, found, scheme, given.size)
            alpha = cut_alpha(picture, cut, keep=given.keep_alpha)
            face = PreparedFace(cut.image, cut.points.double(), scheme, alpha)
            _check_shapes(faces[0] if faces else face, face, used[0] if used else label, label)
        except ConfigError:
            raise  # it is no picture's fault
        except FacemorphError as error:
            failed.append(error)
            continue
        faces.append(face)
        used.append(label)
        numbers.append(number)
        places.append(FacePlace(Frame.of(image), found, scheme))
        sizes.append(PictureSize(_label(picture, name), Frame.of(image), cut.matrix))
    say_failures(failed, len(pictures), skip=given.skip_failed and bool(faces))
    shown = [size.label for size in sizes]  # the pictures, where no landmark file is at fault
    if given.align == "portrait" and len(faces) > 1:
        say_tight_cut(places, shown)
        if (common := common_cut(places)) is not None:
            for row, (number, place) in enumerate(zip(numbers, places, strict=True)):
                faces[row], matrix = cut_again(
                    pictures[number], place, given.size, common, given.keep_alpha
                )
                sizes[row] = replace(sizes[row], matrix=matrix)
    say_disagreements(
        [(face.points, face.scheme) for face in faces], shown, turned=not given.frontal
    )
    say_scaled(sizes, given.size)
    return faces, numbers


def cut_again(
    picture: str | Path | Tensor,
    place: FacePlace,
    size: int,
    common: PortraitCut,
    keep_alpha: bool = False,
) -> tuple[PreparedFace, Tensor]:
    """A face cut once more, as it has to be beside others, and the matrix of the cut.

    The photograph is read anew: of many, not all fit in memory.

    Args:
        picture: A file, or ``(3, H, W)`` in [0, 1].
        place: Its face, which was found before.
        size: Longer side of the frame in pixels.
        common: What it has in common with the others.
        keep_alpha: Cut its transparency too.
    """
    image = _read(picture, "picture")
    cut = cut_face("portrait", image, place.points, place.scheme, size, common)
    alpha = cut_alpha(picture, cut, keep=True) if keep_alpha else None
    return PreparedFace(cut.image, cut.points.double(), place.scheme, alpha), cut.matrix


def prepare_face(
    image: str | Path | Tensor, *, points: str | Path | None = None, **options: Any
) -> AlignedFace:
    """Load and cut one face, as ``prepare_pair`` does with two; with ``align="none"`` it needs no
    face.

    Args:
        image: A file, or ``(3, H, W)`` in [0, 1].
        points: Its landmark file; found by the detector when None.
        options: Further fields of ``FaceInput``.

    Raises:
        FacemorphError: As ``prepare_pair``.
    """
    given = FaceInput([image], **options)
    if given.align == "none" and points is None:
        loaded = image if isinstance(image, Tensor) else load_image(image)
        none = torch.zeros(0, 2, dtype=torch.float64)
        return cut_face("none", loaded, none, "points0", given.size)
    find = _detector(given) if points is None else None
    return cut_face(given.align, *locate_face(image, points, find, "picture"), given.size)


def _detector(given: FaceInput) -> LandmarkDetector:
    if isinstance(given.detector, str):
        return make_detector(given.detector, min_score=given.min_score)
    return given.detector


def _check_correspondence(
    a: tuple[Tensor, str], b: tuple[Tensor, str], label_a: str, label_b: str
) -> None:
    """Check that the points and schemes of two faces correspond; the message names both files."""
    try:
        check_pair(a, b)
    except DataError as error:
        raise DataError(
            error.what,
            where=f"{label_a} and {label_b}",
            expected=error.expected,
            found=error.found,
            remedy="Give both faces points of one kind: by one detector, or in one scheme.",
        ) from error


def _check_shapes(a: PreparedFace, b: PreparedFace, label_a: str, label_b: str) -> None:
    if a.image.shape != b.image.shape:
        raise ConfigError(
            "pictures of different shapes have no common frame",
            where="align",
            expected=f"{tuple(a.image.shape[1:])} as {label_a}",
            found=f"{tuple(b.image.shape[1:])} of {label_b}",
            remedy="Use align=portrait, which cuts the same square out of all.",
        )


def locate_face(
    picture: str | Path | Tensor,
    points_file: str | Path | None,
    detector: LandmarkDetector | None,
    name: str,
) -> tuple[Tensor, Tensor, str]:
    """A picture ``(3, H, W)``, its landmarks ``(P, 2)`` float64 in pixels, and their scheme.

    Args:
        picture: A file, or ``(3, H, W)`` in [0, 1].
        points_file: Its landmark file; None lets the detector find them.
        detector: The detector; the embedded one when None.
        name: What to call the picture in messages.

    Raises:
        FacemorphError: As ``prepare_pair``.
    """
    image = _read(picture, name)
    if points_file is not None:
        file = None if isinstance(picture, Tensor) else picture
        points, scheme = read_points(points_file, Frame.of(image), file)
        check_landmarks(points, Frame.of(image), f"points of {points_file}")
        say_implausible(points, scheme, str(points_file))
        say_misplaced(image, points, scheme, str(points_file), _label(picture, name))
    else:
        face = find_face(image, detector, name=_label(picture, name))
        points, scheme = face.points, face.scheme
    return image, points.double(), scheme


def _read(picture: str | Path | Tensor, name: str) -> Tensor:
    return check_picture(picture, name) if isinstance(picture, Tensor) else load_image(picture)


def _label(picture: str | Path | Tensor, name: str) -> str:
    return name if isinstance(picture, Tensor) else str(picture)
