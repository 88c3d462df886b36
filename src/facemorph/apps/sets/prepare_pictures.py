"""One photograph of a training set in the making: found, judged, cut and written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from facemorph.apps.fitting.face_tracking import read_pictures, track_face
from facemorph.errors import ConfigError
from facemorph.faces.alignment import AlignedFace, ffhq_crop, reenactment_crop
from facemorph.faces.checks.face_cut import say_on_white
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.fitting.landmark_solver import distance_between_pupils
from facemorph.jobs.records import DONE, Row
from facemorph.ops.filters import luminance
from facemorph.ops.seeds import evenly
from facemorph.storage.suffixes import VIDEOS

FILTERED = "filtered"
SHARPNESS_SIDE = 128  # pixels of the face that are looked at: one scale for all


@dataclass(frozen=True)
class PrepareOptions:
    """What every photograph of a training set has in common.

    See the arguments of ``prepare_dataset``.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    kind: str
    size: int
    model: str
    detector: str
    min_score: float | None
    min_pupils: float
    max_yaw: float
    max_error: float
    min_sharpness: float
    max_outside: float
    refine: bool
    frames: int
    suffix: str

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 2048:
            raise ConfigError(
                "the crops have an unusable size",
                where="size",
                expected="32 to 2048 pixels",
                found=self.size,
            )
        if not 1 <= self.frames <= 10_000:
            raise ConfigError(
                "a video gives at least one frame",
                where="frames",
                expected="1 to 10000",
                found=self.frames,
            )
        for name in ("min_pupils", "max_yaw", "max_error", "min_sharpness", "max_outside"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(
                    "a limit must be a number from 0", where=name, found=getattr(self, name)
                )


@dataclass(frozen=True)
class Source:
    """A photograph or video of the set.

    Attributes:
        file: The photograph or video.
        name: Its name in the set.
        person: Who it shows.
    """

    file: Path
    name: str
    person: str


class PreparedPicture(Row, total=False):
    """What became of one photograph, video or frame.

    Attributes:
        file: The photograph or video.
        person: Who it shows.
        stamp: Of the file.
        frame: Number of a frame of a video.
        frames: Rows of the frames of a video that were looked at.
        measures: Of the face; fits add theirs.
        crop: Matrix ``(2, 3)`` from pixels of the photograph to those of the crop, row by row.
    """

    file: str
    person: str
    stamp: str
    frame: int
    frames: list[PreparedPicture]
    measures: dict[str, float]
    crop: list[float]


class Rejected(Exception):
    """A photograph that the quality filter leaves out; its text is the reason."""


class PicturePreparer:
    """Finds, judges, cuts and writes one photograph after the other.

    Args:
        options: What all have in common.
        folder: Of the training set.
        detector: The detector.
    """

    def __init__(self, options: PrepareOptions, folder: Path, detector: LandmarkDetector) -> None:
        self.options, self.folder, self.detector = options, folder, detector

    @torch.no_grad()
    def attempt(self, source: Source) -> PreparedPicture:
        """The row of a photograph: with its files and measures, or filtered, with the reason.

        A video's row has all files, and ``frames``, a row for each frame that was taken or
        rejected.

        Raises:
            FacemorphError: The photograph cannot be read, or shows no face.
            OutputError: A file cannot be written.
        """
        work = self._video if source.file.suffix.lower() in VIDEOS else self._photograph
        try:
            return work(source)
        except Rejected as error:
            return {"status": FILTERED, "reason": str(error)}

    def _photograph(self, source: Source) -> PreparedPicture:
        image = load_image(source.file)
        say_on_white(source.file)
        face = find_face(image, self.detector, name=source.file)
        return self._written(image, to_ibug68(face.points, face.scheme), face.score, source.name)

    def _video(self, source: Source) -> PreparedPicture:
        """Frames of a video, evenly among those that show the face.

        Raises:
            Rejected: No frame passes.
        """
        track = track_face(source.file, self.detector, source=self.options.detector)
        rows = track.seen.nonzero()[:, 0]
        places = evenly(len(rows), self.options.frames)
        wanted = {int(track.numbers[row]): int(row) for row in rows[places]}
        frames: list[PreparedPicture] = []
        for number, image in read_pictures(source.file):
            if number not in wanted:
                continue
            name = f"{source.name}_{number:07d}"
            known: PreparedPicture = {
                "name": name,
                "frame": number,
                "file": str(source.file),
            }
            try:
                frames.append(
                    {
                        **known,
                        "status": DONE,
                        **self._written(image, track.landmarks[wanted[number]].float(), 1.0, name),
                    }
                )
            except Rejected as error:
                frames.append({**known, "status": FILTERED, "reason": str(error)})
            if number == max(wanted):
                break
        files = [file for frame in frames for file in frame.get("files", ())]
        if not files:
            raise Rejected(f"no frame passes: {frames[0]['reason']}")
        return {"files": files, "frames": frames}

    def _written(
        self, image: Tensor, landmarks: Tensor, score: float, name: str
    ) -> PreparedPicture:
        """One picture judged, cut and written.

        Raises:
            Rejected: It does not pass.
        """
        measures = self._judge(image, landmarks, score)
        cut = self._cut(image, landmarks)
        picture, points = f"images/{name}.{self.options.suffix}", f"landmarks/{name}.json"
        save_image(cut.image, self.folder / picture)
        write_points(cut.points.double(), self.folder / points, "ibug68")
        return {
            "files": [picture, points],
            "measures": measures,
            "crop": [round(value, 4) for value in cut.matrix.flatten().tolist()],
        }

    def _judge(self, image: Tensor, landmarks: Tensor, score: float) -> dict[str, float]:
        """Measures of the photograph.

        Raises:
            Rejected: One is beyond its limit.
        """
        options = self.options
        pupils = float(distance_between_pupils(landmarks[None]))
        limit = landmarks.new_tensor([image.shape[2], image.shape[1]])
        outside = float(((landmarks < 0) | (landmarks > limit)).any(-1).double().mean())
        measures = {
            "score": round(float(score), 4),
            "pupils": round(pupils, 2),
            "outside": round(outside, 4),
        }
        if pupils < options.min_pupils:
            raise Rejected(
                f"the face is too small: {pupils:.0f} px between the pupils, min_pupils "
                f"{options.min_pupils:g}"
            )
        if outside > options.max_outside:
            raise Rejected(
                f"the face is cut: {100 * outside:.0f} % of its landmarks are outside of the "
                "picture, "
                f"max_outside {options.max_outside:g}"
            )
        measures["sharpness"] = round(sharpness(image, landmarks), 4)
        if measures["sharpness"] < options.min_sharpness:
            raise Rejected(
                f"the face is blurred: sharpness {measures['sharpness']:.3f}, min_sharpness "
                f"{options.min_sharpness:g}"
            )
        return measures

    def _cut(self, image: Tensor, landmarks: Tensor) -> AlignedFace:
        if self.options.kind == "gdpw":
            return reenactment_crop(image, landmarks, self.options.size)
        return ffhq_crop(image, landmarks, "ibug68", self.options.size)


def sharpness(image: Tensor, landmarks: Tensor) -> float:
    """How sharp a face is, whatever its size: what its finest scale holds of its contrast.

    The face is brought to 128 pixels between low and high landmarks along the longer side (not
    enlarged); then the standard deviation of its Laplacian over the standard deviation of its
    luminance. About 0.3 for a sharp portrait; 0.03 is what is left of one after a Gaussian blur of
    a twentieth of the distance between the pupils.

    Args:
        image: ``(3, H, W)``.
        landmarks: ``(68, 2)`` pixels.
    """
    low = landmarks.amin(0).floor().clamp(min=0).long()
    high = torch.minimum(
        landmarks.amax(0).ceil().long(), torch.tensor([image.shape[2], image.shape[1]])
    )
    patch = luminance(image[:, low[1] : high[1], low[0] : high[0]])
    if min(patch.shape[1:]) < 3:
        return 0.0
    factor = max(patch.shape[1:]) / SHARPNESS_SIDE
    if factor > 1:
        small = torch.nn.functional.interpolate(
            patch[None], scale_factor=1 / factor, mode="bilinear", antialias=True
        )
        patch = small[0]
    grey = patch[0].double().numpy()
    return float(np.std(ndimage.laplace(grey)) / max(float(np.std(grey)), 1e-6))
