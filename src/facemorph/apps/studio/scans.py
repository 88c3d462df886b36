"""The scans of a studio: kept as they came, once they can be read."""

from __future__ import annotations

from pathlib import Path

from facemorph.apps.studio.project import SCANS, Project
from facemorph.errors import DataError, FacemorphError
from facemorph.geometry.meshes.mesh_files import READ, read_mesh
from facemorph.storage.files import write_whole
from facemorph.storage.folders import natural_key

MOST = 500  # scans in a project


class Scans:
    """The folder of a project's scans.

    Args:
        project: An opened one.
    """

    def __init__(self, project: Project) -> None:
        self._project = project

    def names(self) -> list[str]:
        """File names, in order."""
        files = (self._project.folder / SCANS).iterdir()
        return [
            path.name
            for path in sorted(files, key=natural_key)
            if path.is_file() and path.suffix.lower() in READ
        ]

    def find(self, name: str) -> Path:
        """The file of a scan.

        Raises:
            DataError: There is none of that name.
        """
        if name not in self.names():
            raise DataError("no such scan in this project", where=name[:80])
        return self._project.folder / SCANS / name

    def take_upload(self, name: str, content: bytes) -> str:
        """Keep a scan that was dropped into the page.

        Returns:
            Its name in the project.

        Raises:
            DataError: It is none, or the project is full.
            GeometryError: It is no surface.
            OutputError: It cannot be written.
        """
        if Path(name).suffix.lower() not in READ:
            raise DataError(
                "this is no scan that can be read", where=name[:80], expected=" ".join(READ)
            )
        if len(self.names()) >= MOST:
            raise DataError("the project is full", expected=f"at most {MOST} scans")
        path = self._project.place_for(name, SCANS)
        write_whole(path, content)
        try:
            read_mesh(path)
        except FacemorphError:
            path.unlink(missing_ok=True)
            raise
        return path.name
