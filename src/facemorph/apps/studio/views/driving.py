"""A person before a webcam who moves a photograph: frame by frame, with what was seen before."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from facemorph.apps.fitting.face_fitting import parameters_of
from facemorph.apps.heads.driven_portrait import as_shown, transfer
from facemorph.errors import DataError
from facemorph.faces.checks.plausibility import implausibility
from facemorph.faces.detection import EmbeddedDetector, plausible_faces
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.types import Face
from facemorph.geometry.fitting.landmark_calibration import detector_offsets
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.fitting.smoothing import OneEuroFilter
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.frames import Frame

LARGEST_FRAME = 1280 * 1280  # pixels
USUAL_RATE = 8.0  # frames a second, for the smoothing
CUTOFF, SPEED = 1.5, 2.0  # of the smoothing: hertz, and hertz for each unit of speed
LONGEST = 5000  # frames of a recording
SMOOTHED = ("expression", "rotation", "origin", "log_size")


@dataclass
class _Recording:
    """What was recorded so far."""

    rows: list[FaceParameters]
    begun: float


class Performer:
    """Follows one person and carries the motion over to a photograph.

    Args:
        model: The head model.
    """

    def __init__(self, model: MorphableModel) -> None:
        self._model = model
        self._detector = EmbeddedDetector(tile=False)
        self._fitter = LandmarkFitter(model, FitOptions(), detector_offsets(model, "embedded"))
        self._face: Face | None = None
        self._reference: FaceParameters | None = None
        self._smooth = OneEuroFilter(USUAL_RATE, min_cutoff=CUTOFF, beta=SPEED)
        self._recording: _Recording | None = None

    @property
    def recorded(self) -> int:
        """Frames of the recording that runs; 0 where none does."""
        return 0 if self._recording is None else len(self._recording.rows)

    def follow(self, content: bytes, source: FaceParameters) -> FaceParameters | None:
        """The photograph's head moved as the person in a frame has moved since the first one.

        Args:
            content: The frame as JPEG or PNG.
            source: The head of the photograph, one row.

        Returns:
            One row; None where the frame shows no face.

        Raises:
            DataError: The frame is no picture.
        """
        image = _frame(content)
        self._face = self._find(image)
        if self._face is None:
            return None
        marks = to_ibug68(self._face.points, self._face.scheme).float()
        fit = self._fitter(marks[None], frame=Frame.of(image))
        seen = as_shown(self._smoothed(parameters_of(fit, self._model)), self._model, "embedded")
        if self._reference is None:
            self._reference = seen
        if self._recording is not None and len(self._recording.rows) < LONGEST:
            self._recording.rows.append(seen)
        together = FaceParameters.joined([self._reference, seen])
        return transfer(source, together, self._model, "first")[1]

    def begin(self) -> None:
        """Begin a recording; its first frame is how the person looked at first."""
        rows = [] if self._reference is None else [self._reference]
        self._recording = _Recording(rows, time.perf_counter())

    def end(self) -> tuple[FaceParameters, float]:
        """The rows of the recording, and its frames per second.

        Raises:
            DataError: There is no recording, or it has fewer than two frames.
        """
        recording, self._recording = self._recording, None
        if recording is None or len(recording.rows) < 2:
            raise DataError(
                "nothing was recorded",
                where="record",
                remedy="Let the webcam run until a face is seen.",
            )
        seconds = max(time.perf_counter() - recording.begun, 1e-3)
        rate = min(max(len(recording.rows) / seconds, 1.0), 60.0)
        return FaceParameters.joined(recording.rows), rate

    def _find(self, image: Tensor) -> Face | None:
        """The face near the one before; else the largest one."""
        if self._face is not None:
            near = self._detector.follow(image, self._face)
            if implausibility(near.points, near.scheme, near.box, near.disagreement) is None:
                return near
        faces = plausible_faces(image, self._detector)
        return max(faces, key=lambda one: float((one.box[2:] - one.box[:2]).max()), default=None)

    def _smoothed(self, seen: FaceParameters) -> FaceParameters:
        flat = torch.cat([getattr(seen, name).reshape(-1) for name in SMOOTHED])
        scale = torch.ones_like(flat)
        first = seen.expression.numel() + seen.rotation.numel()
        scale[first : first + seen.origin.numel()] = 1 / 100  # pixels beside radians
        calm = self._smooth(flat * scale) / scale
        parts = calm.split([getattr(seen, name).numel() for name in SMOOTHED])
        found = {
            name: part.reshape(getattr(seen, name).shape)
            for name, part in zip(SMOOTHED, parts, strict=True)
        }
        found["expression"] = found["expression"].clamp(*self._model.expression_range)
        return replace(seen, **found)


def _frame(content: bytes) -> Tensor:
    """A frame of the page ``(3, H, W)`` in [0, 1].

    Raises:
        DataError: It is no picture, or too large.
    """
    try:
        picture = Image.open(io.BytesIO(content), formats=("JPEG", "PNG"))
        if picture.width * picture.height > LARGEST_FRAME or min(picture.size) < 16:
            raise DataError(
                "a frame of this size cannot be followed",
                where="frame",
                found=f"{picture.width} x {picture.height}",
            )
        array = np.asarray(picture.convert("RGB"))
    except DataError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise DataError(
            "a frame is no picture", where="frame", expected="JPEG or PNG", found=str(error)[:60]
        ) from error
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255
