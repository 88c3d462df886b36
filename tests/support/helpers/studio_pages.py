"""The studio in a browser, for tests: errors of its page or server fail them at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from facemorph.bench.pages.browser import wait_for
from facemorph.bench.pages.studio import OpenStudio, open_studio

PATIENCE = 180  # seconds


@contextlib.contextmanager
def watched_studio(
    project: Path, view: str | None = None, arguments: tuple[str, ...] = ()
) -> Iterator[OpenStudio]:
    """``open_studio`` with a view shown; asserts afterwards that its page had no error and its
    server no traceback.
    """
    with open_studio(project, view, arguments) as opened:
        opened.page.set_default_timeout(PATIENCE * 1000)
        errors: list[str] = []
        opened.page.on("pageerror", lambda error: errors.append(str(error)))
        if view is not None:
            wait_for(opened.page, f"() => window.studio.current === '{view}'", PATIENCE)
        yield opened
        assert errors == [], errors
        assert not [line for line in opened.server.lines if "Traceback" in line], (
            opened.server.lines
        )
