"""``facemorph figure``: figures and videos of a trained generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.generation.figures import figure as app
from facemorph.commands.from_signature import options_of


@options_of(app.figure)
def figure(kind: str, output: Path, **options: Any) -> None:
    """Show what a generator has learned: roles of parameters, teaser, grid, videos, a curve."""
    report = app.figure(kind, output, **options)  # type: ignore[arg-type]
    found = report["distances"]
    if found is not None:
        for deviation, value in zip(found["deviations"], found["frechet"], strict=True):
            console.out.print(f"{deviation:5.2f} {value:10.4g}")
        console.out.print(f"other real people {found['floor']:.4g}")
    console.say_files(report["files"])
