"""``facemorph sample``: random faces of a trained ImFace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Cells, ImplicitModel, MeshKind, PlaceColours, Topology


def sample(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the faces.", metavar="DIR")
    ],
    checkpoint: ImplicitModel = "@last",
    count: Annotated[int, typer.Option(help="Faces beside the mean one.")] = 12,
    seed: Annotated[int, typer.Option(help="Of the faces.")] = 0,
    vary: Annotated[str, typer.Option(help="identity, expression or both.")] = "both",
    spread: Annotated[
        float, typer.Option(help="Factor of the training people's deviation; 0 is the mean.")
    ] = 1.0,
    expression: Annotated[
        int | None,
        typer.Option(
            help="Number of the training's expression, 0 is neutral; any without, neutral with "
            "--vary identity."
        ),
    ] = None,
    person: Annotated[
        Path | None,
        typer.Option(
            help="NAME_codes.npz of the person for --vary expression; the mean person without."
        ),
    ] = None,
    topology: Topology = "free",
    resolution: Cells = 128,
    kind: MeshKind = "ply",
    colours: PlaceColours = False,
) -> None:
    """Random faces and the mean face: meshes, their codes, and a sheet of pictures."""
    from facemorph import console
    from facemorph.apps.implicit import sample as app

    app.sample(
        checkpoint,
        output,
        app.SamplingOptions(
            count, seed, vary, spread, expression, person, topology, resolution, kind, colours
        ),
    )
    for name in (app.PICTURE, app.REPORT):
        console.out.print(str(output / name), markup=False)
    console.next_command(
        f"facemorph interpolate {output}/face_001_codes.npz {output}/mean_codes.npz -o morph.mp4"
    )
