"""The photographs of a studio: read, found, fitted in the background, and kept at hand."""

from __future__ import annotations

import io
import itertools
import logging
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from facemorph.apps.fitting.face_fitting import FittedFaces, fit_faces
from facemorph.apps.fitting.located_face import LocatedFace, locate
from facemorph.apps.studio.project import Project
from facemorph.apps.studio.work import prepare_thread, warnings_here
from facemorph.errors import DataError, FacemorphError, ImageError
from facemorph.faces.detection import make_detector
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.faces.files.image_output import to_picture
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.pair import locate_face
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.ops.frames import Frame
from facemorph.storage.files import write_whole
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import PICTURES

THUMBNAIL = 160  # pixels along the longer side
AT_HAND = 6  # photographs whose pictures are kept in memory
MOST_AT_HAND = 100_000_000  # numbers of four bytes in them
LARGEST_UPLOAD = 60_000_000  # bytes
MOST = 2000  # photographs in a project
DOUBTFUL = 0.06  # error of a fit, as a share of the distance between the pupils

State = Literal["waiting", "ready", "failed"]

logger = logging.getLogger(__name__)


@dataclass
class Photograph:
    """What the page shows of a photograph.

    Attributes:
        id: Its name in the project.
        path: Its file.
        state: How far it is.
        text: Why it failed.
        warnings: What is doubtful about it.
        size: Width and height in pixels; (0, 0) before it is read.
        thumbnail: A small JPEG.
        version: Counts what was found anew, so that the page asks again.
    """

    id: str
    path: Path
    state: State = "waiting"
    text: str = ""
    warnings: list[str] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    thumbnail: bytes = b""
    version: int = 0

    def describe(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {
            "id": self.id,
            "file": self.path.name,
            "state": self.state,
            "text": self.text,
            "warnings": self.warnings,
            "size": self.size,
            "version": self.version,
        }


class Library:
    """All photographs of a project.

    Args:
        project: An opened one.
        tell: Called with a photograph after it has changed, or with None after the list has.
        model: Head model that is fitted.
    """

    def __init__(
        self, project: Project, tell: Callable[[Photograph | None], None], model: str = "makehuman"
    ) -> None:
        self.project, self._tell, self._model_name = project, tell, model
        self.photographs: dict[str, Photograph] = {}
        self._model: MorphableModel | None = None
        self._detector: LandmarkDetector | None = None
        self._located: OrderedDict[str, LocatedFace] = OrderedDict()
        self._lock = threading.RLock()
        self._thread = ThreadPoolExecutor(1, "library", initializer=prepare_thread)
        self._taking = threading.Lock()
        # Of photographs: none comes twice, so that what is kept by name and version is never that
        # of another photograph that had the name before.
        self._versions = itertools.count()

    def begin(self) -> None:
        """Look at everything that the project lists."""
        for one in self.project.listed:
            self._look_at(one.id, one.path)

    def close(self) -> None:
        """Leave what is still waiting."""
        self._thread.shutdown(cancel_futures=True)

    @property
    def model(self) -> MorphableModel:
        """The head model."""
        with self._lock:
            if self._model is None:
                self._model = load_model(self._model_name)
            return self._model

    def add_files(self, paths: list[Path]) -> list[str]:
        """Take pictures' files into the project, and look at them in the background.

        Returns:
            Their names.

        Raises:
            DataError: The project is full.
            OutputError: The list cannot be written.
        """
        if len(self.project.listed) + len(paths) > MOST:
            raise DataError("the project is full", expected=f"at most {MOST} photographs")
        names = []
        for path in paths:
            one = self.project.add(path)
            names.append(one.id)
            if one.id not in self.photographs:
                self._look_at(one.id, one.path)
        self.project.save()
        self._tell(None)
        return names

    def open_folder(self, folder: Path) -> list[str]:
        """Take the pictures of a folder, or one picture, into the project; they stay in place.

        Raises:
            DataError: There is no such folder, or no picture in it.
        """
        try:
            folder = folder.expanduser()
            if folder.is_file() and folder.suffix.lower() in PICTURES:
                return self.add_files([folder])
            if not folder.is_dir():
                raise DataError("there is no such folder", where=folder, remedy="Check the path.")
            files = listed(folder, PICTURES)
        except (OSError, ValueError, RuntimeError) as error:  # unreadable, no name, no such user
            raise DataError(
                "this folder cannot be read", where=str(folder)[:200], found=str(error)[:80]
            ) from error
        if not files:
            raise DataError(
                "this folder holds no picture", where=folder, expected=" ".join(PICTURES)
            )
        return self.add_files(files)

    def take_upload(self, name: str, content: bytes) -> str:
        """Keep a picture that was dropped into the page.

        Returns:
            Its name in the project.

        Raises:
            ImageError: It is none.
            OutputError: It cannot be written.
        """
        if Path(name).suffix.lower() not in PICTURES:
            raise ImageError(
                "this is no picture that can be read",
                where=name[:80],
                expected=" ".join(PICTURES),
            )
        with self._taking:  # two files of one name at once get two places
            path = self.project.place_for(name)
            write_whole(path, content)
        try:
            load_image(path)
        except FacemorphError:
            path.unlink(missing_ok=True)
            raise
        return self.add_files([path])[0]

    def take_points(self, name: str, content: bytes) -> str:
        """Make a landmark file that was dropped into the page that of the photograph with its name.

        Returns:
            The photograph's name in the project.

        Raises:
            DataError: No photograph has its name, or several have, or it does not fit the picture.
            OutputError: It cannot be written.
        """
        stem = Path(name).stem
        named = [one for one in list(self.photographs.values()) if one.id == stem] or [
            one for one in list(self.photographs.values()) if stem in (one.path.stem, one.path.name)
        ]
        if len(named) != 1:
            raise DataError(
                "these landmarks are not of one photograph of this project",
                where=name[:80],
                expected="a photograph of this name",
                found=", ".join(one.id for one in named)[:80] or "none",
                remedy="Drop the photograph first, and name the file as the page names it.",
            )
        photograph = named[0]
        # the folder keeps the file's own name, which is told where it does not fit
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{photograph.id}{Path(name).suffix.lower()}"
            write_whole(file, content)
            _, points, scheme = locate_face(photograph.path, file, None, photograph.id)
        to_ibug68(points, scheme)  # says so where the head cannot be fitted to them
        with self._lock:
            self.photograph(photograph.id)
            write_points(points.double(), self.project.points_of(photograph.id), scheme)
            self.points_changed(photograph.id)
        self._tell(None)
        return photograph.id

    def remove(self, name: str) -> None:
        """Take a photograph out of the project; its file stays.

        Raises:
            DataError: There is none of that name.
        """
        with self._lock:
            self.project.remove(name)
            self.photographs.pop(name, None)
            self._located.pop(name, None)
        self.project.save()
        self._tell(None)

    def photograph(self, name: str) -> Photograph:
        """One photograph.

        Raises:
            DataError: There is none of that name.
        """
        if name not in self.photographs:
            raise DataError("no such photograph in this project", where=name[:80])
        return self.photographs[name]

    def located(self, name: str) -> LocatedFace:
        """A photograph with its landmarks.

        Raises:
            DataError: There is none of that name, or no face was found in it yet.
            FacemorphError: Its file cannot be read any more.
        """
        photograph = self.photograph(name)
        if photograph.state != "ready":
            raise DataError(
                "this photograph has no face yet" if photograph.state == "waiting" else "no face",
                where=name,
                found=photograph.text or None,
                remedy="Wait for it, or choose another photograph.",
            )
        with self._lock:
            if name in self._located:
                self._located.move_to_end(name)
                return self._located[name]
        face = self._read(name, photograph.path)
        with self._lock:
            self._keep(name, face)
        return face

    def fit(self, face: LocatedFace) -> FittedFaces:
        """The head of a photograph, or of a part of one.

        Raises:
            GeometryError: Its landmarks determine no pose.
        """
        return fit_faces([face], self.model)[0]

    def has_own_points(self, name: str) -> bool:
        """Whether a command needs the landmark file of a photograph: it would find other points, or
        take these for the detector's.
        """
        return self.project.find(name).points_by == "file"

    def points_changed(self, name: str) -> None:
        """Look at a photograph again whose landmarks a person has set."""
        with self._lock:
            self.project.edited(name)
            self._located.pop(name, None)
            self.project.head_of(name).unlink(missing_ok=True)
            self._look_at(name, self.photograph(name).path)
        self.project.save()

    def _read(self, name: str, path: Path) -> LocatedFace:
        points, by = self.project.points_of(name), self.project.find(name).points_by
        if points.is_file():
            face = locate(path, points)
            return face if by == "file" else replace(face, source=by)
        if self._detector is None:
            self._detector = make_detector()
        return locate(path, None, self._detector)

    def _keep(self, name: str, face: LocatedFace) -> None:
        """Keep a face at hand, and its landmarks where there were none."""
        points = self.project.points_of(name)
        if not points.is_file():
            write_points(face.landmarks.double(), points, "ibug68")
        self._located[name] = face
        self._located.move_to_end(name)
        while len(self._located) > 1 and (
            len(self._located) > AT_HAND
            or sum(one.image.numel() for one in self._located.values()) > MOST_AT_HAND
        ):
            self._located.popitem(last=False)

    def _look_at(self, name: str, path: Path) -> None:
        self.photographs[name] = Photograph(name, path, version=next(self._versions))
        self._thread.submit(self._examine, name)

    def _examine(self, name: str) -> None:
        """Find and fit the face of a photograph; a failure is part of what is known of it."""
        photograph = self.photographs.get(name)
        if photograph is None:  # removed while it waited
            return
        with warnings_here() as warnings:
            try:
                image = load_image(photograph.path)
                photograph.size = (image.shape[2], image.shape[1])
                photograph.thumbnail = jpeg(thumbnail(image), 80)
                face = self._read(name, photograph.path)
                fitted = self.fit(face)
                with self._lock:  # one that was removed or changed meanwhile leaves nothing behind
                    if self.photographs.get(name) is not photograph:
                        return
                    fitted.parameters.save(self.project.head_of(name))
                    self._keep(name, face)
                found: State = "ready"
                error = float(fitted.error[0])
                if error > DOUBTFUL:
                    warnings.append(
                        f"The head fits the landmarks badly: {100 * error:.1f} % of the distance "
                        "between the pupils. Look at its points."
                    )
            except Exception as error:
                if not isinstance(error, FacemorphError):
                    logger.exception("The studio could not look at %s.", photograph.path)
                found, photograph.text = "failed", str(error)[:500]
        photograph.warnings, photograph.version = list(warnings), next(self._versions)
        photograph.state = found  # last: whoever sees it sees the rest
        if self.photographs.get(name) is photograph:
            self._tell(photograph)


def thumbnail(image: Tensor) -> Tensor:
    """A picture ``(3, H, W)`` made small."""
    frame = Frame.of(image).scaled_to(min(THUMBNAIL, max(image.shape[1:])))
    return resize_image(image, (frame.height, frame.width)).clamp(0, 1)


def jpeg(image: Tensor, quality: int = 88) -> bytes:
    """A picture ``(3, H, W)`` in [0, 1] as JPEG."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
