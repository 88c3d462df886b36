"""Whether the landmarks of a file lie on a face of their picture: they may be those of another
picture, or of another size of it.
"""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.faces.box_detection import BoxDetector
from facemorph.faces.landmark_schemes import eye_centres

FARTHEST = 0.35  # of the eyes from the detector's, in the distance of its eyes (0.11 in FRLL)
COUNTS = {"iBUG": 68, "FRLL": 189}
FEW = 2  # points that somebody lost or doubled

logger = logging.getLogger(__name__)


def say_misplaced(image: Tensor, points: Tensor, scheme: str, file: str, picture: str) -> None:
    """Warn of landmarks that lie beside the faces of their picture; they are used all the same.

    Nothing is said where no face is found, as in drawings, or where the scheme has no eyes.

    Args:
        image: ``(3, H, W)`` in [0, 1].
        points: ``(K, 2)`` landmarks in pixels.
        scheme: Their scheme.
        file: The landmark file.
        picture: What to call the picture.
    """
    try:
        eyes = torch.stack(list(eye_centres(points, scheme))).detach().double()
    except DataError:
        _say_count(len(points), file)
        return
    nearest: tuple[float, Tensor] | None = None
    for face in _detector()(image):
        own = face.keypoints[:2].double()
        apart = float((own[1] - own[0]).norm().clamp_min(1e-6))
        away = float((eyes - own).norm(dim=1).mean()) / apart
        if nearest is None or away < nearest[0]:
            nearest = away, own
    if nearest is not None and nearest[0] > FARTHEST:
        logger.warning(
            "%s: these landmarks are not on the face in %s: their eyes are at %s, its eyes at %s. "
            "Maybe they belong to another size or cut of the picture, or count in percent.",
            file,
            picture,
            _places(eyes),
            _places(nearest[1]),
        )


def _say_count(count: int, file: str) -> None:
    for name, usual in COUNTS.items():
        if 0 < abs(count - usual) <= FEW:
            logger.warning(
                "%s: %d points, and %s has %d: if they are these, some are missing or doubled, and "
                "without it nothing is known of eyes and mouth.",
                file,
                count,
                name,
                usual,
            )
        elif count == 2 * usual:
            logger.warning(
                "%s: %d points, twice the %d of %s: if they are two faces, keep one of them.",
                file,
                count,
                usual,
                name,
            )


@cache
def _detector() -> BoxDetector:
    return BoxDetector()


def _places(points: Tensor) -> str:
    return " and ".join(f"({x:.0f}, {y:.0f})" for x, y in points.tolist())
