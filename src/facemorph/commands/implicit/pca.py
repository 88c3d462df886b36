"""``facemorph pca``: the principal components of ImFace's codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.implicit.pca import pca as write_sheets
from facemorph.commands.from_signature import options_of


@options_of(write_sheets)
def pca(output: Path, **options: Any) -> None:
    """How faces vary: sheets of the principal components of identities and of expressions."""
    report = write_sheets(output, **options)
    for name, shares in report["explained"].items():
        console.out.print(
            f"{name}: {', '.join(f'{share:.0%}' for share in shares)} of the variance", markup=False
        )
        console.say_files([output / f"{name}.png"])
