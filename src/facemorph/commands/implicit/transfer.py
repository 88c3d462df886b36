"""``facemorph transfer``: a face of ImFace with the expression of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Cells, ImplicitModel, MeshKind, PlaceColours, Topology


def transfer(
    expression: Annotated[
        list[Path],
        typer.Option(
            help="NAME_codes.npz of the face that gives its expression; several times for several.",
            metavar="A",
        ),
    ],
    identity: Annotated[
        Path, typer.Option(help="NAME_codes.npz of the face that gets it.", metavar="B")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the faces.", metavar="DIR")
    ],
    checkpoint: ImplicitModel = "@last",
    neutral: Annotated[
        str | None,
        typer.Option(
            help="NAME_codes.npz of A's neutral face, or mean: what A changes is added to B's "
            "own, neutral expression. "
            "More exact.",
            metavar="A0",
        ),
    ] = None,
    topology: Topology = "free",
    resolution: Cells = 128,
    kind: MeshKind = "ply",
    colours: PlaceColours = False,
) -> None:
    """The face of B with the expression of A: meshes, codes, and a sheet."""
    from facemorph import console
    from facemorph.apps.implicit import transfer as app

    app.transfer(
        expression,
        identity,
        checkpoint,
        output,
        app.TransferOptions(neutral, topology, resolution, kind, colours),
    )
    for name in (app.PICTURE, app.REPORT):
        console.out.print(str(output / name), markup=False)
