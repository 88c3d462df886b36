"""``facemorph det``: error rates of a morph detector from its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.attacks.detector_scores import detector_errors
from facemorph.commands.from_signature import options_of


@options_of(detector_errors)
def det(scores: Path, output: Path | None, **options: Any) -> None:
    """Show D-EER, APCER and BPCER of a morph detector for each kind of attack (ISO/IEC 30107-3)."""
    from rich.table import Table

    errors = detector_errors(scores, output, **options)
    table = Table("attack", *next(iter(errors.values())))
    for kind, row in errors.items():
        shown = (
            f"{value:.0f}" if key == "count" else f"{100 * value:.2f} %"
            for key, value in row.items()
        )
        table.add_row(kind, *shown)
    console.out.print(table)
    console.say_files([output] if output is not None else [])
