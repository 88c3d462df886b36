"""``facemorph edit``: the landmark editor in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def edit(
    a: Annotated[Path, typer.Argument(help="First photograph.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Second photograph.", metavar="B")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="STEM",
            help="Saved as STEM.a.json, STEM.b.json, .tem, .pts; else A_B.",
        ),
    ] = None,
    points_a: Annotated[
        Path | None, typer.Option(help="Landmarks of A: .tem .pts .json .csv, in its pixels.")
    ] = None,
    points_b: Annotated[Path | None, typer.Option(help="Landmarks of B.")] = None,
    detector: Annotated[str, typer.Option(help="embedded, face_alignment or dlib.")] = "embedded",
    size: Annotated[int, typer.Option(help="Longer side of the morph in pixels.")] = 512,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Edit the landmarks of two faces while the morph follows; ends with Ctrl-C."""
    from facemorph.apps.studio import editor
    from facemorph.entry.exits import INTERRUPTED

    if not editor.edit(
        a,
        b,
        output,
        points_a=points_a,
        points_b=points_b,
        detector=detector,
        size=size,
        port=port,
        browser=browser,
    ):
        raise typer.Exit(INTERRUPTED)
