"""``facemorph delineate``: landmarks of a template carried onto another photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.classics import delineate as carry
from facemorph.commands.from_signature import options_of


@options_of(carry)
def delineate(
    template: Path, template_points: Path, picture: Path, output: Path, **options: Any
) -> None:
    """Carry the landmarks of a template onto another face."""
    result = carry(template, template_points, picture, output, **options)
    console.out.print(
        f"{len(result.faces[0].points)} landmarks of the scheme {result.faces[0].scheme}"
    )
    console.say_files(result.files)
    points = ("--points-a", template_points, "--points-b", output)
    console.say_next("morph", template, picture, *points, "-o", "morph.mp4")
