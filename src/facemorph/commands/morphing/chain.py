"""``facemorph chain``: a morph through several photographs, and round again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.chain import chain as make_chain
from facemorph.commands.from_signature import options_of


@options_of(make_chain)
def chain(pictures: list[Path], output: Path, loop: bool, **options: Any) -> None:
    """Morph each photograph into the next, without a jump between."""
    result = make_chain(pictures, output, loop=loop, **options)
    for segment in result.segments:
        metrics = segment.metrics
        console.out.print(
            f"{' to '.join(metrics['from_to'])}: landmarks {metrics['landmark_error_px']:.2f} px, "
            f"folds {metrics['fold_over_percent']:.3g} %, inverse "
            f"{metrics['inverse_error_px']:.2g} px",
            markup=False,
        )
    console.say_files(path for path in result.files if not path.match("frame_*.png"))
    following = "--refine" if loop else "--loop"
    console.say_next("chain", *pictures, "-o", output, following)
