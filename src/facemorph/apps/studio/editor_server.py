"""The landmark editor's server: one page, both photographs, one WebSocket; on this machine only.

Everything lies below a random path, so that other users and pages cannot guess it; a foreign Host
gets 400, a foreign Origin 403. What the page loads is read into memory when the server starts: no
path comes from outside.
"""

from __future__ import annotations

import asyncio
import io
import json
import logging
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from torch import Tensor

from facemorph.apps.studio.editor_preview import JPEG_SIZE, PreviewSolver, draw_preview
from facemorph.apps.studio.editor_session import SAVED_AS, SIDES, EditorSession
from facemorph.apps.studio.editor_wire import Header, Request, pack, parse_request, request_id
from facemorph.apps.studio.hosting import HEADERS, HOSTS, MEDIA_TYPES, is_foreign
from facemorph.errors import FacemorphError, GeometryError, OutputError
from facemorph.faces.files.image_io import resize_image
from facemorph.faces.files.image_output import to_bytes, to_picture
from facemorph.ops.frames import Frame
from facemorph.storage.files import ASSETS

logger = logging.getLogger(__name__)

PAGE = ASSETS / "editor"
LARGEST_PHOTOGRAPH = 4096  # longer side of what the page shows


class EditorServer:
    """Answers the page's requests; all work is done by one thread, in the order in which it comes.

    Args:
        session: What is edited.
    """

    def __init__(self, session: EditorSession) -> None:
        self.session, self.path = session, secrets.token_urlsafe(16)
        self._solver = PreviewSolver(session.pair.frame, session.smoothing)
        self._worker = ThreadPoolExecutor(1, "editor", initializer=_prepare_thread)
        images = torch.stack([session.pair.image_a, session.pair.image_b])
        frame = session.pair.frame.scaled_to(min(JPEG_SIZE, max(images.shape[2:])))
        self._small = resize_image(images, (frame.height, frame.width))

    def app(self) -> Starlette:
        """The web application."""
        contents: dict[str, tuple[bytes, str]] = {"state": (b"", "application/json")}
        for file in PAGE.iterdir():
            if file.suffix in MEDIA_TYPES:
                name = "" if file.name == "index.html" else file.name
                contents[name] = file.read_bytes(), MEDIA_TYPES[file.suffix]
        for side, (photograph, face) in enumerate(
            zip(
                self.session.photographs,
                (self.session.pair.image_a, self.session.pair.image_b),
                strict=True,
            )
        ):
            contents[f"photograph{side}"] = (
                _encoded(_reduced(photograph.image), "JPEG"),
                "image/jpeg",
            )
            contents[f"face{side}"] = _encoded(face, "PNG"), "image/png"
        routes: list[BaseRoute] = [
            WebSocketRoute("/live", self._converse),
            Route("/points/{name}", self._download),
        ]
        routes += [Route(f"/{name}", self._sender(*content)) for name, content in contents.items()]
        return Starlette(
            routes=[Mount(f"/{self.path}", routes=routes)],
            lifespan=self._lifespan,
            middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self.close()
        self.session.autosave()

    def close(self) -> None:
        """Finish what is under way, and answer no more."""
        self._worker.shutdown()

    def _sender(self, content: bytes, media_type: str) -> Callable[[HttpRequest], Any]:
        async def send(request: HttpRequest) -> Response:
            body = content or json.dumps(self.session.describe()).encode()
            return Response(body, media_type=media_type, headers=HEADERS)

        return send

    async def _download(self, request: HttpRequest) -> Response:
        """The newest points of one side as a file."""
        kinds = {
            f"{side}{suffix}": (index, suffix)
            for index, side in enumerate(SIDES)
            for suffix in SAVED_AS
        }
        wanted = kinds.get(request.path_params["name"])
        if wanted is None:
            return Response("no such file", 404)
        content = await self._do(self._points_file, *wanted)
        name = f"points.{request.path_params['name']}"
        return Response(
            content,
            media_type="application/octet-stream",
            headers=HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def _points_file(self, side: int, suffix: str) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"points{suffix}"
            self.session.write(path, side)
            return path.read_bytes()

    async def _do(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

    async def _converse(self, socket: WebSocket) -> None:
        if is_foreign(socket.headers):
            await socket.close(4403)  # before accepting: the answer is 403
            return
        await socket.accept()
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                reply = await self._do(self.answer, message.get("text"))
                await (
                    socket.send_bytes(reply)
                    if isinstance(reply, bytes)
                    else socket.send_text(reply)
                )
        except (WebSocketDisconnect, RuntimeError):  # gone while its answer was made
            return

    def answer(self, text: str | None) -> bytes | str:
        """The reply to one message; what is wrong with it, or why it cannot be done, is a reply
        too.
        """
        start = perf_counter()
        try:
            request = parse_request(text)
            self.session.take(request.points, request.ids)
            header, data = {
                "morph": self._morph,
                "measure": self._measure,
                "carry": self._carry,
                "save": self._save,
            }[request.kind](request)
        except Exception as error:
            if not isinstance(error, FacemorphError):
                logger.exception("The editor could not answer a request.")
            return json.dumps(
                {
                    "kind": "error",
                    "id": request_id(text),
                    "error": type(error).__name__,
                    "message": str(error)[:500],
                }
            )
        header = {
            "kind": request.kind,
            "id": request.id,
            "milliseconds": (perf_counter() - start) * 1e3,
            **header,
        }
        return pack(header, data) if data else json.dumps(header, allow_nan=False)

    def _morph(self, request: Request) -> tuple[Header, bytes]:
        source, target = self.session.landmarks()
        if request.detail == "still":
            self._keep()
        try:
            maps = self._solver.lattice(source, target, request.time, request.detail)
            mask = (
                self._solver.mask(source, target, request.time, self.session.scheme, request.detail)
                if request.mask
                else None
            )
        except torch.linalg.LinAlgError as error:
            raise GeometryError("these points have no warp", found=str(error)[:80]) from error
        if request.picture:
            return {"format": "jpeg"}, draw_preview(self._small, maps, request.time, mask)
        header: dict[str, object] = {"format": "lattice", **maps.header(), "mask": None}
        data = maps.coefficients.numpy().tobytes()
        if mask is not None:
            header["mask"] = list(mask.shape[1:])
            data += to_bytes(mask).tobytes()
        return header, data

    def _measure(self, request: Request) -> tuple[Header, bytes]:
        source, target = self.session.landmarks()
        return {**self._solver.measure(source, target), "scheme": self.session.scheme}, b""

    def _carry(self, request: Request) -> tuple[Header, bytes]:
        """The place of a point of one photograph in the other."""
        at = request.at if request.at is not None else torch.zeros(2)
        flow = self._solver.flow(*self.session.landmarks())
        moved = flow(
            self.session.to_field(at[None], request.side), float(request.side), 1.0 - request.side
        )
        return {"at": self.session.from_field(moved, 1 - request.side)[0].tolist()}, b""

    def _save(self, request: Request) -> tuple[Header, bytes]:
        return {
            "files": [path.name for path in self.session.save()],
            "scheme": self.session.scheme,
        }, b""

    def _keep(self) -> None:
        """Unsaved points survive even a killed server."""
        try:
            self.session.autosave()
        except OutputError as error:
            logger.warning("%s", error)


def _prepare_thread() -> None:
    """One torch thread: with two, LU of this size can hang (ops.threads), and the browser needs a
    core.
    """
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


def _reduced(image: Tensor) -> Tensor:
    if max(image.shape[1:]) <= LARGEST_PHOTOGRAPH:
        return image
    frame = Frame.of(image).scaled_to(LARGEST_PHOTOGRAPH)
    return resize_image(image, (frame.height, frame.width))


def _encoded(image: Tensor, kind: str) -> bytes:
    buffer = io.BytesIO()
    to_picture(image).save(buffer, kind, quality=92, compress_level=1)
    return buffer.getvalue()
