"""``facemorph animate``: a photograph moves as somebody else does in a video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.heads.animate import animate as move
from facemorph.commands.from_signature import options_of
from facemorph.storage.suffixes import RECORDINGS


@options_of(move)
def animate(source: Path, driving: Path, output: Path, **options: Any) -> None:
    """Carry the expression and pose of a video onto a photograph."""
    result = move(source, driving, output, **options)
    console.out.print(f"{result.frames} frames")
    console.say_files(result.files if output.suffix else [output, result.files[-1]])
    if driving.suffix.lower() in RECORDINGS:  # nothing was fitted
        console.say_next("reenact", source, "--driving", driving, "-o", "sharp.mp4")
    else:
        note = "shows how the driving face was fitted"
        console.say_next("fit", driving, "-o", "fitted", note=note)
