"""The landmark editor as a part of the studio: its page is shown inside the studio's."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import torch
from starlette.applications import Starlette
from starlette.responses import Response

from facemorph.apps.studio.editor_server import EditorServer
from facemorph.apps.studio.editor_session import SIDES, open_session
from facemorph.apps.studio.library import Library
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.files.landmark_files import read_points

MOST_OPEN = 4  # editors at once

logger = logging.getLogger(__name__)


class LandmarkEditing:
    """Opens editors for pairs of photographs and takes their points over.

    Args:
        library: The photographs.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._open: dict[str, tuple[tuple[str, str], EditorServer, Starlette]] = {}
        self._lock = threading.Lock()

    def open(self, a: str, b: str) -> str:
        """Open an editor.

        Args:
            a: Name of the first photograph.
            b: Name of the second.

        Returns:
            The secret name of its page, below ``edit/``.

        Raises:
            FacemorphError: The two cannot be edited together.
        """
        project = self.library.project
        names = a, b
        for path, (known, _, _) in self._open.items():
            if known == names:
                return path
        if len(self._open) >= MOST_OPEN:
            self.close(next(iter(self._open)))
        stem = project.part(f"{a}_{b}")
        for side, name in zip(SIDES, names, strict=True):
            shutil.copyfile(project.points_of(name), stem.with_name(f"{stem.name}.{side}.json"))
        stem.with_name(f"{stem.name}.autosave.json").unlink(missing_ok=True)
        session = open_session(
            self.library.photograph(a).path, self.library.photograph(b).path, stem
        )
        server = EditorServer(session)
        with self._lock:
            self._open[server.path] = (names, server, server.app())
        return server.path

    def close(self, path: str) -> list[str]:
        """Take over the newest points of an editor, and close it.

        Returns:
            Names of the photographs whose points were changed.

        Raises:
            DataError: There is no such editor.
            OutputError: The points cannot be written.
        """
        with self._lock:
            found = self._open.pop(path, None)
        if found is None:
            raise DataError("this editor is not open", where="path")
        names, server, _ = found
        session = server.session
        server.close()
        changed: list[str] = []
        if not (session.unsaved or session.saved_once):
            return changed
        session.save()
        for side, name in zip(SIDES, names, strict=True):
            saved = session.stem.with_name(f"{session.stem.name}.{side}.json")
            kept = self.library.project.points_of(name)
            # a photograph may have been taken out of the project meanwhile
            if name in self.library.photographs and not _same_points(saved, kept):
                shutil.copyfile(saved, kept)
                self.library.points_changed(name)
                changed.append(name)
        return changed

    def close_all(self) -> None:
        """Take over all points, and close every editor."""
        for path in list(self._open):
            try:
                self.close(path)
            except FacemorphError as error:  # the others' points are taken over all the same
                logger.warning("%s", error)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer a request below ``edit/`` by the editor whose secret name it begins with."""
        inside = scope["path"].removeprefix(scope.get("root_path", "")).lstrip("/")
        found = self._open.get(inside.split("/", 1)[0])
        if found is not None:
            await found[2](scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4404})
        else:
            await Response("no such editor", 404)(scope, receive, send)


def _same_points(first: Path, second: Path) -> bool:
    """Whether two landmark files hold the same points, up to a thousandth of a pixel."""
    (a, scheme_a), (b, scheme_b) = read_points(first), read_points(second)
    return scheme_a == scheme_b and bool(torch.allclose(a, b, atol=1e-3))
