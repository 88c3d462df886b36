"""``facemorph caricature``: what sets a face apart from an average, exaggerated or reduced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.classics import caricature as make_caricature
from facemorph.commands.from_signature import options_of
from facemorph.jobs.input_files import picture_files


@options_of(make_caricature)
def caricature(subject: Path, average: list[Path], output: Path, **options: Any) -> None:
    """Exaggerate a face against an average, or make it more average."""
    others = picture_files(average)
    result = make_caricature(subject, others, output, **options)
    console.out.print(
        f"shape {options['shape']:g}, colour {options['color']:g}, "
        f"texture {options['texture']:g} away from the average of {len(others)} faces"
    )
    console.say_files(result.files)
    console.say_next("morph", subject, output, "-o", "change.mp4")
