"""``facemorph fit``: photographs, videos and scans to faces of a morphable model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemorph import console
from facemorph.apps.heads.fit import fit as fit_heads
from facemorph.commands.from_signature import options_of
from facemorph.jobs.records import FAILED

if TYPE_CHECKING:
    from facemorph.jobs.pages.fit_page import FitRow


@options_of(fit_heads)
def fit(files: list[Path], output: Path, model: str, **options: Any) -> int:
    """Fit a face model: parameters, overlays, textured meshes, a report. Exit code 3:
    some failed.
    """
    report = fit_heads(files, output, model=model, **options)
    done = None
    for row in report["rows"]:
        if row["status"] == FAILED:
            console.err.print(row["reason"], markup=False)
            continue
        done = done or output / row["files"][0]
        console.out.print(f"{row['file']}: {_figure(row)}", markup=False)
    from facemorph.apps.heads.head_fits import PAGE, REPORT

    console.say_files([output / REPORT, output / PAGE])
    if done is not None:
        words = [] if model == "makehuman" else ["--model", model]
        console.say_next("render", done, "-o", "turned.png", "--yaw", "25", *words)
    return 3 if report["counts"][FAILED] else 0


def _figure(row: FitRow) -> str:
    """How good a fit is, in words."""
    if "error_percent" in row:
        return f"{row['error_percent']:.2f} % of the distance between the pupils"
    if "mean_mm" not in row:
        return "fitted by an older version"
    return (
        f"{row['mean_mm']:.2f} mm from the scan in the mean, 95 % of the face within "
        f"{row['percentile_95_mm']:.1f} mm; {100 * row['share']:.0f} % of the scan's face "
        "within 2 mm"
    )
