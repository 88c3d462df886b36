"""``facemorph redo``: an output made again from the recipe beside it, and compared bit for bit."""

from __future__ import annotations

from typing import Any

from facemorph import console
from facemorph.commands.from_signature import options_of
from facemorph.jobs.redo import redo as make_again

DIFFERENT = 3


@options_of(make_again)
def redo(**options: Any) -> int:
    """Make an output again from its recipe; 0 if it is identical, 3 if it is not."""
    result = make_again(**options)
    console.say_files(result.files)
    console.out.print(
        "identical, bit for bit" if result.identical else "NOT identical to the recorded output"
    )
    if not result.identical and not result.differences:
        console.out.print(
            "The versions are the same: the difference comes from the device or its libraries."
        )
    return 0 if result.identical else DIFFERENT
