"""``facemorph download``: the only command that uses the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def download(
    name: Annotated[str, typer.Argument(help="A name of `facemorph list pretrained`.")],
    file: Annotated[
        Path | None, typer.Option(help="Take this file instead of downloading it.")
    ] = None,
) -> None:
    """Fetch pretrained weights by https, check their sha256 and put them in their place."""
    from facemorph import console
    from facemorph.storage.pretrained import fetch

    console.out.print(str(fetch(name, file=file)))
