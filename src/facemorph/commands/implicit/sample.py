"""``facemorph sample``: random faces of a trained ImFace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.implicit import sample as app
from facemorph.commands.from_signature import options_of


@options_of(app.sample)
def sample(output: Path, **options: Any) -> None:
    """Random faces and the mean face: meshes, their codes, and a sheet of pictures."""
    app.sample(output, **options)
    console.say_files([output / app.PICTURE, output / app.REPORT])
    codes = (output / f"{name}_codes.npz" for name in ("face_001", "mean"))
    console.say_next("interpolate", *codes, "-o", "morph.mp4")
