"""``facemorph average``: any number of photographs to their average."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Align, Detector, PointsFolder, Size


def average(
    pictures: Annotated[
        list[Path], typer.Argument(help="Photographs, or folders of them.", metavar="FILES...")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.png, .jpg or .webp.")
    ],
    mean: Annotated[
        str,
        typer.Option(help="Mean shape: procrustes (rotation, scale and shift taken out) or plain."),
    ] = "procrustes",
    size: Size = 512,
    points: PointsFolder = None,
    detector: Detector = "embedded",
    align: Align = "portrait",
) -> None:
    """Average faces: mean shape, mean colours."""
    from facemorph import console
    from facemorph.apps.morphing import classics
    from facemorph.jobs.input_files import picture_files, points_beside

    files = picture_files(pictures)
    result = classics.average(
        files,
        output,
        mean=mean,
        size=size,
        points=points_beside(files, points),
        detector=detector,
        align=align,
    )
    console.out.print(f"average of {len(files)} faces, {len(result.faces[0].points)} landmarks")
    for file in result.files:
        console.out.print(str(file), markup=False)
    words = [
        "facemorph",
        "caricature",
        str(files[0]),
        "--average",
        str(output),
        "-o",
        "caricature.png",
    ]
    console.next_command(shlex.join(words))
