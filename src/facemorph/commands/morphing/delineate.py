"""``facemorph delineate``: landmarks of a template carried onto another photograph."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Detector


def delineate(
    template: Annotated[
        Path, typer.Argument(help="Photograph with landmarks.", metavar="TEMPLATE")
    ],
    template_points: Annotated[
        Path,
        typer.Argument(
            help="Its landmarks, of any scheme: .tem .pts .json .csv.", metavar="POINTS"
        ),
    ],
    picture: Annotated[Path, typer.Argument(help="Photograph to delineate.", metavar="PICTURE")],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="OUT.tem (with the template's lines), .pts, .json or .csv.",
        ),
    ],
    size: Annotated[
        int, typer.Option(help="Side of the crops in which both faces are compared.")
    ] = 512,
    detector: Detector = "embedded",
) -> None:
    """Carry the landmarks of a template onto another face."""
    from facemorph import console
    from facemorph.apps.morphing import classics

    result = classics.delineate(
        template, template_points, picture, output, size=size, detector=detector
    )
    console.out.print(
        f"{len(result.faces[0].points)} landmarks of the scheme {result.faces[0].scheme}"
    )
    for file in result.files:
        console.out.print(str(file), markup=False)
    words = [
        "facemorph",
        "morph",
        str(template),
        str(picture),
        "--points-a",
        str(template_points),
        "--points-b",
        str(output),
        "-o",
        "morph.mp4",
    ]
    console.next_command(shlex.join(words))
