"""``facemorph transfer``: a face with the expression of another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.generation import transfer as generation
from facemorph.apps.implicit import transfer as implicit
from facemorph.commands.from_signature import arguments_for, options_of_each
from facemorph.commands.kinds import kind_of

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ImFace": implicit.transfer,
    "GIF": generation.transfer,
}


@options_of_each(FUNCTIONS)
def transfer(output: Path, checkpoint: str, **options: Any) -> None:
    """The face of B with the expression of A: meshes of an implicit model, or pictures."""
    kind = kind_of(checkpoint, FUNCTIONS, "this checkpoint has no expressions to carry over")
    wanted = arguments_for(FUNCTIONS, kind, options)
    FUNCTIONS[kind](output=output, checkpoint=checkpoint, **wanted)
    console.say_files([output / implicit.PICTURE, output / implicit.REPORT])
