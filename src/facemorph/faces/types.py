"""What a detector returns, and the protocol it follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Face:
    """One face in a picture.

    Attributes:
        box: ``(4,)`` x0, y0, x1, y1 in pixels (0 at the left/top edge of the picture).
        score: Confidence in [0, 1]; 1 for points that came from a file.
        points: ``(K, 2)`` landmarks in pixels, x right and y down, 0 at the edge, pixel centres at
            i + 0.5.
        scheme: Name of the landmark scheme: ``ibug68``, ``frll189``, or ``points<K>`` for an
            unknown one.
        disagreement: Mean distance of the landmarks found in the picture and in its mirror image,
            as a share of their extent; None where a detector does not look twice.
    """

    box: Tensor
    score: float
    points: Tensor
    scheme: str
    disagreement: float | None = None


class LandmarkDetector(Protocol):
    """Finds the faces of an image, best first.

    A detector never raises for a picture without a face: it returns an empty list.
    """

    def __call__(self, image: Tensor) -> list[Face]:
        """Faces of ``image`` (3, H, W) in [0, 1]."""
        ...
