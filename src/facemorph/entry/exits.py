"""How a command ends: a user's error in one paragraph without traceback, and a telling
exit code.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from facemorph import console
from facemorph.errors import FacemorphError

OK, INTERRUPTED = 0, 130
DEBUG = "FACEMORPH_DEBUG"


def guarded(function: Callable[[], Any], *, debug: bool | None = None) -> int:
    """Run a command and turn what it raises into an exit code.

    Args:
        function: The command.
        debug: Show tracebacks of a user's errors too; None asks ``FACEMORPH_DEBUG``.

    Returns:
        0 ok; 2 (or what the error says) for a user's error, printed in one paragraph; 130 for
        Ctrl-C. Anything unexpected is raised on: Python prints the traceback and exits with 1.
    """
    debug = bool(os.environ.get(DEBUG)) if debug is None else debug
    try:
        function()
    except FacemorphError as error:
        if debug:
            raise
        code = error.exit_code
        if code < INTERRUPTED or os.environ.get("LOCAL_RANK", "0") == "0":
            word = "error" if code < INTERRUPTED else "stopped"
            console.err.print(f"[bold red]{word}:[/bold red] ", end="")
            console.err.print(str(error), markup=False)
        return code
    except KeyboardInterrupt:
        console.err.print("interrupted")
        return INTERRUPTED
    return OK
