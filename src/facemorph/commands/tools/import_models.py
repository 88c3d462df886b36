"""``facemorph import``: files of other projects that only their user may have, into what facemorph
reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NewFolder = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="DIR", help="New folder to write, if not the usual place."
    ),
]
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


@import_models.command()
def flame(
    file: Annotated[
        Path, typer.Argument(help="flame2023_Open.pkl, or another FLAME of 2020 or 2023.")
    ],
    output: NewFolder = None,
    landmarks: Annotated[
        Path | None,
        typer.Option(help="landmark_embedding.npy of DECA, if it is not beside the model."),
    ] = None,
) -> None:
    """Keep a FLAME as plain arrays, read without unpickling, to be used as the model `flame`."""
    from facemorph import console
    from facemorph.geometry.models.flame import import_flame

    console.out.print(str(import_flame(file, landmarks=landmarks, output=output)), markup=False)


@import_models.command()
def gnm(
    file: Annotated[Path, typer.Argument(help="gnm_head.npz of github.com/google/GNM.")],
    output: NewFolder = None,
    landmarks: Annotated[
        Path | None,
        typer.Option(help="head_sparse_68.txt, if it is neither beside the model nor in a clone."),
    ] = None,
) -> None:
    """Keep GNM Head (Apache-2.0) of any release, to be used as the model `gnm`."""
    from facemorph import console
    from facemorph.geometry.models.gnm import import_gnm

    console.out.print(str(import_gnm(file, landmarks=landmarks, output=output)), markup=False)


@import_models.command()
def gdpw(
    file: Annotated[
        Path, typer.Argument(help="Checkpoint that the authors of GDPW (BMVC 2022) released.")
    ],
    output: NewFolder = None,
    model: Annotated[
        str, typer.Option(help="File of the morphable model FLAME, to be named in the folder.")
    ] = "flame",
) -> None:
    """Make a release folder of a checkpoint of GDPW's authors, read without unpickling."""
    from facemorph import console
    from facemorph.systems.gdpw.published_weights import import_published

    console.out.print(str(import_published(file, output, model=model)), markup=False)


@import_models.command()
def varitex(
    file: Annotated[
        Path, typer.Argument(help="Checkpoint that the authors of VariTex (ICCV 2021) released.")
    ],
    output: NewFolder = None,
    model: Annotated[
        str | None,
        typer.Option(help="File of the Basel Face Model 2017, to be named in the folder."),
    ] = None,
) -> None:
    """Make a release folder of a checkpoint of VariTex's authors, read without unpickling."""
    from facemorph import console
    from facemorph.systems.varitex.published_weights import import_published

    console.out.print(str(import_published(file, output, model=model)), markup=False)
