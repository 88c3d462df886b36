"""The face of one person through a video: landmarks frame by frame, gaps, cuts and other people."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facemorph import console
from facemorph.errors import DataError, NoFaceFound
from facemorph.faces.box_detection import box_iou
from facemorph.faces.detection import make_detector, plausible_faces
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.video_io import numbered_frames, video_rate
from facemorph.faces.identity import IdentityEmbedding, identity_distance
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.types import Face, LandmarkDetector
from facemorph.ops.frames import Frame
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import PICTURES

LONGEST_GAP = 0.5  # seconds without a face that are bridged
JUMP = 0.15  # overlap with the box before, below which a face has jumped
THUMBNAIL = 32
CUT = 0.16  # mean change of the thumbnail that is a cut
# Distance of descriptors; video is softer than the portraits of ``faces.identity``.
OTHER_PERSON = 0.6
LONGEST = 20_000  # frames

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FaceTrack:
    """A person's face in a video.

    Attributes:
        landmarks: ``(T, 68, 2)`` iBUG landmarks in pixels; those of the last seen frame where
            ``seen`` is false.
        seen: ``(T,)`` bool: whether the face was found in the frame.
        numbers: ``(T,)`` number of the frame in the video; longer gaps are left out.
        segments: First and last-plus-one row of each piece without a cut.
        frame: Of all pictures.
        frames_per_second: Of the video.
        source: Whose the landmarks are, as ``face_fitting.LocatedFace`` has it.
        name: What to call the video.
    """

    landmarks: Tensor
    seen: Tensor
    numbers: Tensor
    segments: tuple[tuple[int, int], ...]
    frame: Frame
    frames_per_second: float
    source: str
    name: str


def read_pictures(path: str | Path) -> Iterator[tuple[int, Tensor]]:
    """Numbered pictures ``(3, H, W)`` in [0, 1] of a video, or of a folder of pictures by name.

    Raises:
        DataError: There are none, or a picture has another size than the first.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.is_file():
            raise DataError("there is no such video", where=path, remedy="Check the path.")
        for number, array in numbered_frames(path):
            yield number, torch.from_numpy(array).permute(2, 0, 1).float() / 255
        return
    files = listed(path, PICTURES)
    if not files:
        raise DataError("this folder holds no picture", where=path, expected=" ".join(PICTURES))
    size = None
    for number, file in enumerate(files):
        image = load_image(file)
        size = size or image.shape
        if image.shape != size:
            raise DataError(
                "the pictures of a video must have one size",
                where=file,
                expected=f"{size[2]} x {size[1]}",
                found=f"{image.shape[2]} x {image.shape[1]}",
            )
        yield number, image


def track_face(
    path: str | Path,
    detector: LandmarkDetector | None = None,
    *,
    source: str = "embedded",
    frames_per_second: float | None = None,
    first_segment: bool = False,
) -> FaceTrack:
    """Follow the face of one person: the largest in the first frame with any, then whoever is
    nearest.

    A cut, a jump of the face or a long gap begins a new segment, whose face must be the same
    person's.

    Args:
        path: A video, or a folder of its frames.
        detector: The detector; the embedded one by default.
        source: Its name, for the calibration.
        frames_per_second: Of a folder, 25 by default; a video says it itself.
        first_segment: Stop at the first cut.

    Raises:
        NoFaceFound: No frame shows a face.
        DataError: The video cannot be read, or shows another person after a cut; the frame is
            named.
    """
    path = Path(path)
    rate = frames_per_second or (25.0 if path.is_dir() or not path.is_file() else video_rate(path))
    tracker = _Tracker(path, detector or make_detector(), rate, first_segment)
    size = None
    with torch.no_grad():
        for number, image in console.track(read_pictures(path), f"faces of {path.name}"):
            if number >= LONGEST:
                raise DataError(
                    "this video is too long",
                    where=path,
                    expected=f"at most {LONGEST} frames",
                    remedy="Cut it into pieces.",
                )
            size = size or Frame.of(image)
            if not tracker.add(number, image):
                break
    if size is None or not tracker.rows:
        raise NoFaceFound(
            "no frame of this video shows a face",
            where=path,
            remedy="Use a video with an upright, visible face.",
        )
    return tracker.finish(size, source)


