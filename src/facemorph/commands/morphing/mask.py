"""``facemorph mask``: the face cut out of its photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.classics import mask as cut_mask
from facemorph.commands.from_signature import options_of


@options_of(cut_mask)
def mask(subject: Path, output: Path, **options: Any) -> None:
    """Cut the face out of its picture."""
    console.say_files(cut_mask(subject, output, **options).files)
    console.say_next("average", subject, "-o", "average.png")
