"""``facemorph symmetrize``: a photograph and its mirror image, averaged."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Align, Detector, PointsFolder, Size


def symmetrize(
    subject: Annotated[Path, typer.Argument(help="The photograph.", metavar="SUBJECT")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.png, .jpg or .webp.")
    ],
    shape: Annotated[bool, typer.Option(help="Make the landmarks symmetric.")] = True,
    texture: Annotated[bool, typer.Option(help="Make the colours symmetric.")] = True,
    size: Size = 512,
    points: PointsFolder = None,
    detector: Detector = "embedded",
    align: Align = "portrait",
) -> None:
    """Make a face symmetric."""
    from facemorph import console
    from facemorph.apps.morphing import classics
    from facemorph.jobs.input_files import points_beside

    result = classics.symmetrize(
        subject,
        output,
        shape=shape,
        texture=texture,
        size=size,
        points=points_beside([subject], points),
        detector=detector,
        align=align,
    )
    for file in result.files:
        console.out.print(str(file), markup=False)
    console.next_command(
        shlex.join(["facemorph", "morph", str(subject), str(output), "-o", "change.mp4"])
    )
