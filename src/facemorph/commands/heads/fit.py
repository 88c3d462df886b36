"""``facemorph fit``: photographs, videos and scans to faces of a morphable model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import (
    Detector,
    Device,
    FaceModel,
    FieldOfView,
    MinScore,
    Noise,
    TextureSize,
)


def fit(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Photographs, folders of them, videos (.mp4 .mov .mkv .webm .avi .gif), scans "
            "(.obj .ply .stl .glb).",
            metavar="FILES...",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the results.", metavar="DIR")
    ],
    model: FaceModel = "makehuman",
    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person", help="All photographs show one person: one identity, one texture."
        ),
    ] = False,
    noise: Noise = 0.02,
    field_of_view: FieldOfView = None,
    points: Annotated[
        Path | None,
        typer.Option(
            help="Landmark file, or folder with STEM.tem, .pts, .json or .csv for each "
            "photograph, STEM.txt (x y z) for "
            "each scan; found by the detector without.",
            metavar="FILE|DIR",
        ),
    ] = None,
    detector: Detector = "embedded",
    min_score: MinScore = None,
    deca: Annotated[
        Path | None,
        typer.Option(
            help="DECA's weights (deca_model.tar): a first guess of FLAME's identity.",
            metavar="FILE",
        ),
    ] = None,
    refine: Annotated[
        bool,
        typer.Option(
            "--refine",
            help="Refine photographs by their colours too: nearer to the person, 0.2 s each.",
        ),
    ] = False,
    texture: TextureSize = 512,
    smoothing: Annotated[str, typer.Option(help="Of videos: batch, one-euro or none.")] = "batch",
    first_segment: Annotated[
        bool,
        typer.Option(
            "--first-segment", help="Use only what comes before the first cut of a video."
        ),
    ] = False,
    obj: Annotated[
        bool, typer.Option("--obj", help="Write STEM.obj with its texture too.")
    ] = False,
    device: Device = "auto",
    workers: Annotated[
        int, typer.Option(help="Processes; 0: one for each core. Each reads the model.")
    ] = 1,
) -> int:
    """Fit a face model: parameters, overlays, textured meshes, a report. Exit code 3:
    some failed.
    """
    from facemorph import console
    from facemorph.apps.heads import fit as app
    from facemorph.jobs.outputs import torch_device

    report = app.fit(
        files,
        output,
        model=model,
        same_person=same_person,
        noise=noise,
        field_of_view=field_of_view,
        points=points,
        detector=detector,
        min_score=min_score,
        deca=deca,
        refine=refine,
        texture=texture,
        smoothing=smoothing,
        first_segment=first_segment,
        obj=obj,
        device=str(torch_device(device)),
        workers=workers or None,
    )
    done = None
    for row in report["rows"]:
        if row["status"] == "failed":
            console.err.print(row["reason"], markup=False)
            continue
        done = done or output / row["files"][0]
        figure = (
            f"{row['error_percent']:.2f} % of the distance between the pupils"
            if "error_percent" in row
            else f"{row['distance_mm']:.2f} mm from the scan"
        )
        console.out.print(f"{row['file']}: {figure}", markup=False)
    for name in (app.REPORT, app.PAGE):
        console.out.print(str(output / name), markup=False)
    if done is not None:
        words = [
            "facemorph",
            "render",
            str(done),
            "-o",
            "turned.png",
            "--yaw",
            "25",
            *_model_words(model),
        ]
        console.next_command(shlex.join(words))
    return 3 if report["counts"]["failed"] else 0


def _model_words(model: str) -> list[str]:
    return [] if model == "makehuman" else ["--model", model]
