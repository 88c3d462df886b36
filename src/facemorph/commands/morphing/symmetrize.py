"""``facemorph symmetrize``: a photograph and its mirror image, averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.classics import symmetrize as make_symmetric
from facemorph.commands.from_signature import options_of


@options_of(make_symmetric)
def symmetrize(subject: Path, output: Path, **options: Any) -> None:
    """Make a face symmetric."""
    console.say_files(make_symmetric(subject, output, **options).files)
    console.say_next("morph", subject, output, "-o", "change.mp4")
