"""``facemorph align``: photographs turned, scaled and shifted onto their mean shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.classics import align_faces
from facemorph.commands.from_signature import options_of


@options_of(align_faces)
def align(pictures: list[Path], output: Path, **options: Any) -> None:
    """Align faces by Procrustes analysis, without bending them."""
    result = align_faces(pictures, output, **options)
    console.out.print(f"{len(result.faces)} faces in {output}", markup=False)
    console.say_files(result.files[-1:])
    console.say_next("average", output, "--align", "none", "--points", output, "-o", "average.png")
