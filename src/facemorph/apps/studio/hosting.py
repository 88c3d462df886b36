"""What the pages in the browser have in common: served on this machine only, from a secret address.

Everything lies below a random path, so that other users and pages cannot guess it; a foreign Host
gets 400, a foreign Origin 403. This module loads nothing heavy.
"""

from __future__ import annotations

import errno
import importlib.util
import socket
import threading
import webbrowser
from collections.abc import Mapping
from typing import TYPE_CHECKING

from facemorph import console
from facemorph.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

PACKAGES = ("starlette", "uvicorn", "websockets")
HOST = "127.0.0.1"
HOSTS = [HOST, "localhost"]
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
    ".js": "text/javascript",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; base-uri "
    "'none'; form-action 'none'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; frame-src 'self'; "
    "connect-src 'self' ws://127.0.0.1:* ws://localhost:*; "
    "frame-ancestors 'self'",
}


def check_packages(page: str) -> None:
    """Refuse to serve a page whose packages are not installed.

    Raises:
        MissingExtra: One is not; it says how all are installed.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            f"the {page} needs packages that are not installed",
            where=", ".join(missing),
            remedy="Install them with: pip install 'facemorph-torch[ui]'",
        )


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a request comes from a page that this server did not send."""
    origin = headers.get("origin")
    return origin is not None and origin != f"http://{headers.get('host')}"


def listen(port: int) -> socket.socket:
    """A listening socket on this machine only.

    Args:
        port: TCP port; 0 takes a free one.

    Raises:
        ConfigError: The port is taken, reserved or no port.
    """
    if not 0 <= port <= 65535:
        raise ConfigError("no such port", where="port", expected="0 to 65535", found=port)
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror
        raise ConfigError(
            "the port cannot be used",
            where="port",
            found=f"{port}: {reason}",
            remedy="Leave --port out to take a free one.",
        ) from error
    return listening


def web_server(app: Starlette, largest_message: int) -> uvicorn.Server:
    """A server of a page, to be handed to `serve`.

    Args:
        app: The page's application.
        largest_message: Bytes of a message over its socket.
    """
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            ws_max_size=largest_message,
            ws_per_message_deflate=False,  # pictures do not shrink, and it takes as long as drawing
            timeout_graceful_shutdown=2,
            server_header=False,
        )
    )


def serve(
    server: uvicorn.Server, listening: socket.socket, path: str, page: str, browser: bool
) -> None:
    """Serve a page until Ctrl-C, or until the server is told to leave.

    Args:
        server: Of `web_server`.
        listening: Of `listen`.
        path: Secret first part of the address.
        page: What to call it.
        browser: Open it in the browser.
    """
    url = f"http://{HOST}:{listening.getsockname()[1]}/{path}/"
    console.out.print(f"{page}: {url}", markup=False)
    console.out.print("Ctrl-C ends it.")
    if browser:  # some browsers return only when they are closed
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # the usual end; the server has shut down already
        console.out.print("")
