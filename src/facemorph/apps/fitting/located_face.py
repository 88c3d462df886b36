"""A face in a photograph: its picture and landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from facemorph.faces.checks.face_cut import say_on_white
from facemorph.faces.detection import make_detector
from facemorph.faces.landmark_schemes import named_part, to_ibug68
from facemorph.faces.pair import locate_face
from facemorph.faces.types import LandmarkDetector
from facemorph.ops.frames import Frame

# Whose landmarks a file's scheme is: hand-made templates have offsets of their own, other files
# have none.
OF_SCHEME = {"frll189": "frll189"}


@dataclass(frozen=True)
class LocatedFace:
    """A photograph with the landmarks of its face.

    Attributes:
        image: ``(3, H, W)`` in [0, 1].
        landmarks: ``(68, 2)`` iBUG landmarks, float32 pixels.
        source: Whose they are: a detector's name, ``frll189`` for templates, or ``file``.
        name: What to call the photograph.
    """

    image: Tensor
    landmarks: Tensor
    source: str
    name: str

    @property
    def frame(self) -> Frame:
        """The photograph's frame."""
        return Frame.of(self.image)


def locate(
    picture: str | Path | Tensor,
    points: str | Path | None = None,
    detector: str | LandmarkDetector = "embedded",
    name: str = "picture",
    source: str | None = None,
) -> LocatedFace:
    """A photograph and the landmarks of its face.

    Args:
        picture: A file, or ``(3, H, W)`` in [0, 1].
        points: Its landmark file; None lets the detector find them.
        detector: A detector or its name.
        name: What to call a picture that is no file.
        source: Name of a detector that is given as an object; ``embedded`` when None.

    Raises:
        FacemorphError: The picture or its landmarks are at fault.
    """
    find = (
        None
        if points is not None
        else make_detector(detector)
        if isinstance(detector, str)
        else detector
    )
    image, found, scheme = locate_face(picture, points, find, name)
    say_on_white(picture)
    source = source or (detector if isinstance(detector, str) else "embedded")
    if points is not None:
        source = OF_SCHEME.get(named_part(scheme), "file")
    label = name if isinstance(picture, Tensor) else str(picture)
    return LocatedFace(image, to_ibug68(found, scheme).float(), source, label)
