"""The studio's server: one page, one socket for each window, photographs in and files out; on this
machine only.

What the page loads is read into memory when the server starts. A path from outside is looked up
among the project's photographs and exports, and nothing else is sent. Quick answers are given by
one thread in the order in which requests come; long work has threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from facemorph.apps.studio.drivers import KINDS, LARGEST, Drivers
from facemorph.apps.studio.editor_wire import pack
from facemorph.apps.studio.exports import Exports
from facemorph.apps.studio.hosting import HEADERS, HOSTS, MEDIA_TYPES, is_foreign
from facemorph.apps.studio.library import (
    LARGEST_UPLOAD,
    Library,
    Photograph,
    jpeg,
)
from facemorph.apps.studio.messages import Handler, Request, id_of, read_request
from facemorph.apps.studio.panels import Panels
from facemorph.apps.studio.project import Project
from facemorph.apps.studio.scans import Scans
from facemorph.apps.studio.work import Work, Workshop, prepare_thread
from facemorph.errors import DataError, FacemorphError
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.jobs.memory import give_freed_memory_back
from facemorph.ops.frames import Frame
from facemorph.storage.files import ASSETS
from facemorph.storage.suffixes import LANDMARK_FILES

PAGE = ASSETS / "studio"
LARGEST_SHOWN = 1600  # longer side of a photograph in the page
MOST_WAITING = 64  # requests of a window that are not answered yet
TIDY_AFTER = 20.0  # seconds between two times at which freed memory is given back
LEAVE_AFTER = 5.0  # seconds without a window, where the server goes with its page

logger = logging.getLogger(__name__)


class StudioServer:
    """Answers the page.

    Args:
        project: An opened one.
        leave: Called when the last window has been closed for a while; None stays.
    """

    def __init__(self, project: Project, leave: Callable[[], None] | None = None) -> None:
        self.project, self.path, self._leave = project, secrets.token_urlsafe(16), leave
        self.library = Library(project, self._photograph_changed)
        self.workshop = Workshop("exports", self._work_changed)
        self.exports, self.scans = Exports(project, self.workshop), Scans(project)
        self._live = ThreadPoolExecutor(1, "live", initializer=prepare_thread)
        self._windows: dict[int, WebSocket] = {}
        self._waiting: dict[int, int] = {}
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.drivers = Drivers(self.library)
        self.panels = Panels(self.library, self.exports, self.scans, self.drivers)
        self._handlers: dict[str, Handler] = {
            "studio.state": self._state,
            "studio.keep": self._keep,
            "studio.open": self._open,
            "studio.remove": self._remove,
            "studio.cancel": self._cancel,
        }

    def app(self) -> Starlette:
        """The web application."""
        routes: list[BaseRoute] = [
            WebSocketRoute("/live", self._converse),
            Route("/upload", self._upload, methods=["POST"]),
            Route("/thumbnail/{name}", self._thumbnail),
            Route("/photograph/{name}", self._photograph),
            Route("/exports/{name:path}", self._export),
            Mount("/edit", app=self.panels.edit),
        ]
        for file in sorted(PAGE.rglob("*")):
            if file.suffix in MEDIA_TYPES:
                name = file.relative_to(PAGE).as_posix()
                name = "" if name == "index.html" else name
                routes.append(
                    Route(f"/{name}", _sender(file.read_bytes(), MEDIA_TYPES[file.suffix]))
                )
        return Starlette(
            routes=[Mount(f"/{self.path}", routes=routes)],
            lifespan=self._lifespan,
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        self.library.begin()
        tidying = asyncio.create_task(self._tidy())
        yield
        tidying.cancel()
        self._loop = None
        self.panels.close()
        self.workshop.close()
        self.library.close()
        self._live.shutdown(cancel_futures=True)
        self.project.save()

    async def _tidy(self) -> None:
        """Give memory back now and then, while no window waits for an answer."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TIDY_AFTER)
            if not any(self._waiting.values()):
                await loop.run_in_executor(None, give_freed_memory_back)

    # ------------------------------------------------------------
    # the socket
    async def _converse(self, socket: WebSocket) -> None:
        if is_foreign(socket.headers):
            await socket.close(4403)  # before accepting: the answer is 403
            return
        await socket.accept()
        window = next(self._numbers)
        self._windows[window], self._waiting[window] = socket, 0
        try:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # gone meanwhile
                await self._listen(socket, window)
        finally:
            del self._windows[window], self._waiting[window]
            with contextlib.suppress(RuntimeError):  # the server ends
                self._live.submit(self._forget, window)
            self._leave_with_the_page()

    async def _listen(self, socket: WebSocket, window: int) -> None:
        """Take the requests of a window until it is closed; each is answered by a task."""
        loop = asyncio.get_running_loop()
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            content = message.get("text")
            content = message.get("bytes", b"") if content is None else content
            if self._waiting[window] >= MOST_WAITING:
                busy = DataError("too many requests at once", found=self._waiting[window])
                await _send(socket, _failure(id_of(content), busy))
                continue
            self._waiting[window] += 1
            # begun here and not in the task: the window may be closed before that has its turn
            reply = loop.run_in_executor(self._live, self.answer, content, window)
            task = asyncio.create_task(self._reply(socket, window, reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _forget(self, window: int) -> None:
        """Drop what is kept for a closed window, behind its last requests."""
        self.panels.window_closed(window)

    async def _reply(
        self, socket: WebSocket, window: int, reply: asyncio.Future[str | bytes]
    ) -> None:
        try:
            text = await reply
        finally:
            if window in self._waiting:
                self._waiting[window] -= 1
        await _send(socket, text)

    def answer(self, content: str | bytes, window: int = 0) -> str | bytes:
        """The reply to one message; why something cannot be done is a reply too."""
        start = perf_counter()
        try:
            request = read_request(content, window)
            handler = self._handlers.get(request.kind) or self.panels.handler(request.kind)
            if handler is None:
                raise DataError("no such request", where="kind", found=request.kind[:40])
            answer = handler(request)
            header, data = answer if isinstance(answer, tuple) else (answer, b"")
            header = {
                "kind": request.kind,
                "id": request.id,
                "milliseconds": (perf_counter() - start) * 1e3,
                **header,
            }
            return pack(header, data) if data else json.dumps(header, allow_nan=False)
        except Exception as error:
            if not isinstance(error, FacemorphError):
                logger.exception("The studio could not answer a request.")
            return _failure(id_of(content), error)

    def _leave_with_the_page(self) -> None:
        leave, loop = self._leave, self._loop
        if leave is None or loop is None:
            return

        def look_again() -> None:
            if not self._windows and self._loop is not None:
                leave()

        loop.call_later(LEAVE_AFTER, look_again)

    # ------------------------------------------------------------
    # what all windows are told
    def _photograph_changed(self, photograph: Photograph | None) -> None:
        if photograph is None:
            self._tell({"event": "library", "photographs": self._photographs()})
        else:
            self._tell({"event": "photograph", "photograph": photograph.describe()})

    def _work_changed(self, work: Work) -> None:
        self._tell({"event": "work", "work": work.describe()})

    def _tell(self, event: Mapping[str, Any]) -> None:
        """Send an event to every window, from any thread."""
        loop, text = self._loop, json.dumps({"kind": "event", **event}, allow_nan=False)
        if loop is None:
            return

        def send() -> None:
            for socket in list(self._windows.values()):
                task = asyncio.ensure_future(_send(socket, text))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

        with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(send)

    # ------------------------------------------------------------
    # requests of the shell
    def _photographs(self) -> list[dict[str, Any]]:
        known = [self.library.photographs.get(one.id) for one in list(self.project.listed)]
        return [one.describe() for one in known if one is not None]

    def _state(self, request: Request) -> dict[str, Any]:
        return {
            "folder": str(self.project.folder),
            "photographs": self._photographs(),
            "views": self.project.views,
            "drivers": self.drivers.names(),
            "works": [work.describe() for work in self.workshop.works.values()],
            "exports": self.exports.names()[:200],
        }

    def _keep(self, request: Request) -> dict[str, Any]:
        views = request.content.get("views")
        if not isinstance(views, dict):
            raise DataError("nothing to keep", where="views", expected="an object")
        self.project.keep_views(views)
        return {}

    def _open(self, request: Request) -> dict[str, Any]:
        """Open a folder or a picture of this machine."""
        return {"names": self.library.open_folder(Path(request.text("path", longest=4096)))}

    def _remove(self, request: Request) -> dict[str, Any]:
        self.library.remove(request.text("photograph"))
        return {}

    def _cancel(self, request: Request) -> dict[str, Any]:
        self.workshop.cancel(request.whole("work", 0, 2**31))
        return {}

    # ------------------------------------------------------------
    # files
    async def _upload(self, request: HttpRequest) -> Response:
        if is_foreign(request.headers):
            return Response("another page", 403)
        name = Path(request.query_params.get("name", "picture")).name
        is_scan = request.query_params.get("kind") == "scan"
        largest = LARGEST if Path(name).suffix.lower() in KINDS else LARGEST_UPLOAD
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryFile() as content:
            try:
                length = 0
                async for chunk in request.stream():
                    length += len(chunk)
                    if length <= largest:
                        content.write(chunk)
                if length > largest:  # a browser takes no answer before it has sent all
                    raise DataError(
                        "the file is too large",
                        where=name[:80],
                        expected=f"at most {largest // 10**6} MB",
                        found=f"{length / 1e6:.0f} MB",
                        remedy="Make it smaller, or open its folder in the library.",
                    )
                content.seek(0)
                taken = await loop.run_in_executor(None, self._take, name, content, is_scan)
            except ClientDisconnect:  # the page was left meanwhile
                return Response("", 400)
            except FacemorphError as error:
                return _said(error)
        return Response(json.dumps(taken), 200, HEADERS, "application/json")

    def _take(self, name: str, content: BinaryIO, is_scan: bool) -> dict[str, str]:
        """Keep a file that was dropped into the page; what it became, and its name."""
        if is_scan:
            return {"scan": self.scans.take_upload(name, content.read())}
        if self.drivers.takes(name, content):
            new = self.drivers.take_upload(name, content)
            self._tell({"event": "drivers", "drivers": self.drivers.names()})
            return {"driver": new}
        if Path(name).suffix.lower() in LANDMARK_FILES:
            return {"points": self.library.take_points(name, content.read())}
        return {"photograph": self.library.take_upload(name, content.read())}

    async def _thumbnail(self, request: HttpRequest) -> Response:
        photograph = self.library.photographs.get(request.path_params["name"])
        if photograph is None or not photograph.thumbnail:
            return Response("no such picture", 404)
        return Response(photograph.thumbnail, 200, HEADERS, "image/jpeg")

    async def _photograph(self, request: HttpRequest) -> Response:
        photograph = self.library.photographs.get(request.path_params["name"])
        if photograph is None:
            return Response("no such picture", 404)
        loop = asyncio.get_running_loop()
        try:
            content = await loop.run_in_executor(None, _shown, photograph.path)
        except FacemorphError as error:
            return _said(error)
        return Response(content, 200, HEADERS, "image/jpeg")

    async def _export(self, request: HttpRequest) -> Response:
        try:
            path = self.project.exported(request.path_params["name"])
        except DataError as error:
            return _said(error, 404)
        wanted = "save" in request.query_params
        return FileResponse(
            path,
            headers=HEADERS,
            filename=path.name,
            content_disposition_type="attachment" if wanted else "inline",
        )


def _sender(content: bytes, media_type: str) -> Callable[[HttpRequest], Any]:
    async def send(request: HttpRequest) -> Response:
        return Response(content, 200, HEADERS, media_type)

    return send


async def _send(socket: WebSocket, reply: str | bytes) -> None:
    """Send a reply to a window that may be gone."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await (socket.send_bytes(reply) if isinstance(reply, bytes) else socket.send_text(reply))


def _failure(number: int | None, error: Exception) -> str:
    return json.dumps(
        {
            "kind": "error",
            "id": number,
            "error": type(error).__name__,
            "message": str(error)[:800],
        }
    )


def _said(error: FacemorphError, status: int = 422) -> Response:
    return Response(
        json.dumps({"error": type(error).__name__, "message": str(error)[:800]}),
        status,
        HEADERS,
        "application/json",
    )


def _shown(path: Path) -> bytes:
    """A photograph as the page shows it."""
    image = load_image(path)
    if max(image.shape[1:]) > LARGEST_SHOWN:
        frame = Frame.of(image).scaled_to(LARGEST_SHOWN)
        image = resize_image(image, (frame.height, frame.width)).clamp(0, 1)
    return jpeg(image, 92)
