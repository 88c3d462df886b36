"""``facemorph average``: any number of photographs to their average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.classics import average as make_average
from facemorph.commands.from_signature import options_of
from facemorph.jobs.input_files import picture_files


@options_of(make_average)
def average(pictures: list[Path], output: Path, **options: Any) -> None:
    """Average faces: mean shape, mean colours."""
    files = picture_files(pictures)
    result = make_average(files, output, **options)
    console.out.print(f"average of {result.used} faces, {len(result.faces[0].points)} landmarks")
    console.say_files(result.files)
    console.say_next("caricature", files[0], "--average", output, "-o", "caricature.png")
