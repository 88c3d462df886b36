"""``facemorph transform``: a photograph moved along the difference of two others, or of two
averages.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Align, Detector, PointsFolder, Size


def transform(
    subject: Annotated[Path, typer.Argument(help="The photograph.", metavar="SUBJECT")],
    start: Annotated[
        list[Path],
        typer.Option(
            "--from",
            metavar="A",
            help="Where the difference begins; repeat, or a folder, for an average.",
        ),
    ],
    end: Annotated[
        list[Path],
        typer.Option(
            "--to", metavar="B", help="Where it ends; repeat, or a folder, for an average."
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.png, .jpg or .webp.")
    ],
    shape: Annotated[float, typer.Option(help="Share of the difference in shape.")] = 0.5,
    color: Annotated[
        float, typer.Option(help="Share of the difference in colour and shading.")
    ] = 0.0,
    texture: Annotated[float, typer.Option(help="Share of the difference in fine detail.")] = 0.0,
    size: Size = 512,
    points: PointsFolder = None,
    detector: Detector = "embedded",
    align: Align = "portrait",
) -> None:
    """Change a face by the difference of two others: shape, colour and texture apart."""
    from facemorph import console
    from facemorph.apps.morphing import classics
    from facemorph.jobs.input_files import picture_files, points_beside

    first, second = picture_files(start), picture_files(end)
    marks = points_beside([subject, *first, *second], points)
    result = classics.transform(
        subject,
        first,
        second,
        output,
        shape=shape,
        color=color,
        texture=texture,
        size=size,
        points=marks,
        detector=detector,
        align=align,
    )
    console.out.print(
        f"shape {shape:g}, colour {color:g}, texture {texture:g} of the difference "
        f"from {len(first)} to {len(second)} faces"
    )
    for file in result.files:
        console.out.print(str(file), markup=False)
    console.next_command(
        shlex.join(["facemorph", "morph", str(subject), str(output), "-o", "change.mp4"])
    )
