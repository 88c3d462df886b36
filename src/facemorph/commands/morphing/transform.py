"""``facemorph transform``: a photograph changed by the difference of two others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.classics import transform as make_transform
from facemorph.commands.from_signature import options_of
from facemorph.jobs.input_files import picture_files


@options_of(make_transform)
def transform(
    subject: Path, start: list[Path], end: list[Path], output: Path, **options: Any
) -> None:
    """Change a face by the difference of two others: shape, colour and texture apart."""
    first, second = picture_files(start), picture_files(end)
    result = make_transform(subject, first, second, output, **options)
    console.out.print(
        f"shape {options['shape']:g}, colour {options['color']:g}, "
        f"texture {options['texture']:g} of the difference "
        f"from {len(first)} to {len(second)} faces"
    )
    console.say_files(result.files)
    console.say_next("morph", subject, output, "-o", "change.mp4")
