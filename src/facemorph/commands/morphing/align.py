"""``facemorph align``: photographs turned, scaled and shifted onto their mean shape."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Detector, PointsFolder, Size


def align(
    pictures: Annotated[
        list[Path], typer.Argument(help="Photographs, or folders of them.", metavar="FILES...")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Folder: STEM.png and its landmarks STEM.json for each.",
        ),
    ],
    size: Size = 512,
    points: PointsFolder = None,
    detector: Detector = "embedded",
) -> None:
    """Align faces by Procrustes analysis, without bending them."""
    from facemorph import console
    from facemorph.apps.morphing import classics
    from facemorph.jobs.input_files import picture_files, points_beside

    files = picture_files(pictures)
    result = classics.align_faces(
        files, output, size=size, points=points_beside(files, points), detector=detector
    )
    console.out.print(f"{len(files)} faces in {output}", markup=False)
    console.out.print(str(result.files[-1]), markup=False)
    words = [
        "facemorph",
        "average",
        str(output),
        "--align",
        "none",
        "--points",
        str(output),
        "-o",
        "average.png",
    ]
    console.next_command(shlex.join(words))
