"""``facemorph invert``: code, style and parameters of a photograph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.generation import invert as app
from facemorph.commands.from_signature import options_of


@options_of(app.invert)
def invert(photographs: list[Path], output: Path, **options: Any) -> None:
    """Find what makes a generator give a photograph back, to turn, animate and light it anew."""
    report = app.invert(photographs, output, **options)
    figures = report["figures"]
    console.out.print(
        f"face {figures['psnr_inversion']:.1f} dB, identity {figures['identity_inversion']:.2f}, "
        f"{figures['cpu_seconds']:.1f} s"
    )
    console.say_files([output / app.COMPARISON, output / app.REPORT])
    console.say_next("sample", "--from", output, "--set", "mouthSmile=0.6", "-o", "smiling/")
