"""A page of facemorph in headless Chromium: served by the command as a user runs it, driven by a
real pointer.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any

from facemorph.errors import MissingExtra

# As Chromium does by itself on a machine without a GPU: SwiftShader draws WebGL, and not the page.
SOFTWARE_GL = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-gpu-rasterization",
    "--disable-gpu-compositing",
)
VIEWPORT = {"width": 1340, "height": 760}
PATIENCE = 30.0
LONGEST_PAUSE = 0.1  # seconds between two looks at a condition that takes long


def why_not() -> str | None:
    """Why the page cannot be driven here; None where it can."""
    for name in ("playwright", "starlette", "uvicorn", "websockets"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed: pip install 'facemorph-torch[dev]'"
    return (
        None
        if chromium()
        else "Chromium is not here: apt install chromium, or name it in $FACEMORPH_CHROMIUM"
    )


def chromium() -> str | None:
    """The browser's program."""
    return (
        os.environ.get("FACEMORPH_CHROMIUM")
        or shutil.which("chromium")
        or shutil.which("google-chrome")
    )


@dataclass(frozen=True)
class ServedPage:
    """A page that is served.

    Attributes:
        url: Its address.
        process: Number of the server's process.
        lines: What it has said so far.
    """

    url: str
    process: int
    lines: list[str]


@contextlib.contextmanager
def serving_page(words: Sequence[str]) -> Iterator[ServedPage]:
    """A command that serves a page, in a process of its own, as a user runs it. Ended as by Ctrl-C.

    Args:
        words: Behind ``facemorph``; ``--no-browser`` is added.

    Raises:
        MissingExtra: It did not start.
    """
    server = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "facemorph.cli", *words, "--no-browser"],
        # Bytecode is kept, as where a package is installed: start-up is measured too.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    try:
        found = None
        for line in server.stdout or ():
            lines.append(line)
            found = re.search(r"http://\S+", line)
            if found is not None:
                break
        if found is None:
            raise MissingExtra(
                "the page is not served",
                where=f"facemorph {words[0]}",
                found=f"code {server.wait()}: {' '.join(lines)[-300:]}",
            )
        reader = Thread(target=lambda: lines.extend(server.stdout or ()), daemon=True)
        reader.start()
        yield ServedPage(found[0], server.pid, lines)
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@contextlib.contextmanager
def open_page(
    url: str, requests: list[str] | None = None, arguments: Sequence[str] = ()
) -> Iterator[Any]:
    """A Playwright page in headless Chromium with software GL.

    Args:
        url: Address of the page.
        requests: Gets the address of all that the page asks for.
        arguments: Further ones of the browser.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), headless=True, args=[*SOFTWARE_GL, *arguments]
        )
        try:
            page = browser.new_page(viewport=VIEWPORT)  # type: ignore[arg-type]
            if requests is not None:
                page.on("request", lambda request: requests.append(request.url))
                page.on("websocket", lambda socket: requests.append(socket.url))
            page.goto(url)
            yield page
        finally:
            browser.close()


def wait_for(page: Any, condition: str, patience: float = PATIENCE) -> float:
    """Wait until a JavaScript condition holds; the milliseconds that it took.

    The page's content security policy forbids what Playwright's own waiting does.

    Raises:
        TimeoutError: It does not hold in time.
    """
    start, pause = time.perf_counter(), 0.005
    while not page.evaluate(condition):
        if time.perf_counter() - start > patience:
            raise TimeoutError(condition)
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST_PAUSE)  # asking takes what the page needs
    return (time.perf_counter() - start) * 1000
