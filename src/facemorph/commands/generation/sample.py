"""``facemorph sample``: random faces of a trained model, of whatever kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.generation import sample_faces as generation
from facemorph.apps.implicit import sample as implicit
from facemorph.commands.from_signature import arguments_for, options_of_each
from facemorph.commands.kinds import kind_of

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ImFace": implicit.sample,
    "GIF": generation.sample_faces,
}


@options_of_each(FUNCTIONS)
def sample(output: Path, checkpoint: str, **options: Any) -> None:
    """Random faces: meshes of an implicit model, pictures of a generator, and a sheet of them."""
    kind = kind_of(checkpoint, FUNCTIONS, "nothing can be drawn from this checkpoint")
    wanted = arguments_for(FUNCTIONS, kind, options)
    FUNCTIONS[kind](output, checkpoint, **wanted)
    if kind == "GIF":
        console.say_files([output / generation.SHEET, output / generation.REPORT])
        return
    console.say_files([output / implicit.PICTURE, output / implicit.REPORT])
    if options.get("start") is None:
        codes = (output / f"{name}_codes.npz" for name in ("face_001", "mean"))
        console.say_next("interpolate", *codes, "-o", "morph.mp4")
