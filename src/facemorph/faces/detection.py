"""Landmark detectors behind one protocol, and the choice of the face that an application
works on.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph.errors import ConfigError, NoFaceFound
from facemorph.faces.alignment import apply_affine, crop, square_crop_matrix
from facemorph.faces.box_detection import BoxDetector
from facemorph.faces.checks.plausibility import Implausible, implausibility, roll_of
from facemorph.faces.embedded_networks import face_landmarks
from facemorph.faces.landmark_schemes import MIRROR68
from facemorph.faces.optional_detectors import DlibDetector, FaceAlignmentDetector, FileDetector
from facemorph.faces.types import Face, LandmarkDetector
from facemorph.ops.shapes import check_shape

logger = logging.getLogger(__name__)

DETECTORS = ("embedded", "face_alignment", "dlib", "file")
TINY_FACE_PIXELS = 40  # side of a box below which landmarks are a guess
LYING = 60.0  # degrees in the picture's plane from which a head lies
UPRIGHT = 45.0  # up to which it is upright
# On their side heads are found rightly. Upside down they were taken for upright ones, with scores
# up to 0.80; upright heads have 0.85 and more, turned to the side 0.76: below, the picture is
# turned too, and what is surer wins.
DOUBTFUL, SURER = 0.85, 0.05
TURNS = {  # by quarters against the clock
    2: ("be upside down", "by half"),
    1: ("lie on its side", "a quarter against the clock"),
    3: ("lie on its side", "a quarter with the clock"),
}
GIVE = "its points with --points FILE (of a pair: --points-a)"


class EmbeddedDetector:
    """Detector and 68 landmarks from the weights that come with the package: no download, no extra
    package.

    The landmarks are found in a levelled square around the box, once more in the square around the
    landmarks themselves, and each time averaged with those of the mirrored crop.

    Args:
        min_score: Least confidence in (0, 1]; 0.7 as measured, see :class:`BoxDetector`.
        tile: Search tiles of the picture where no face, or only a small one, is found.
        device: Where the networks run.

    Raises:
        ConfigError: ``min_score`` is not in (0, 1].
    """

    first_scale = 1.25  # square of the first pass in units of the box
    second_scale = 1.3  # of the second pass, in units of the extent of the landmarks

    def __init__(self, min_score: float = 0.7, *, tile: bool = True, device: str = "cpu") -> None:
        if not 0 < min_score <= 1:
            raise ConfigError(
                "min_score out of range", expected="a number in (0, 1]", found=min_score
            )
        self.boxes = BoxDetector(min_score, tile=tile, device=device)
        self.device = device

    def __call__(self, image: Tensor) -> list[Face]:
        """Faces of ``image`` (3, H, W) in [0, 1], best first."""
        found = []
        for detection in self.boxes(image):
            points, _ = self._landmarks(
                image, detection.center, detection.side * self.first_scale, detection.roll
            )
            points, apart = self._landmarks(image, *self._extent(points))
            found.append(Face(detection.box, detection.score, points, "ibug68", apart))
        return found

    def best_score(self, image: Tensor) -> float:
        """Confidence of the best candidate, however low."""
        return self.boxes.best_score(image)

    def follow(self, image: Tensor, before: Face) -> Face:
        """The same face in the next frame, from where it was: without the search for boxes, in a
        fifth of the time. Whether it is still there is for ``implausibility`` to say.

        Args:
            image: ``(3, H, W)`` in [0, 1].
            before: What was found in the frame before, by this detector.
        """
        points, apart = self._landmarks(image, *self._extent(before.points))
        moved = points.mean(0) - before.points.mean(0)
        return Face(before.box + moved.repeat(2), before.score, points, "ibug68", apart)

    @torch.no_grad()
    def _landmarks(
        self, image: Tensor, center: Tensor, side: float, angle: float
    ) -> tuple[Tensor, float]:
        """Landmarks ``(68, 2)`` in pixels of the face in a square of the picture, and how far those
        of its mirror image lie apart from them, as a share of their extent.
        """
        network = face_landmarks(self.device)
        matrix = square_crop_matrix(center, side, angle, network.input_size)
        patch = crop(image.detach().to(self.device, torch.float32), matrix, network.input_size)[
            None
        ]
        plain, mirrored = network(torch.cat([patch, patch.flip(-1)])).cpu()
        mirrored = mirrored[list(MIRROR68)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
        extent = (plain.amax(0) - plain.amin(0)).max().clamp_min(1e-6)
        apart = float((plain - mirrored).norm(dim=1).mean() / extent)
        return apply_affine((plain + mirrored) / 2 * network.input_size, matrix), apart

    def _extent(self, points: Tensor) -> tuple[Tensor, float, float]:
        """Centre, side and angle of the second square: the eye-levelled bounding square,
        enlarged.
        """
        delta = points[42:48].mean(0) - points[36:42].mean(0)
        angle = math.atan2(float(delta[1]), float(delta[0]))
        cos, sin = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[cos, sin], [-sin, cos]])
        level = points @ turn.T
        low, high = level.amin(0), level.amax(0)
        return (low + high) / 2 @ turn, float((high - low).max()) * self.second_scale, angle


def make_detector(name: str = "embedded", **options: Any) -> LandmarkDetector:
    """A detector by its name.

    Args:
        name: ``embedded`` (:class:`EmbeddedDetector`), ``face_alignment``, ``dlib`` or ``file``
            (see :mod:`facemorph.faces.optional_detectors`).
        options: Arguments of its class; None leaves the class its own value.

    Raises:
        ConfigError: There is no such detector, or it has no such option.
        MissingExtra: Its package or its weights are not there.
    """
    classes = dict(
        zip(
            DETECTORS,
            (EmbeddedDetector, FaceAlignmentDetector, DlibDetector, FileDetector),
            strict=True,
        )
    )
    if name not in classes:
        raise ConfigError(
            "unknown landmark detector", expected=f"one of {', '.join(DETECTORS)}", found=name
        )
    try:
        return classes[name](**{key: value for key, value in options.items() if value is not None})
    except TypeError as error:
        raise ConfigError(
            f"wrong options for the detector {name}: {error}", found=sorted(options)
        ) from error


def plausible_faces(image: Tensor, detector: LandmarkDetector) -> list[Face]:
    """The faces that a detector finds, without those whose landmarks cannot be a face's.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        detector: The detector; points of a file are not judged.

    Returns:
        The faces, best first.
    """
    return [face for face, reason in judged_faces(image, detector) if reason is None]


def judged_faces(
    image: Tensor, detector: LandmarkDetector
) -> list[tuple[Face, Implausible | None]]:
    """All faces that a detector finds, and what speaks against each.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        detector: The detector; points of a file are not judged.

    Returns:
        The faces, best first, each with why its landmarks cannot be a face's, or None.
    """
    faces = detector(image)
    if isinstance(detector, FileDetector):
        return [(face, None) for face in faces]
    return [
        (face, implausibility(face.points, face.scheme, face.box, face.disagreement))
        for face in faces
    ]


def find_face(
    image: Tensor,
    detector: LandmarkDetector | None = None,
    *,
    name: str | Path = "image",
    choose: str = "largest",
) -> Face:
    """The one face of a picture that an application works on.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        detector: The detector; the embedded one by default.
        name: What to call the picture in messages, usually its file.
        choose: ``largest``: of several faces, the one with the largest side times score, and a
            logged warning; ``only``: several faces are an error.

    Returns:
        The face. Its landmarks may lie outside of the picture where the picture cuts the face
        (logged).

    Raises:
        NoFaceFound: There is no face, its landmarks cannot be a face's, or there are several and
            ``choose`` is ``only``. Where the picture turned by quarters shows one, it says so.
        ConfigError: ``choose`` is neither.
    """
    check_shape(image, "3 H W", "image")
    if choose not in ("largest", "only"):
        raise ConfigError("unknown way to choose a face", expected="largest or only", found=choose)
    detector = detector or EmbeddedDetector()
    judged = judged_faces(image, detector)
    faces = [face for face, reason in judged if reason is None]
    if not faces:
        raise _lying_face(image, detector, name) or (
            _refused(judged, name) if judged else _no_face(image, detector, name)
        )
    if len(faces) > 1 and choose == "only":
        raise NoFaceFound(
            "several faces found",
            where=name,
            expected="one face",
            found=len(faces),
            remedy="Crop the picture to one face",
        )
    face = max(faces, key=lambda one: _side(one) * one.score)
    if len(faces) > 1:
        logger.warning(
            "%s: %d faces found; the largest is used, at (%.0f, %.0f). Crop for another.",
            name,
            len(faces),
            *face.points.mean(0).tolist(),
        )
    if face.score < DOUBTFUL and abs(roll_of(face.points, face.scheme) or 0.0) <= LYING:
        lying = _lying_face(image, detector, name, face.score + SURER)
        if lying is not None:
            raise lying
    _warn_about(face, image, name)
    return face


def _side(face: Face) -> float:
    return float((face.box[2:] - face.box[:2]).max())


def _lying_face(
    image: Tensor, detector: LandmarkDetector, name: str | Path, least: float = 0.0
) -> NoFaceFound | None:
    """The error where the picture turned by quarters shows an upright face of at least this score;
    None where it does not.
    """
    best: tuple[float, int] | None = None
    for quarters in TURNS:
        for face in plausible_faces(image.rot90(quarters, (1, 2)), detector):
            upright = abs(roll_of(face.points, face.scheme) or 0.0) < UPRIGHT
            if upright and face.score >= least and (best is None or face.score > best[0]):
                best = face.score, quarters
    if best is None:
        return None
    how, turn = TURNS[best[1]]
    return NoFaceFound(
        f"the head seems to {how}",
        where=name,
        expected="an upright face",
        found=f"one in the turned picture, of score {best[0]:.2f}",
        remedy=f"Turn the photograph {turn}",
    )


def _refused(judged: Sequence[tuple[Face, Implausible | None]], name: str | Path) -> NoFaceFound:
    face, reason = max(judged, key=lambda one: _side(one[0]) * one[0].score)
    low, high = face.points.amin(0), face.points.amax(0)
    place = f"at ({float((low + high)[0]) / 2:.0f}, {float((low + high)[1]) / 2:.0f})"
    return NoFaceFound(
        "the landmarks found cannot be a face's",
        where=name,
        expected=None if reason is None else reason.expected,
        found=None if reason is None else f"{reason.found}, {place}, score {face.score:.2f}",
        remedy=f"Give {GIVE}, or use a picture with an upright, visible face",
    )


def _no_face(image: Tensor, detector: LandmarkDetector, name: str | Path) -> NoFaceFound:
    remedy = f"Give {GIVE}, or use a picture with an upright, visible face"
    if not isinstance(detector, EmbeddedDetector):
        return NoFaceFound("no face found", where=name, remedy=remedy)
    best, least = detector.best_score(image), detector.boxes.min_score
    if best >= 0.3:
        remedy = f"Try --min-score {math.floor(best * 10) / 10:.1f}, or give {GIVE}"
    return NoFaceFound(
        "no face found",
        where=name,
        expected=f"a score of at least {least:.2f}",
        found=f"{best:.2f} at best",
        remedy=remedy,
    )


def _warn_about(face: Face, image: Tensor, name: str | Path) -> None:
    roll = roll_of(face.points, face.scheme)
    if roll is not None and abs(roll) > LYING:
        logger.warning(
            "%s: the head lies in the picture, turned by %.0f degrees: turn the photograph.",
            name,
            roll,
        )
    height, width = image.shape[1:]
    outside = ((face.points < 0) | (face.points > face.points.new_tensor([width, height]))).any(-1)
    if bool(outside.any()):
        logger.warning(
            "%s: %d of %d landmarks lie outside of the picture (the face is cut by its border).",
            name,
            int(outside.sum()),
            len(outside),
        )
    if _side(face) < TINY_FACE_PIXELS:
        logger.warning(
            "%s: the face is only %.0f pixels large; its landmarks are rough.", name, _side(face)
        )
