"""``facemorph det``: error rates of a morph detector from its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def det(
    scores: Annotated[
        Path,
        typer.Argument(
            help="CSV with score, label (bona_fide or attack) and, if wanted, attack.",
            metavar="SCORES.csv",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="DET plot, and a .json beside it.", metavar="OUT.svg"),
    ] = None,
    higher: Annotated[
        str, typer.Option(help="What a higher score means: attack or bona_fide.")
    ] = "attack",
    threshold: Annotated[
        float | None, typer.Option(help="Give APCER and BPCER at this score too.")
    ] = None,
) -> None:
    """Show D-EER, APCER and BPCER of a morph detector for every kind of attack (ISO/IEC
    30107-3).
    """
    from rich.table import Table

    from facemorph import console
    from facemorph.apps.attacks.detector_scores import detector_errors

    errors = detector_errors(scores, output, higher=higher, threshold=threshold)
    table = Table("attack", *next(iter(errors.values())))
    for kind, row in errors.items():
        shown = (
            f"{value:.0f}" if key == "count" else f"{100 * value:.2f} %"
            for key, value in row.items()
        )
        table.add_row(kind, *shown)
    console.out.print(table)
    if output is not None:
        console.out.print(str(output), markup=False)
