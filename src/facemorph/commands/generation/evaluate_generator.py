"""``facemorph evaluate-generator``: how good a trained generator is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.generation import evaluate_generator as app
from facemorph.commands.from_signature import options_of


@options_of(app.evaluate_generator)
def evaluate_generator(output: Path, **options: Any) -> None:
    """Measure a generator on people it has not seen: distances, identity, landmarks, light."""
    report = app.evaluate_generator(output=output, **options)
    console.out.print(f"{report['pictures']} pictures of {report['people']} held-out people")
    for name, value in report["figures"].items():
        console.out.print(f"{name:26} {'-' if value is None else f'{value:.4g}'}")
    console.say_files([output / app.SHEET, output / app.REPORT])
