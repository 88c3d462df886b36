"""``facemorph reconstruct``: scans to faces of a trained ImFace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import (
    FieldOfView,
    ImplicitModel,
    PlaceColours,
    parse_numbers,
)


def reconstruct(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Scans (.obj .ply .stl .glb), depth maps (.npy, 16-bit .png), or prepared scans "
            "(.npz).",
            metavar="SCANS...",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the results.", metavar="DIR")
    ],
    checkpoint: ImplicitModel = "@last",
    landmarks: Annotated[
        Path | None,
        typer.Option(
            help="File of 68 lines x y z, nan for missing ones, or folder with STEM.bnd, .txt or "
            ".csv for each scan; of "
            "depth maps .json .csv .pts .tem in pixels. Beside the scans, or found by the "
            "detector, without.",
            metavar="FILE|DIR",
        ),
    ] = None,
    unit: Annotated[
        str, typer.Option(help="mm, cm or m; guess takes the size of the face.")
    ] = "guess",
    partial: Annotated[
        str,
        typer.Option(
            help="Whether parts of the face are missing: auto, yes or no. Gaps are completed, not "
            "bridged."
        ),
    ] = "auto",
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Of depth maps a picture, white where they count; of meshes .npy or .txt with 0 "
            "or 1 for each vertex; or "
            "folder of STEM.*.",
            metavar="FILE|DIR",
        ),
    ] = None,
    focal: Annotated[
        float | None, typer.Option(help="Of depth maps: focal length in pixels.")
    ] = None,
    field_of_view: FieldOfView = None,
    principal_point: Annotated[
        str | None,
        typer.Option(help="Pixel X,Y that the depth camera looks at; the middle without."),
    ] = None,
    depth_scale: Annotated[float, typer.Option(help="Stored depths are divided by it.")] = 1.0,
    image: Annotated[
        Path | None,
        typer.Option(
            help="Photograph of the depth map's view and size to find landmarks in, or folder of "
            "STEM.*.",
            metavar="FILE|DIR",
        ),
    ] = None,
    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person", help="All scans show one person: one identity, several expressions."
        ),
    ] = False,
    method: Annotated[str, typer.Option(help="lbfgs or adam.")] = "lbfgs",
    points: Annotated[int, typer.Option(help="Points of each scan in a step.")] = 2048,
    steps: Annotated[int, typer.Option(help="At most so many; 0: 60 of lbfgs, 1500 of adam.")] = 0,
    resolution: Annotated[
        int, typer.Option(help="Cells along each side: 32, 64, 128, 256, 512 or 1024.")
    ] = 256,
    dense: Annotated[
        bool, typer.Option("--dense", help="Evaluate all cells, for badly trained models.")
    ] = False,
    kind: Annotated[str, typer.Option(help="ply, obj or glb.")] = "ply",
    frame: Annotated[
        str,
        typer.Option(
            help="model: millimetres, the tip of the nose at (0, 0, 40); scan: on the scan, in "
            "its unit."
        ),
    ] = "model",
    topology: Annotated[
        str,
        typer.Option(
            help="free: triangles of their own; template: NAME_template with those of the "
            "template too."
        ),
    ] = "free",
    colours: PlaceColours = False,
    thresholds: Annotated[str, typer.Option(help="Millimetres of the F-scores, by commas.")] = "1",
    samples: Annotated[
        int, typer.Option(help="Points on each surface where they are compared.")
    ] = 150_000,
    align: Annotated[
        bool, typer.Option("--align", help="Compare after rigid alignment too.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the points.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0: one for each core.")] = 1,
) -> int:
    """Fit a trained ImFace to scans: faces, errors in mm beside the template's. Exit code 3: some
    failed.
    """
    from facemorph import console
    from facemorph.apps.implicit import reconstruct as app
    from facemorph.apps.implicit.scan_inputs import InputOptions
    from facemorph.systems.imface.code_fitting import FittingOptions

    centre = None if principal_point is None else parse_numbers(principal_point, "principal_point")
    options = app.ReconstructionOptions(
        InputOptions(
            landmarks, unit, partial, mask, focal, field_of_view, centre, depth_scale, image
        ),
        same_person,
        resolution,
        dense,
        kind,
        frame,
        topology,
        colours,
        parse_numbers(thresholds, "thresholds"),
        samples,
        align,
        FittingOptions(method, points, steps or None, seed=seed),
    )
    report = app.reconstruct(files, checkpoint, output, options, workers=workers or None)
    for row in report["rows"]:
        if row["status"] == "failed":
            console.err.print(f"{row['name']}: {row['reason']}", markup=False)
            continue
        console.out.print(
            f"{row['name']}: {row['fitted']['chamfer']:.2f} mm from the scan, the template "
            f"{row['template']['chamfer']:.2f} mm",
            markup=False,
        )
        if row["partial"]:
            console.out.print(
                "  parts of the face are missing: they are completed, and not in these figures",
                markup=False,
            )
        if row["loose_pieces"]:
            console.out.print(
                f"  {row['loose_pieces']} loose pieces beside the head have been left out",
                markup=False,
            )
    for name in (app.REPORT, app.PICTURE):
        if (output / name).is_file():
            console.out.print(str(output / name), markup=False)
    return 3 if report["counts"]["failed"] else 0
