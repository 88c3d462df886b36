"""``facemorph import-ifmorph``: an experiment of the authors' project as one of ours."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def import_ifmorph(
    experiment: Annotated[Path, typer.Argument(help="Experiment YAML of the ifmorph project.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the result.")],
) -> None:
    """Turn an experiment of the ifmorph project into one that `facemorph train` runs."""
    from facemorph import console
    from facemorph.apps.ifmorph_import import import_experiment

    result = import_experiment(experiment, output)
    if result.unused:
        console.err.print(f"not used here: {', '.join(result.unused)}", markup=False)
    for path in result.files:
        console.out.print(str(path), markup=False)
    words = ["facemorph", "train", "--config-dir", str(output), f"experiment={result.name}"]
    console.next_command(shlex.join(words))
