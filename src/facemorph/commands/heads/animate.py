"""``facemorph animate``: a photograph moves as somebody else does in a video."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Detector, Device, FaceModel


def animate(
    source: Annotated[Path, typer.Argument(help="The photograph.", metavar="SOURCE")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="OUT.mp4, OUT.gif or a folder.")
    ],
    driving: Annotated[
        Path,
        typer.Option(
            help="Video, folder of its frames, or the .npz that facemorph fit made of it.",
            metavar="VIDEO",
        ),
    ],
    renderer: Annotated[str, typer.Option(help="mesh.")] = "mesh",
    model: FaceModel = "makehuman",
    relative_to: Annotated[
        str,
        typer.Option(
            help="What the driving face's motion is measured from: itself at rest, its first "
            "frame, or nothing (expression "
            "and rotation as they are): rest, first or nothing."
        ),
    ] = "rest",
    size: Annotated[int, typer.Option(help="Longer side of the frames in pixels.")] = 512,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Show all of the photograph instead of head and shoulders."),
    ] = False,
    points: Annotated[
        Path | None, typer.Option(help="Landmark file of the photograph.", metavar="FILE")
    ] = None,
    detector: Detector = "embedded",
    smoothing: Annotated[
        str, typer.Option(help="Of the driving video: batch, one-euro or none.")
    ] = "batch",
    first_segment: Annotated[
        bool,
        typer.Option(
            "--first-segment", help="Use only what comes before the first cut of the video."
        ),
    ] = False,
    fps: Annotated[
        float | None, typer.Option(help="Frames per second; the driving video's without.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Carry the expression and pose of a video onto a photograph."""
    from facemorph import console
    from facemorph.apps.heads import animate as app
    from facemorph.jobs.outputs import torch_device

    result = app.animate(
        source,
        driving,
        output,
        renderer=renderer,
        model=model,
        relative_to=relative_to,
        size=size,
        whole=whole,
        points=points,
        detector=detector,
        smoothing=smoothing,
        first_segment=first_segment,
        frames_per_second=fps,
        device=str(torch_device(device)),
    )
    console.out.print(f"{result.frames} frames")
    for path in result.files if output.suffix else [output, result.files[-1]]:
        console.out.print(str(path), markup=False)
    words = ["facemorph", "fit", str(driving), "-o", "fitted"]
    console.next_command(f"{shlex.join(words)}   (shows how the driving face was fitted)")
