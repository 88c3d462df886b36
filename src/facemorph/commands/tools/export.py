"""``facemorph export``: a checkpoint to a release folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    checkpoint: Annotated[str, typer.Argument(help="A .ckpt file, @last, @best or @last:NAME.")],
    folder: Annotated[Path, typer.Argument(help="New folder.")],
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, for the card.")
    ] = "not stated",
    data: Annotated[str, typer.Option(help="What it was trained on, for the card.")] = "not stated",
    half: Annotated[bool, typer.Option("--half", help="16-bit weights: half the size.")] = False,
) -> None:
    """Write a release folder: safetensors weights, config, card, and their sha256."""
    from facemorph import console
    from facemorph.storage.checkpoint import export_release

    export_release(checkpoint, folder, card={"licence": licence, "data": data}, half=half)
    for path in sorted(folder.iterdir()):
        console.out.print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
    console.next_command(f"facemorph infer checkpoint={folder} output=out/")
