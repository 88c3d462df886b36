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
    accept_sha256: Annotated[
        str | None,
        typer.Option(
            metavar="DIGITS", help="Take a file of this sha256 too, such as a newer release's."
        ),
    ] = None,
) -> None:
    """Fetch pretrained weights by https, check their sha256 and put them in their place."""
    from facemorph import console
    from facemorph.storage.files import sha256_of
    from facemorph.storage.pretrained import fetch

    path = fetch(name, file=file, accept_sha256=accept_sha256)
    console.err.print(f"sha256 {sha256_of(path)}", markup=False)
    console.out.print(str(path))
