"""``facemorph regions``: eyes of one face, mouth of the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.classics import regions as morph_regions
from facemorph.commands.from_signature import options_of


@options_of(morph_regions)
def regions(a: Path, b: Path, output: Path, **options: Any) -> None:
    """Morph each region of a face at a time of its own."""
    console.say_files(morph_regions(a, b, output, **options).files)
    console.say_next("morph", a, b, "-o", "morph.mp4")
