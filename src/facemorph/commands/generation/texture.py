"""``facemorph texture``: a generated person's skin as a picture, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from facemorph import console
from facemorph.apps.generation import textures as app
from facemorph.apps.generation.choices import TextureFiles
from facemorph.commands.from_signature import options_of

texture = typer.Typer(
    no_args_is_help=True, help="Write a person's skin as a picture; put a painted one back."
)


@texture.command("export")
@options_of(app.export_texture)
def export(faces: Path, output: Path, **options: Any) -> None:
    """Write the skin of a sampled or inverted person: texture.png, its regions, and a head."""
    app.export_texture(faces, output, **options)
    console.say_files(
        output / name for name in (TextureFiles.TEXTURE, TextureFiles.REGIONS, TextureFiles.HEAD)
    )
    console.say_next("texture", "apply", faces, output / TextureFiles.TEXTURE, "-o", "painted/")


@texture.command("apply")
@options_of(app.apply_texture)
def apply(faces: Path, edited: Path, output: Path, **options: Any) -> None:
    """Put a painted texture back on a person, or regions of another person's skin."""
    report = app.apply_texture(faces, edited, output, **options)
    console.say_files(output / name for name in report["files"])
    console.say_next("sample", "--from", output, "--yaw", "20", "-o", "turned/")
