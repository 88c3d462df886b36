"""``facemorph reenact``: a photograph moves by a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from facemorph import console
from facemorph.apps.reenactment.interactive import type_edits
from facemorph.apps.reenactment.reenact import reenact as move
from facemorph.commands.from_signature import options_of
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import picture_files
from facemorph.jobs.outputs import beside
from facemorph.storage.suffixes import RECORDINGS

WEBCAM = "webcam:"


@options_of(move)
def reenact(
    sources: list[Path],
    output: Path,
    driving: str | None,
    interactive: Annotated[
        bool, typer.Option("--interactive", help="Type edits, and see the picture after each.")
    ] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", help="How long a webcam is recorded; Ctrl-C ends it.")
    ] = 10.0,
    **options: Any,
) -> None:
    """Let a photograph follow a video, a recording or words, as sharp as it is."""
    files = picture_files(sources)
    if interactive:
        if driving is not None or len(files) > 1:
            raise ConfigError(
                "edits are typed for one photograph without a driver",
                where="interactive",
                found=f"{len(files)} photographs" if driving is None else "--driving",
            )
        options["edit"] = type_edits(files[0], output, **options)
        if not options["edit"]:
            return  # the picture is there, as it was
    if driving is not None and driving.startswith(WEBCAM):
        from facemorph.faces.files.webcam import record_webcam

        recording = beside(output, "driving.mp4")
        record_webcam(driving, recording, seconds)
        driving = str(recording)
    result = move(files, output, driving=driving, **options)
    count = f"{result.frames} frames" if result.frames > 1 else "1 picture"
    each = f" of each of {len(files)} photographs" if len(files) > 1 else ""
    console.out.print(f"{count}{each}, {1000 * result.seconds:.0f} ms each")
    console.say_files(result.files if output.suffix else [output, result.files[-1]])
    if driving is None or Path(driving).suffix.lower() in RECORDINGS:
        console.say_next("reenact", files[0], "--driving", "VIDEO.mp4", "-o", "moved.mp4")
    else:
        note = "shows how the driving face was fitted"
        console.say_next("fit", driving, "-o", "fitted", note=note)