class _Tracker:
    """What is known of the frames so far."""

    def __init__(
        self, path: Path, detector: LandmarkDetector, rate: float, first_segment: bool
    ) -> None:
        self.path, self.detect, self.rate, self.first_segment = path, detector, rate, first_segment
        self.rows: list[tuple[int, Face]] = []  # number, face
        self.starts: list[int] = []  # rows that begin a segment
        self.thumbnail: Tensor | None = None
        self.identity: Tensor | None = None
        self.embed: IdentityEmbedding | None = None
        self.cut_pending = False
        self.warned = False

    def add(self, number: int, image: Tensor) -> bool:
        """Take in a frame; False where the tracking should end before it."""
        small = functional.adaptive_avg_pool2d(image.mean(0, keepdim=True), THUMBNAIL)
        change = 0.0 if self.thumbnail is None else float((small - self.thumbnail).abs().mean())
        self.thumbnail = small
        # A cut to a frame without a face is one for the next frame that has one.
        self.cut_pending = self.cut_pending or change > CUT
        faces = plausible_faces(image, self.detect)
        if not faces:
            return True
        if len(faces) > 1 and not self.warned:
            logger.warning(
                "%s: frame %d shows %d faces; the one nearest to the frame before is followed.",
                self.path,
                number,
                len(faces),
            )
            self.warned = True
        face, jumped = self._choose(faces)
        gap = bool(self.rows) and (number - self.rows[-1][0] - 1) / self.rate > LONGEST_GAP
        if not self.rows:
            self.starts.append(0)
            self.identity = self._describe(image, face)
        elif self.cut_pending or gap or jumped:
            if self.first_segment and (self.cut_pending or jumped):
                logger.warning("%s: stopped at the cut at frame %d.", self.path, number)
                return False
            face = self._same_person(number, image, faces)
            self.starts.append(len(self.rows))
        self.cut_pending = False
        self.rows.append((number, face))
        return True

    def _choose(self, faces: list[Face]) -> tuple[Face, bool]:
        """The face nearest to the one before, and whether it jumped; the largest at the start."""
        if not self.rows:
            return max(
                faces, key=lambda one: float((one.box[2:] - one.box[:2]).max()) * one.score
            ), False
        last = self.rows[-1][1].box
        overlap = box_iou(last, torch.stack([one.box for one in faces]))
        best = int(overlap.argmax())
        return faces[best], float(overlap[best]) < JUMP

    def _describe(self, image: Tensor, face: Face) -> Tensor:
        self.embed = self.embed or IdentityEmbedding()
        descriptor: Tensor = self.embed(image, to_ibug68(face.points, face.scheme).float())[0]
        return descriptor

    def _same_person(self, number: int, image: Tensor, faces: list[Face]) -> Face:
        """The face that is the first segment's person's.

        Raises:
            DataError: None is.
        """
        if self.identity is None:
            return faces[0]
        distance = torch.stack(
            [identity_distance(self._describe(image, face), self.identity) for face in faces]
        )
        best = int(distance.argmin())
        if float(distance[best]) > OTHER_PERSON:
            raise DataError(
                "the video shows another person after a cut",
                where=f"{self.path}, frame {number}",
                expected=f"a distance of identity of at most {OTHER_PERSON}",
                found=f"{float(distance[best]):.2f}",
                remedy="Cut the video there, or use its first piece only with --first-segment.",
            )
        return faces[best]

    def finish(self, frame: Frame, source: str) -> FaceTrack:
        """The rows with short gaps filled in."""
        landmarks: list[Tensor] = []
        numbers: list[int] = []
        seen, segments = [], []
        ends = [*self.starts[1:], len(self.rows)]
        for first, end in zip(self.starts, ends, strict=True):
            begin, last = len(numbers), None
            for number, face in self.rows[first:end]:
                points = to_ibug68(face.points, face.scheme).float()
                for missing in range(number if last is None else last + 1, number):
                    landmarks.append(landmarks[-1])
                    seen.append(False)
                    numbers.append(missing)
                landmarks.append(points)
                seen.append(True)
                numbers.append(number)
                last = number
            segments.append((begin, len(numbers)))
        return FaceTrack(
            torch.stack(landmarks),
            torch.tensor(seen),
            torch.tensor(numbers),
            tuple(segments),
            frame,
            self.rate,
            source,
            str(self.path),
        )
