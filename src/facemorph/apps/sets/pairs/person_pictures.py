"""All pictures of one person: found, cut by one box, fitted with one identity, moved, written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.fitting.face_fitting import FittedFaces, fit_faces
from facemorph.apps.fitting.face_tracking import read_pictures, track_face
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.apps.sets.pairs.framing import Seen, boxes_of, cut
from facemorph.apps.sets.pairs.moved_views import draw_view, moved_pictures, random_of
from facemorph.apps.sets.pairs.people import Person
from facemorph.apps.sets.prepare_pictures import Source
from facemorph.data.face_set import scaled
from facemorph.errors import DataError, FacemorphError, OutputError
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.records import Row
from facemorph.ops.rotations import yaw_of
from facemorph.ops.seeds import evenly
from facemorph.storage.suffixes import VIDEOS

PHOTOGRAPH, FRAME, VIEW = "photograph", "frame", "view"
IMAGES, PEOPLE = "images", "people"
WORKING = 256  # pixels: views are made at this size or at that of the set, if that is larger
MOST_ERROR = 0.06  # of a fit, as a share of the distance between the pupils
MOST_TURNED = 40.0  # degrees of yaw beyond which half of the face is not seen: it is not moved
MOVED_FRAMES = 2  # of a video
TEXELS = 2  # of a texture along a side for each pixel of the pictures


@dataclass(frozen=True)
class PairOptions:
    """What all people of a set have in common; see the arguments of ``make_pairs``."""

    size: int
    frames: int
    views: int
    seed: int
    detector: str


class PairPicture(TypedDict):
    """A picture of a person.

    Attributes:
        name: In the set.
        file: Relative to the folder of the set.
        kind: ``photograph``, ``frame`` or ``view``.
        of: The video of a frame, the picture that a view shows moved; else the name.
        yaw: Turn of the head to the side, degrees.
        error: Of the fit, a share of the distance between the pupils; 0 for a view.
    """

    name: str
    file: str
    kind: str
    of: str
    yaw: float
    error: float


class LeftOut(TypedDict):
    """A photograph, video or frame that is not used, and why."""

    name: str
    reason: str


class PersonRow(Row, total=False):
    """What became of one person.

    Attributes:
        stamp: Of the photographs and videos.
        framing: ``common``: all pictures are cut by one box; ``own``: they are framed too
            differently for that, and each photograph or video has its own.
        pictures: In the order of the parameters.
        left_out: What is not used.
    """

    stamp: str
    framing: str
    pictures: list[PairPicture]
    left_out: list[LeftOut]


@dataclass(frozen=True)
class Shot:
    """A photograph or frame in which the face was found.

    Attributes:
        name: In the set.
        source: The photograph or video.
        seen: Where the face is.
        frame: Number of the frame of a video.
    """

    name: str
    source: Source
    seen: Seen
    frame: int | None = None


@dataclass(frozen=True)
class FittedShot:
    """A photograph or frame with its crop and fit, in pixels of the working size."""

    shot: Shot
    image: Tensor
    fit: FittedFaces

    @property
    def yaw(self) -> float:
        """Turn of the head in degrees."""
        return yaw_of(self.fit.parameters.rotation)


class PersonPictures:
    """Makes the pictures of one person after the other.

    Args:
        options: What all have in common.
        folder: Of the set.
        detector: The detector.
    """

    def __init__(self, options: PairOptions, folder: Path, detector: LandmarkDetector) -> None:
        self.options, self.folder, self.detector = options, folder, detector
        self.model = load_makehuman()
        self.side = max(WORKING, options.size)

    @torch.no_grad()
    def attempt(self, person: Person) -> PersonRow:
        """The row of a person, whose pictures and parameters are written.

        Raises:
            DataError: No picture can be used.
            OutputError: A file cannot be written.
        """
        left_out: list[LeftOut] = []
        shots = self._found(person, left_out)
        boxes, framing = boxes_of([shot.seen for shot in shots]) if shots else (None, "")
        fitted = [] if boxes is None else self._fitted(shots, boxes, left_out)
        if not fitted:
            raise DataError(
                "no picture of this person can be used",
                where=person.name,
                found=left_out[0]["reason"],
                expected="one face that is seen well",
            )
        pictures, parameters = self._written(fitted)
        numbers = f"{PEOPLE}/{fitted[0].shot.source.name}.npz"
        FaceParameters.joined(parameters).save(self.folder / numbers)
        return {
            "files": [numbers, *(one["file"] for one in pictures)],
            "framing": framing,
            "pictures": pictures,
            "left_out": left_out,
        }

    # ------------------------------------------------------------
    # finding
    def _found(self, person: Person, left_out: list[LeftOut]) -> list[Shot]:
        """The photographs and frames that show a face."""
        shots: list[Shot] = []
        for source in person.sources:
            find = self._video if source.file.suffix.lower() in VIDEOS else self._photograph
            try:
                shots += find(source)
            except OutputError:
                raise
            except FacemorphError as error:
                left_out.append({"name": source.name, "reason": str(error)})
        return shots

    def _photograph(self, source: Source) -> list[Shot]:
        image = load_image(source.file)
        face = find_face(image, self.detector, name=source.file)
        points = to_ibug68(face.points, face.scheme).float()
        return [Shot(source.name, source, Seen(points, image.shape[2], source.name))]

    def _video(self, source: Source) -> list[Shot]:
        """Frames of a video, evenly among those that show the face."""
        track = track_face(source.file, self.detector, source=self.options.detector)
        rows = track.seen.nonzero()[:, 0]
        rows = rows[evenly(len(rows), self.options.frames)]
        return [
            Shot(
                f"{source.name}_{int(track.numbers[row]):07d}",
                source,
                Seen(track.landmarks[row].float(), track.frame.width, source.name),
                int(track.numbers[row]),
            )
            for row in rows
        ]

    # ------------------------------------------------------------
    # cutting and fitting
    def _fitted(
        self, shots: Sequence[Shot], boxes: Tensor, left_out: list[LeftOut]
    ) -> list[FittedShot]:
        """The pictures cut and fitted with one identity, without those that the model does not
        fit.
        """
        box = {shot.name: boxes[row] for row, shot in enumerate(shots)}
        chosen: list[Shot] = []
        faces: list[LocatedFace] = []
        for shot, image in _images(shots):
            small, points = cut(image, shot.seen.landmarks, box[shot.name], self.side)
            chosen.append(shot)
            faces.append(LocatedFace(small, points, self.options.detector, shot.name))
        while faces:
            fits = fit_faces(faces, self.model, same_person=True)
            good = [row for row, fit in enumerate(fits) if float(fit.error) <= MOST_ERROR]
            if len(good) == len(faces):
                return [
                    FittedShot(*one)
                    for one in zip(chosen, (face.image for face in faces), fits, strict=True)
                ]
            left_out += [
                {
                    "name": chosen[row].name,
                    "reason": f"the model does not fit: error {float(fit.error):.3f}, "
                    f"at most {MOST_ERROR:g}",
                }
                for row, fit in enumerate(fits)
                if row not in good
            ]
            # The identity was that of all: the others are fitted again.
            chosen, faces = [chosen[row] for row in good], [faces[row] for row in good]
        return []

    # ------------------------------------------------------------
    # writing
    def _written(
        self, fitted: Sequence[FittedShot]
    ) -> tuple[list[PairPicture], list[FaceParameters]]:
        """All pictures of a person and their views, written, and the parameters of each."""
        pictures: list[PairPicture] = []
        parameters: list[FaceParameters] = []
        moved = self._moved(fitted)
        for row, one in enumerate(fitted):
            shot, own = one.shot, one.fit.parameters
            kind = PHOTOGRAPH if shot.frame is None else FRAME
            error = round(float(one.fit.error), 4)
            pictures.append(self._save(one.image, shot.name, kind, shot.source.name, own, error))
            parameters.append(scaled(own, self.options.size / self.side))
            if row not in moved:
                continue
            others = [other.fit.parameters.expression for other in fitted if other is not one]
            views = [
                draw_view(
                    self.model,
                    own,
                    others,
                    self.side,
                    random_of(self.options.seed, shot.name, view),
                )
                for view in range(1, self.options.views + 1)
            ]
            texels = TEXELS * self.options.size
            made = moved_pictures(self.model, one.image, own, views, max(texels, WORKING))
            for number, (view, picture) in enumerate(zip(views, made, strict=True), 1):
                name = f"{shot.name}_view{number:02d}"
                pictures.append(self._save(picture, name, VIEW, shot.name, view, 0.0))
                parameters.append(scaled(view, self.options.size / self.side))
        return pictures, parameters

    def _moved(self, fitted: Sequence[FittedShot]) -> set[int]:
        """Rows of the pictures that get views: photographs, and some frames of each video."""
        if not self.options.views:
            return set()
        groups: dict[str, list[int]] = {}
        for row, one in enumerate(fitted):
            if abs(one.yaw) <= MOST_TURNED:
                groups.setdefault(one.shot.source.name, []).append(row)
        return {
            rows[place] for rows in groups.values() for place in evenly(len(rows), MOVED_FRAMES)
        }

    def _save(
        self,
        image: Tensor,
        name: str,
        kind: str,
        of: str,
        parameters: FaceParameters,
        error: float,
    ) -> PairPicture:
        size = self.options.size
        if image.shape[-1] != size:
            image = functional.interpolate(
                image[None], (size, size), mode="bilinear", antialias=True
            )[0]
        file = f"{IMAGES}/{name}.png"
        save_image(image.clamp(0, 1), self.folder / file, synthetic=kind == VIEW)
        yaw = round(yaw_of(parameters.rotation), 1)
        return {"name": name, "file": file, "kind": kind, "of": of, "yaw": yaw, "error": error}


def _images(shots: Sequence[Shot]) -> Iterator[tuple[Shot, Tensor]]:
    """The pictures of shots, one at a time: those of many photographs fill the memory."""
    sources: dict[Path, list[Shot]] = {}
    for shot in shots:
        sources.setdefault(shot.source.file, []).append(shot)
    for file, some in sources.items():
        if some[0].frame is None:
            yield some[0], load_image(file)
            continue
        wanted = {shot.frame: shot for shot in some}
        for number, image in read_pictures(file):
            if number in wanted:
                yield wanted.pop(number), image
            if not wanted:
                break
