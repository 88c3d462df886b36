"""``facemorph regions``: eyes of one face, mouth of the other."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Align, Detector, PointsFolder, Size


def regions(
    a: Annotated[Path, typer.Argument(help="First photograph.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Second photograph.", metavar="B")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.png, .jpg or .webp.")
    ],
    time: Annotated[
        float, typer.Option(help="Time of all regions that are not given, 0 to 1.")
    ] = 0.5,
    eyes: Annotated[float | None, typer.Option(help="Time of the eyes: 0 is A, 1 is B.")] = None,
    brows: Annotated[float | None, typer.Option(help="Time of the brows.")] = None,
    nose: Annotated[float | None, typer.Option(help="Time of the nose.")] = None,
    mouth: Annotated[float | None, typer.Option(help="Time of the mouth.")] = None,
    face: Annotated[float | None, typer.Option(help="Time of jaw, cheeks and forehead.")] = None,
    outside: Annotated[
        str, typer.Option(help="Hair, clothes and background: source, target or mix.")
    ] = "source",
    size: Size = 512,
    points: PointsFolder = None,
    detector: Detector = "embedded",
    align: Align = "portrait",
) -> None:
    """Morph each region of a face at a time of its own."""
    from facemorph import console
    from facemorph.apps.morphing import classics
    from facemorph.jobs.input_files import points_beside

    result = classics.regions(
        a,
        b,
        output,
        time=time,
        eyes=eyes,
        brows=brows,
        nose=nose,
        mouth=mouth,
        face=face,
        outside=outside,
        size=size,
        points=points_beside([a, b], points),
        detector=detector,
        align=align,
    )
    for file in result.files:
        console.out.print(str(file), markup=False)
    console.next_command(shlex.join(["facemorph", "morph", str(a), str(b), "-o", "morph.mp4"]))
