"""``facemorph edit``: the landmark editor in the browser."""

from __future__ import annotations

from typing import Any

import typer

from facemorph.apps.studio.editor import edit as open_editor
from facemorph.commands.from_signature import options_of
from facemorph.entry.exits import INTERRUPTED


@options_of(open_editor)
def edit(**options: Any) -> None:
    """Edit the landmarks of two faces while the morph follows; ends with Ctrl-C."""
    if not open_editor(**options):
        raise typer.Exit(INTERRUPTED)
