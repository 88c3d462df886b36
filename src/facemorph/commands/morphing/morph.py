"""``facemorph morph``: two photographs to a video, GIF, picture or folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.morphing.morph import morph as make_morph
from facemorph.commands.from_signature import options_of
from facemorph.fields.warps.choices import Outside
from facemorph.jobs.outputs import beside
from facemorph.storage.suffixes import STILLS


@options_of(make_morph)
def morph(a: Path, b: Path, output: Path, outside: Outside, **options: Any) -> None:
    """Morph one face into another, with figures and a report beside the result."""
    result = make_morph(a, b, output, outside=outside, **options)
    metrics = result.metrics
    held_out = metrics["heldout_landmark_error_px"]
    console.out.print(
        f"landmarks {metrics['landmark_error_px']:.2f} px, held out "
        f"{'not measured' if held_out is None else f'{held_out:.2f} px'}, "
        f"folds {metrics['fold_over_percent']:.3g} %, "
        f"inverse {metrics['inverse_error_px']:.2g} px, {sum(metrics['seconds'].values()):.1f} s"
    )
    frames_apart = [path for path in result.files if not path.match("frame_*.png")]
    console.say_files(result.files if output.suffix else [output, *frames_apart])
    words = ["morph", a, b, "-o"]
    if outside == "source" and output.suffix.lower() not in STILLS:
        console.say_next(*words, output, "--outside", "mix", note="ends at the whole of B")
    else:
        trained = beside(result.files[0], "trained.mp4")
        console.say_next(*words, trained, "--warp", "siren_residual")
