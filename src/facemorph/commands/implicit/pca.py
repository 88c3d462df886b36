"""``facemorph pca``: the principal components of ImFace's codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import (
    Cells,
    ImplicitModel,
    OptionalKind,
    PlaceColours,
    Topology,
)


def pca(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the sheets.", metavar="DIR")
    ],
    checkpoint: ImplicitModel = "@last",
    components: Annotated[int, typer.Option(help="Of identities, and of expressions.")] = 4,
    columns: Annotated[int, typer.Option(help="Faces of each component, an odd number.")] = 7,
    sigmas: Annotated[float, typer.Option(help="Standard deviations to either side.")] = 3.0,
    topology: Topology = "free",
    resolution: Cells = 128,
    kind: OptionalKind = None,
    colours: PlaceColours = False,
) -> None:
    """How faces vary: sheets of the principal components of identities and of expressions."""
    from facemorph import console
    from facemorph.apps.implicit import pca as app

    report = app.pca(
        checkpoint,
        output,
        app.ComponentOptions(components, columns, sigmas, topology, resolution, kind, colours),
    )
    for name, shares in report["explained"].items():
        console.out.print(
            f"{name}: {', '.join(f'{share:.0%}' for share in shares)} of the variance", markup=False
        )
        console.out.print(str(output / f"{name}.png"), markup=False)
