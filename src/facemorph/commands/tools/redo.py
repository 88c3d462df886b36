"""``facemorph redo``: an output made again from the recipe beside it, and compared bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DIFFERENT = 3


def redo(
    recipe: Annotated[
        Path,
        typer.Argument(help="STEM.recipe.yaml, as it lies beside an output.", metavar="RECIPE"),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="Where to write; without it the result is only compared.",
        ),
    ] = None,
) -> int:
    """Make an output again from its recipe; 0 if it is identical, 3 if it is not."""
    from facemorph import console
    from facemorph.jobs import recipe as app

    result = app.redo(recipe, output)
    for file in result.files:
        console.out.print(str(file), markup=False)
    console.out.print(
        "identical, bit for bit" if result.identical else "NOT identical to the recorded output"
    )
    if not result.identical and not result.differences:
        console.out.print(
            "The versions are the same: the difference comes from the device or its libraries."
        )
    return 0 if result.identical else DIFFERENT
