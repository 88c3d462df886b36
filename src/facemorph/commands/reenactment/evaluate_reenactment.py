"""``facemorph evaluate-reenactment``: how good a trained reenactment is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemorph import console
from facemorph.apps.reenactment.evaluate_reenactment import evaluate_reenactment as evaluate
from facemorph.commands.from_signature import options_of
from facemorph.jobs.records import REPORT

if TYPE_CHECKING:
    from rich.table import Table

    from facemorph.apps.reenactment.evaluation.reenactment_evaluation import ReenactmentReport

CLIP_MEASURES = ("l1_face", "landmarks", "flicker")


@options_of(evaluate)
def evaluate_reenactment(output: Path, **options: Any) -> None:
    """Measure a reenactment on people it has not seen, beside the mesh alone and the source."""
    report = evaluate(output=output, **options)
    from facemorph.apps.reenactment.evaluation.reenactment_evaluation import (
        CROSS_SHEET,
        GALLERY,
        SHEET,
    )

    files = [SHEET, GALLERY, REPORT]
    console.out.print(_of_pairs(report))
    if report["clips"]:
        console.out.print(_of_clips(report))
    if report["cross"]:
        console.out.print(_of_cross(report))
        files.insert(1, CROSS_SHEET)
    console.say_files(output / name for name in files)


def _of_pairs(report: ReenactmentReport) -> Table:
    """A row for each measure, a column for each method."""
    from rich.table import Table

    summary = report["summary"]
    figures, better = summary["figures"], summary["better"]
    title = f"{summary['pairs']} pairs of {report['people']} held-out people"
    methods = [name.replace("_", " ") for name in figures]
    table = Table("", *methods, "better than animate", title=title)
    for name in next(iter(figures.values())):
        values = [one[name] for one in figures.values()]
        if any(value is not None for value in values):  # photographs have no flicker
            table.add_row(name, *map(_shown, values), _percent(better.get(name)))
    table.add_row("no face found", *map(str, summary["no_face"].values()), "")
    return table


def _of_clips(report: ReenactmentReport) -> Table:
    """Rows for each video: pixels, landmarks and flicker, by mesh and network."""
    from rich.table import Table

    methods = ("animate", "reenact")
    table = Table("video", "frames", "", *methods, "better than animate")
    for clip, one in report["clips"].items():
        for name in CLIP_MEASURES:
            values = (_shown(one["figures"][method][name]) for method in methods)
            table.add_row(
                clip, str(one["pairs"]), name, *values, f"{_shown(one['better'][name])} %"
            )
    return table


def _of_cross(report: ReenactmentReport) -> Table:
    """A row for each way to be moved and each method."""
    from rich.table import Table

    rows = [
        (kind, method, figures)
        for kind, methods in report["cross"].items()
        for method, figures in methods.items()
    ]
    table = Table("moved", "method", *rows[0][2])
    for kind, method, figures in rows:
        table.add_row(kind, method, *map(_shown, figures.values()))
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} %"
