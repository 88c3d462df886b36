"""What drives the photographs of a studio: videos and recordings, kept as they came, once they can
be read.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import BinaryIO

from facemorph.apps.studio.library import Library
from facemorph.apps.studio.project import DRIVERS
from facemorph.errors import DataError, OutputError
from facemorph.faces.files.video_io import numbered_frames
from facemorph.geometry.models.live_link import TIME, read_live_link
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import vertices_of
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import RECORDINGS, VIDEOS

KINDS = (*VIDEOS, *RECORDINGS)
LARGEST = 300_000_000  # bytes
MOST = 200  # in a project
TABLE = ".csv"  # of a recording, or of landmarks


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
        """Whether a file is meant as a driver; a table of landmarks is none."""
        suffix = Path(name).suffix.lower()
        if suffix != TABLE:
            return suffix in KINDS
        begin = content.read(40)
        content.seek(0)
        return begin.removeprefix(b"\xef\xbb\xbf").lstrip(b'"').startswith(TIME.encode())

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
        model, suffix = self._library.model, path.suffix.lower()
        if suffix == ".npz":
            vertices_of(model, FaceParameters.load(path)[0])
        elif suffix == TABLE:
            read_live_link(path, model)
        elif next(numbered_frames(path), None) is None:
            raise DataError("there is no picture in this video", where=path.name[:80])
