"""The views of the studio, each loaded when the page first asks for it: together they would take
longer to load than the first photographs take to be looked at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from facemorph.apps.studio.drivers import Drivers
from facemorph.apps.studio.exports import Exports
from facemorph.apps.studio.library import Library
from facemorph.apps.studio.messages import Handler
from facemorph.apps.studio.scans import Scans

if TYPE_CHECKING:
    from facemorph.apps.studio.views.landmark_editing import LandmarkEditing

VIEWS = ("morph", "head", "generate", "implicit")


class Panels:
    """Finds what answers a request.

    Args:
        library: The photographs.
        exports: Makes files.
        scans: The scans.
        drivers: Videos and recordings.
    """

    def __init__(self, library: Library, exports: Exports, scans: Scans, drivers: Drivers) -> None:
        self.library, self.exports, self.scans, self.drivers = library, exports, scans, drivers
        self.editing: LandmarkEditing | None = None
        self._handlers: dict[str, Handler] = {}
        self._loaded: set[str] = set()
        self._closed: list[Callable[[int], None]] = []
        self._lock = threading.Lock()

    def handler(self, kind: str) -> Handler | None:
        """What answers a kind of request; None where nothing does."""
        view = kind.partition(".")[0]
        if view in VIEWS:
            with self._lock:
                if view not in self._loaded:
                    self._load(view)
                    self._loaded.add(view)
        return self._handlers.get(kind)

    def kinds(self) -> list[str]:
        """All kinds of requests; every view is loaded for that."""
        for view in VIEWS:
            self.handler(f"{view}.")
        return sorted(self._handlers)

    def window_closed(self, window: int) -> None:
        """Forget what was kept for a window."""
        for closed in list(self._closed):
            closed(window)

    def close(self) -> None:
        """Take over what is still edited."""
        if self.editing is not None:
            self.editing.close_all()

    async def edit(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Answer a request below ``edit/``."""
        if self.editing is not None:
            await self.editing(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 4404})
        else:
            await Response("no such editor", 404)(scope, receive, send)

    def _load(self, view: str) -> None:
        if view == "morph":
            from facemorph.apps.studio.views.morph import MorphPanel

            morph = MorphPanel(self.library, self.exports)
            self.editing = morph.editing
            self._handlers |= morph.handlers()
        elif view == "head":
            from facemorph.apps.studio.views.head import HeadPanel

            head = HeadPanel(self.library, self.exports, self.drivers)
            self._handlers |= head.handlers()
            self._closed.append(head.window_closed)
        elif view == "generate":
            from facemorph.apps.studio.views.generate import GeneratePanel

            self._handlers |= GeneratePanel(self.library, self.exports).handlers()
        else:
            from facemorph.apps.studio.views.implicit import ImplicitPanel

            implicit = ImplicitPanel(self.library.project, self.scans, self.exports)
            self._handlers |= implicit.handlers()
            self._closed.append(implicit.window_closed)
