"""``facemorph evaluate``: identities, picture quality and attack potential of morphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.attacks import evaluate as app
from facemorph.commands.from_signature import options_of


@options_of(app.evaluate)
def evaluate(folder: Path, output: Path | None, **options: Any) -> None:
    """Judge the morphs of a folder: identities, MMPMR, FID, PSNR; a table and a gallery to sort."""
    result = app.evaluate(folder, output=output, **options)
    console.say_files(app.say(result))
    console.say_files(
        (output or folder) / name for name in (app.EVALUATION, app.TABLE, app.GALLERY)
    )
