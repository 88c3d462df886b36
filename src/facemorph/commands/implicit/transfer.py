"""``facemorph transfer``: a face of ImFace with the expression of another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.implicit import transfer as app
from facemorph.commands.from_signature import options_of


@options_of(app.transfer)
def transfer(output: Path, **options: Any) -> None:
    """The face of B with the expression of A: meshes, codes, and a sheet."""
    app.transfer(output=output, **options)
    console.say_files([output / app.PICTURE, output / app.REPORT])
