"""``facemorph import-ifmorph``: an experiment of the authors' project as one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.ifmorph_import import import_ifmorph as read
from facemorph.commands.from_signature import options_of


@options_of(read)
def import_ifmorph(experiment: Path, output: Path, **options: Any) -> None:
    """Turn an experiment of ifmorph into one of ours, or its landmarks into ours."""
    result = read(experiment, output, **options)
    if result.unused:
        console.err.print(f"not used here: {', '.join(result.unused)}", markup=False)
    console.say_files(result.files)
    if experiment.suffix.lower() != ".dat":
        console.say_next("train", "--config-dir", output, f"experiment={result.name}")
