"""``facemorph pca``: the principal components of a trained model's people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.generation.pca import pca as of_people
from facemorph.apps.implicit.pca import pca as of_codes
from facemorph.commands.from_signature import arguments_for, options_of_each
from facemorph.commands.kinds import kind_of

FUNCTIONS: dict[str, Callable[..., Any]] = {"ImFace": of_codes, "GIF": of_people}


@options_of_each(FUNCTIONS)
def pca(output: Path, checkpoint: str, **options: Any) -> None:
    """How faces vary: sheets of the principal components of a model's people and expressions."""
    kind = kind_of(checkpoint, FUNCTIONS, "this checkpoint has no people")
    report = FUNCTIONS[kind](output, checkpoint, **arguments_for(FUNCTIONS, kind, options))
    for name, shares in report["explained"].items():
        console.out.print(
            f"{name}: {', '.join(f'{share:.0%}' for share in shares)} of the variance", markup=False
        )
        console.say_files([output / f"{name}.png"])
