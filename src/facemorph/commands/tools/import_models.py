"""``facemorph import``: files of other projects that only their user may have, into what facemorph
reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import_models = typer.Typer(
    no_args_is_help=True, help="Read the files of other projects once, for later use."
)


@import_models.callback()
def options() -> None:
    """Read the files of other projects once, for later use."""


@import_models.command()
def ict(
    folder: Annotated[
        Path, typer.Argument(help="Clone of github.com/USC-ICT/ICT-FaceKit, or its FaceXModel.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT", help="The .npz to write, if not the usual place."
        ),
    ] = None,
) -> None:
    """Keep the arrays of the head model ICT-FaceKit (MIT), to be used as the model `ict`."""
    from facemorph import console
    from facemorph.geometry.models.ict import import_ict

    console.out.print(str(import_ict(folder, output)), markup=False)
