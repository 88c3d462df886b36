"""``facemorph evaluate-reenactment``: how good a trained reenactment is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemorph import console
from facemorph.apps.reenactment import evaluate_reenactment as app
from facemorph.commands.from_signature import options_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from facemorph.apps.reenactment.reenactment_evaluation import Summary
    from facemorph.apps.reenactment.reenactment_measures import Figures


@options_of(app.evaluate_reenactment)
def evaluate_reenactment(output: Path, **options: Any) -> None:
    """Measure a reenactment on people it has not seen, beside the mesh alone and the source."""
    report = app.evaluate_reenactment(output=output, **options)
    console.out.print(_of_summary(report["summary"], f"{report['people']} held-out people"))
    for clip, summary in report["clips"].items():
        console.out.print(_of_summary(summary, clip))
    for kind, figures in report["cross"].items():
        console.out.print(_table(figures, kind))
    files = [app.SHEET, app.GALLERY, app.REPORT]
    if report["cross"]:
        files.insert(1, app.CROSS_SHEET)
    console.say_files(output / name for name in files)


def _of_summary(summary: Summary, title: str) -> Table:
    """The figures of some pairs, and how often the network is better than the mesh alone."""
    better = {
        name: "" if value is None else f"{value:.0f} %" for name, value in summary["better"].items()
    }
    table = _table(summary["figures"], f"{title}, {summary['pairs']} pairs", better)
    table.add_row("no face found", *map(str, summary["no_face"].values()))
    return table


def _table(
    figures: Mapping[str, Figures], title: str, better: Mapping[str, str] | None = None
) -> Table:
    """A row for each measure, a column for each method."""
    from rich.table import Table

    table = Table("", *figures, *(["better than animate"] if better else []), title=title)
    for name in next(iter(figures.values())):
        values = (one[name] for one in figures.values())
        shown = ("-" if value is None else f"{value:.4g}" for value in values)
        table.add_row(name, *shown, *([better.get(name, "")] if better else []))
    return table
