"""``facemorph studio``: everything in one page of the browser."""

from __future__ import annotations

from typing import Any

from facemorph.apps.studio.studio import studio as open_studio
from facemorph.commands.from_signature import options_of


@options_of(open_studio)
def studio(**options: Any) -> None:
    """Morph, move, generate and export in one page of the browser; ends with Ctrl-C."""
    open_studio(**options)
