"""What drives the photographs of a studio: videos and recordings, kept as they came, once they can
be read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import BinaryIO

from facemorph.apps.studio.library import Library
from facemorph.apps.studio.project import DRIVERS
from facemorph.errors import DataError, OutputError
from facemorph.faces.files.video_io import numbered_frames
from facemorph.geometry.recordings.recordings import kind_of, read_recording
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import LANDMARKS, RECORDINGS, VIDEOS

KINDS = (*VIDEOS, *RECORDINGS)
LARGEST = 300_000_000  # bytes
MOST = 200  # in a project


class Drivers:
    """The folder of a project's drivers.

    Args:
        library: The photographs that are driven.
    """

    def __init__(self, library: Library) -> None:
        self._library, self._folder = library, library.project.folder / DRIVERS
        self._taking = threading.Lock()

    def names(self) -> list[str]:
        """File names, in order."""
        return [path.name for path in listed(self._folder, KINDS)]

    def find(self, name: str) -> Path:
        """The file of a driver.

        Raises:
            DataError: There is none of that name.
        """
        if name not in self.names():
            raise DataError("no such video or recording in this project", where=name[:80])
        return self._folder / name

    def takes(self, name: str, content: BinaryIO) -> bool:
        """Whether a file is meant as a driver; landmarks are none."""
        suffix = Path(name).suffix.lower()
        if suffix not in LANDMARKS:
            return suffix in KINDS
        with tempfile.NamedTemporaryFile() as copy:
            shutil.copyfileobj(content, copy)
            copy.flush()
            content.seek(0)
            return kind_of(Path(copy.name)) is not None

    def take_upload(self, name: str, content: BinaryIO) -> str:
        """Keep a file that was dropped into the page.

        Returns:
            Its name in the project.

        Raises:
            DataError: It is none that can drive a head, or the project is full.
            GeometryError: It is damaged.
            OutputError: It cannot be written.
        """
        if len(self.names()) >= MOST:
            raise DataError("the project is full", expected=f"at most {MOST} videos and recordings")
        with self._taking:  # two files of one name at once get two places
            path = self._library.project.place_for(name, DRIVERS)
            part = path.with_name(f".part-{path.name}")
            try:
                with part.open("wb") as file:
                    shutil.copyfileobj(content, file)
                self._check(part)
                os.replace(part, path)
            except OSError as error:
                raise OutputError(
                    "file cannot be written", where=path, found=error.strerror or str(error)
                ) from error
            finally:
                part.unlink(missing_ok=True)
        return path.name

    def _check(self, path: Path) -> None:
        """Read as much as shows that it can be read."""
        model = self._library.model
        recording = read_recording(path, model)
        if recording is not None:
            vertices_of(model, recording[0][0])
        elif next(numbered_frames(path), None) is None:
            raise DataError("there is no picture in this video", where=path.name[:80])
