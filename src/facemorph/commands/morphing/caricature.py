"""``facemorph caricature``: what sets a photograph apart from an average, exaggerated or
reduced.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Align, Detector, PointsFolder, Size


def caricature(
    subject: Annotated[Path, typer.Argument(help="The photograph.", metavar="SUBJECT")],
    average: Annotated[
        list[Path],
        typer.Option(
            "--average",
            metavar="FILE",
            help="What it is compared with; repeat, or a folder, for an average.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.png, .jpg or .webp.")
    ],
    shape: Annotated[
        float, typer.Option(help="Above 0 exaggerates the shape, below 0 reduces it.")
    ] = 0.5,
    color: Annotated[float, typer.Option(help="The same for colour and shading.")] = 0.0,
    texture: Annotated[float, typer.Option(help="The same for fine detail.")] = 0.0,
    size: Size = 512,
    points: PointsFolder = None,
    detector: Detector = "embedded",
    align: Align = "portrait",
) -> None:
    """Exaggerate a face against an average, or make it more average."""
    from facemorph import console
    from facemorph.apps.morphing import classics
    from facemorph.jobs.input_files import picture_files, points_beside

    others = picture_files(average)
    result = classics.caricature(
        subject,
        others,
        output,
        shape=shape,
        color=color,
        texture=texture,
        size=size,
        points=points_beside([subject, *others], points),
        detector=detector,
        align=align,
    )
    console.out.print(
        f"shape {shape:g}, colour {color:g}, texture {texture:g} away from the average of "
        f"{len(others)} faces"
    )
    for file in result.files:
        console.out.print(str(file), markup=False)
    console.next_command(
        shlex.join(["facemorph", "morph", str(subject), str(output), "-o", "change.mp4"])
    )
