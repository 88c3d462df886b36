"""``facemorph evaluate-scans``: errors of a trained ImFace on unseen scans, beside linear models
and the template.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import ImplicitModel, parse_numbers


def evaluate_scans(
    folder: Annotated[
        Path, typer.Argument(help="Set of facemorph data prepare-scans.", metavar="SET")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the results.", metavar="DIR")
    ],
    checkpoint: ImplicitModel = "@last",
    limit: Annotated[
        int,
        typer.Option(
            help="At most so many scans of each kind: new people, new expressions, both; 0: all."
        ),
    ] = 0,
    scans: Annotated[
        Path | None,
        typer.Option(
            help="Folder of facemorph data scans that the set was prepared from: linear models of "
            "its training scans are "
            "fitted too.",
            metavar="DIR",
        ),
    ] = None,
    components: Annotated[
        str, typer.Option(help="Of the linear models, by commas.")
    ] = "16,32,64,128",
    resolution: Annotated[
        int, typer.Option(help="Cells along each side: 32, 64, 128, 256, 512 or 1024.")
    ] = 256,
    thresholds: Annotated[str, typer.Option(help="Millimetres of the F-scores, by commas.")] = "1",
    samples: Annotated[
        int, typer.Option(help="Points on each surface where they are compared.")
    ] = 150_000,
    method: Annotated[str, typer.Option(help="lbfgs or adam.")] = "lbfgs",
    points: Annotated[int, typer.Option(help="Points of each scan in a step.")] = 2048,
    seed: Annotated[int, typer.Option(help="Of the points.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0: one for each core.")] = 1,
) -> int:
    """Measure a trained ImFace on the set's test scans, beside the template and linear models."""
    from facemorph import console
    from facemorph.apps.implicit import scan_evaluation as app
    from facemorph.systems.imface.code_fitting import FittingOptions

    options = app.EvaluationOptions(
        limit or None,
        scans,
        tuple(int(one) for one in parse_numbers(components, "components")),
        resolution,
        parse_numbers(thresholds, "thresholds"),
        samples,
        FittingOptions(method, points, seed=seed),
    )
    report = app.evaluate_scans(folder, checkpoint, output, options, workers=workers or None)
    for line in app.say(report):
        console.out.print(line, markup=False)
    for name in (app.REPORT, app.TABLE):
        console.out.print(str(output / name), markup=False)
    for row in report["failed"]:
        console.err.print(f"{row['name']}: {row['reason']}", markup=False)
    return 3 if report["failed"] else 0
