"""``facemorph interpolate``: a morph between two faces of a trained ImFace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import (
    Cells,
    ImplicitModel,
    OptionalKind,
    PlaceColours,
    Topology,
)


def interpolate(
    first: Annotated[
        Path, typer.Argument(help="NAME_codes.npz of reconstruct or sample.", metavar="A")
    ],
    second: Annotated[Path, typer.Argument(help="Likewise.", metavar="B")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.mp4, OUT.gif or a folder.")
    ],
    checkpoint: ImplicitModel = "@last",
    frames: Annotated[int, typer.Option(help="Pictures, A and B among them.")] = 48,
    fps: Annotated[float, typer.Option(help="Frames per second of a video or GIF.")] = 24.0,
    easing: Annotated[
        str, typer.Option(help="linear, or ease: slow at either face; early, late, hold.")
    ] = "ease",
    turn: Annotated[
        float, typer.Option(help="Degrees that the face turns to either side meanwhile.")
    ] = 0.0,
    size: Annotated[int, typer.Option(help="Side of the frames in pixels.")] = 512,
    topology: Topology = "free",
    resolution: Cells = 128,
    kind: OptionalKind = None,
    colours: PlaceColours = False,
) -> None:
    """Morph a fitted face into another one, in three dimensions."""
    from facemorph import console
    from facemorph.apps.implicit import interpolate as app

    report = app.interpolate(
        first,
        second,
        checkpoint,
        output,
        app.InterpolationOptions(
            frames, fps, easing, turn, size, topology, resolution, kind, colours
        ),
    )
    console.out.print(f"{frames} frames, {report['seconds_per_frame']:.2f} s for each")
    for path in report["files"]:
        console.out.print(path, markup=False)
