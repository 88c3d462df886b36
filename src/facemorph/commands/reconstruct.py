"""``facemorph reconstruct``: scans to faces of a trained ImFace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import ImplicitModel, PlaceColours, parse_numbers


def reconstruct(
    files: Annotated[list[Path], typer.Argument(
        help="Scans (.obj .ply .stl .glb), or prepared ones (.npz).", metavar="SCANS...")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.", metavar="DIR")],
    checkpoint: ImplicitModel = "@last",
    landmarks: Annotated[Path | None, typer.Option(
        help="File of 68 lines x y z, or folder with STEM.bnd, .txt or .csv for each scan; beside the scans, or found "
             "by the detector, without.", metavar="FILE|DIR")] = None,
    unit: Annotated[str, typer.Option(help="mm, cm or m; guess takes the size of the face.")] = "guess",
    same_person: Annotated[bool, typer.Option(
        "--same-person", help="All scans show one person: one identity, several expressions.")] = False,
    method: Annotated[str, typer.Option(help="lbfgs or adam.")] = "lbfgs",
    points: Annotated[int, typer.Option(help="Points of each scan in a step.")] = 2048,
    steps: Annotated[int, typer.Option(help="At most so many; 0: 40 of lbfgs, 1500 of adam.")] = 0,
    resolution: Annotated[int, typer.Option(help="Cells along each side: 32, 64, 128, 256, 512 or 1024.")] = 256,
    dense: Annotated[bool, typer.Option("--dense", help="Evaluate all cells, for badly trained models.")] = False,
    kind: Annotated[str, typer.Option(help="ply, obj or glb.")] = "ply",
    topology: Annotated[str, typer.Option(
        help="free: triangles of their own; template: NAME_template with those of the template too.")] = "free",
    colours: PlaceColours = False,
    thresholds: Annotated[str, typer.Option(help="Millimetres of the F-scores, by commas.")] = "1",
    samples: Annotated[int, typer.Option(help="Points on each surface where they are compared.")] = 150_000,
    seed: Annotated[int, typer.Option(help="Of the points.")] = 0,
) -> int:
    """Fit a trained ImFace to scans: faces, errors in mm beside the template's. Exit code 3: some failed."""
    from facemorph import console
    from facemorph.apps import reconstruct as app
    from facemorph.apps.code_fitting import FittingOptions

    fitting = FittingOptions(method, points, steps or None, seed=seed)
    report = app.reconstruct(files, checkpoint, output, app.ReconstructionOptions(
        landmarks, unit, same_person, resolution, dense, kind, topology, colours,
        parse_numbers(thresholds, "thresholds"), samples, fitting))
    for row in report["rows"]:
        if row["status"] == "failed":
            console.err.print(f"{row['name']}: {row['reason']}", markup=False)
            continue
        console.out.print(f"{row['name']}: {row['fitted']['chamfer']:.2f} mm from the scan, the template "
                          f"{row['template']['chamfer']:.2f} mm", markup=False)
    for name in (app.REPORT, app.PICTURE):
        if (output / name).is_file():
            console.out.print(str(output / name), markup=False)
    return 3 if report["counts"]["failed"] else 0
