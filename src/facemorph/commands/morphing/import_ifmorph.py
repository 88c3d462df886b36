"""``facemorph import-ifmorph``: an experiment of the authors' project as one of ours."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def import_ifmorph(
    experiment: Annotated[
        Path, typer.Argument(help="Experiment YAML, or landmarks (.dat), of the ifmorph project.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="OUT", help="Folder of the result; of .dat, a landmark file."
        ),
    ],
    image: Annotated[Path | None, typer.Option(help="The picture that a .dat belongs to.")] = None,
) -> None:
    """Turn an experiment of the ifmorph project into one that `facemorph train` runs, or its
    landmarks into ours.
    """
    from facemorph import console
    from facemorph.apps.morphing.ifmorph_import import import_experiment, import_points

    if experiment.suffix.lower() == ".dat":
        console.out.print(str(import_points(experiment, image, output)), markup=False)
        return
    result = import_experiment(experiment, output)
    if result.unused:
        console.err.print(f"not used here: {', '.join(result.unused)}", markup=False)
    for path in result.files:
        console.out.print(str(path), markup=False)
    words = ["facemorph", "train", "--config-dir", str(output), f"experiment={result.name}"]
    console.next_command(shlex.join(words))
