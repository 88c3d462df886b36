"""``facemorph mask``: the face cut out of its photograph."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Align, Detector, PointsFolder, Size


def mask(
    subject: Annotated[Path, typer.Argument(help="The photograph.", metavar="SUBJECT")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.png, .jpg or .webp.")
    ],
    outline: Annotated[str, typer.Option(help="face (jaw and forehead) or oval.")] = "face",
    background: Annotated[str, typer.Option(help="white, gray, black or transparent.")] = "gray",
    feather: Annotated[
        float, typer.Option(help="Width of the soft border in units of the face size.")
    ] = 0.05,
    size: Size = 512,
    points: PointsFolder = None,
    detector: Detector = "embedded",
    align: Align = "portrait",
) -> None:
    """Cut the face out of its picture."""
    from facemorph import console
    from facemorph.apps.morphing import classics
    from facemorph.jobs.input_files import points_beside

    result = classics.mask(
        subject,
        output,
        outline=outline,
        background=background,
        feather=feather,
        size=size,
        points=points_beside([subject], points),
        detector=detector,
        align=align,
    )
    for file in result.files:
        console.out.print(str(file), markup=False)
    console.next_command(shlex.join(["facemorph", "average", str(subject), "-o", "average.png"]))
