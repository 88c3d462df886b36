"""The landmark editor: a page in the browser that edits points while the morph follows."""

from __future__ import annotations

import errno
import importlib.util
import socket
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph import console
from facemorph.errors import ConfigError, MissingExtra
from facemorph.faces.choices import Detector
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import Option, checked

if TYPE_CHECKING:
    from facemorph.apps.studio.editor_session import EditorSession

PACKAGES = ("starlette", "uvicorn", "websockets")
HOST = "127.0.0.1"


@checked
def edit(
    a: str | Path,
    b: str | Path,
    output: Annotated[str | Path | None, Option(("-o", "--output"), "STEM", kind=Path)] = None,
    *,
    points_a: str | Path | None = None,
    points_b: str | Path | None = None,
    detector: Detector = "embedded",
    min_score: float | None = None,
    size: int = 512,
    port: int = 0,
    browser: bool = True,
) -> bool:
    """Serve the editor until Ctrl-C.

    Args:
        a: First photograph.
        b: Second photograph.
        output: Stem of the saved files: STEM.a.json, STEM.b.json, and .tem and .pts of both; A_B in
            the current folder when not given.
        points_a: Landmark file of the first photograph (of any kind, in its pixels);
            found by the detector when not given.
        points_b: Landmark file of the second.
        detector: What finds the landmarks.
        min_score: Lowest score of a face; the detector's own when not given.
        size: Longer side of the morph in pixels.
        port: TCP port on 127.0.0.1; 0 takes a free one.
        browser: Open the page in the browser.

    Returns:
        Whether all points are saved; others are in ``STEM.autosave.json`` and restored next time.

    Raises:
        MissingExtra: The packages of the extra ``ui`` are not installed.
        ConfigError: The port cannot be used.
        FacemorphError: As ``facemorph.apps.studio.editor_session.open_session``.
    """
    check_files_exist([a, b, points_a, points_b])
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(
            "the landmark editor needs packages that are not installed",
            where=", ".join(missing),
            remedy="Install them with: pip install 'facemorph-torch[ui]'",
        )
    from facemorph.apps.studio.editor_session import open_session

    a, b = Path(a), Path(b)
    stem = Path(output) if output is not None else Path(f"{a.stem}_{b.stem}")
    files = [None if file is None else Path(file) for file in (points_a, points_b)]
    listening = _listen(port)
    with listening:
        session = open_session(
            a,
            b,
            stem,
            points_a=files[0],
            points_b=files[1],
            detector=detector,
            min_score=min_score,
            size=size,
        )
        _serve(session, listening, browser)
    if session.unsaved:
        console.out.print(f"unsaved points: {session.autosave()}", markup=False)
    if session.saved_once:
        points = [str(path) for path in session.files() if path.suffix == ".json"]
        words = ["-o", f"{stem.name}.mp4", "--points-a", points[0], "--points-b", points[1]]
        placed = [] if session.is_named else ["--align", "none"]
        console.say_next("morph", str(a), str(b), *words, *placed)
    else:
        console.say_next("edit", str(a), str(b), "-o", str(stem))
    return not session.unsaved


def _serve(session: EditorSession, listening: socket.socket, browser: bool) -> None:
    """Serve the page until Ctrl-C."""
    import uvicorn

    from facemorph.apps.studio.editor_server import EditorServer
    from facemorph.apps.studio.editor_wire import MAX_MESSAGE

    editor = EditorServer(session)
    settings = uvicorn.Config(
        editor.app(),
        log_level="warning",
        ws_max_size=4 * MAX_MESSAGE,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    url = f"http://{HOST}:{listening.getsockname()[1]}/{editor.path}/"
    console.out.print(f"editor: {url}", markup=False)
    console.out.print("Ctrl-C ends it.")
    if browser:  # some browsers return only when they are closed
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    try:
        uvicorn.Server(settings).run(sockets=[listening])
    except KeyboardInterrupt:  # the usual end; the server has shut down already
        console.out.print("")


def _listen(port: int) -> socket.socket:
    """A listening socket on this machine only.

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
