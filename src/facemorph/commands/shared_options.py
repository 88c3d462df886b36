"""Options that several commands have, each in the same words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.errors import ConfigError

Size = Annotated[int, typer.Option(help="Longer side of the frame in pixels.")]
PointsFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of landmark files, STEM.tem, .pts, .json or .csv for each picture; found by "
        "the detector without.",
        metavar="DIR",
    ),
]
Detector = Annotated[str, typer.Option(help="embedded, face_alignment or dlib.")]
MinScore = Annotated[float | None, typer.Option(help="Lowest score of a face.")]
Align = Annotated[str, typer.Option(help="portrait, ffhq, ffhq_upright or none.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")]
FaceModel = Annotated[
    str,
    typer.Option(
        help="makehuman (embedded), ict (once imported), or a file of FLAME (.pkl .npz) or the "
        "Basel Face Model (.h5)."
    ),
]
Noise = Annotated[
    float,
    typer.Option(
        help="Expected error of a landmark as a share of the distance between the pupils; lower "
        "follows the picture more."
    ),
]
FieldOfView = Annotated[
    float | None,
    typer.Option(help="Degrees over the longer side of the picture; weak perspective without."),
]
TextureSize = Annotated[int, typer.Option(help="Texels along each side of the texture.")]
ImplicitModel = Annotated[
    str, typer.Option(help="Trained ImFace: a file, @last, @last:NAME, @open:imface.")
]
Cells = Annotated[
    int, typer.Option("--resolution", help="Cells along each side: 32, 64, 128, 256, 512 or 1024.")
]
PlaceColours = Annotated[
    bool, typer.Option("--colours", help="Colour vertices by their place on the template.")
]


def parse_numbers(text: str, where: str) -> tuple[float, ...]:
    """Numbers by commas.

    Raises:
        ConfigError: One is none.
    """
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError as error:
        raise ConfigError(
            "this is no list of numbers", where=where, expected="numbers by commas", found=text
        ) from error
