"""The measurements of ``facemorph evaluate-reenactment``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from torch import Tensor
from torch.nn import functional

from facemorph import console
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.apps.reenactment.evaluation.cross_reenactment import CrossRow, cross_rows
from facemorph.apps.reenactment.evaluation.flicker import Flicker, Shown
from facemorph.apps.reenactment.evaluation.held_out_pairs import HeldOutPair, HeldOutPairs
from facemorph.apps.reenactment.evaluation.moved_source import MovedSource
from facemorph.apps.reenactment.evaluation.reenactment_measures import (
    Figures,
    ReenactmentMeasures,
    better_percent,
    means,
)
from facemorph.apps.reenactment.reenactor import load_reenactment
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.model_files import load_model
from facemorph.jobs.outputs import make_folders
from facemorph.jobs.pages.gallery import write_gallery
from facemorph.jobs.records import REPORT, Header, header, write_json
from facemorph.ops.seeds import evenly
from facemorph.systems.gdpw.small_system import SmallGDPW

SHEET, CROSS_SHEET, GALLERY, PICTURES = "sheet.png", "cross.png", "gallery.html", "pictures"
METHODS = ("copy", "animate", "animate_aligned", "reenact")
BASELINE, OURS = "animate", "reenact"
WORST, OTHERS, COLUMNS = 8, 8, 2  # pairs on the sheet
CROSSED, WIDEST = 32, 960  # strips on the other sheet; pixels of a strip
CELLS = (160, 512)  # pixels of a picture beside others


class PairRow(TypedDict):
    """One pair.

    Attributes:
        source: Name of the photograph that was moved.
        target: Of the one that it should be.
        person: Who is shown.
        clip: The video that both are frames of, or empty.
        file: The pictures side by side.
        figures: For each method what ``ReenactmentMeasures.against_target`` says, and ``flicker``,
            see ``Flicker``.
    """

    source: str
    target: str
    person: str
    clip: str
    file: str
    figures: dict[str, Figures]


class Summary(TypedDict):
    """Some pairs together.

    Attributes:
        pairs: How many.
        figures: For each method the mean of each measure, over the pairs that have it.
        better: In how many percent of the pairs ``reenact`` is better than ``animate``.
        no_face: For each method in how many of its pictures no face was found.
    """

    pairs: int
    figures: dict[str, Figures]
    better: Figures
    no_face: dict[str, int]


class ReenactmentReport(Header):
    """The content of ``report.json``.

    Attributes:
        people: Held-out people.
        summary: Of all pairs.
        clips: Of those of each video.
        cross: For each way to be moved and each method the mean of each measure; empty when not
            asked for.
        rows: Of each pair, worst first.
        cross_rows: Of each person and way.
    """

    people: int
    summary: Summary
    clips: dict[str, Summary]
    cross: dict[str, dict[str, Figures]]
    rows: list[PairRow]
    cross_rows: list[CrossRow]


def evaluate(
    folder: Path,
    output: Path,
    checkpoint: str | Path,
    split: str,
    size: int,
    count: int,
    cross: bool,
) -> ReenactmentReport:
    """Measure; see ``evaluate_reenactment``."""
    system = load_reenactment(checkpoint).eval()
    model = load_model(system.model_name)
    held = HeldOutPairs(folder, model, split, size, count)
    measures = ReenactmentMeasures(model, size)
    make_folders(output, (PICTURES,))
    rows = _pair_rows(system, held, measures, output)
    crossed: list[CrossRow] = []
    if cross:
        for row, pictures in cross_rows(system, held, measures):
            row["figures"] = {name: _finite(one) for name, one in row["figures"].items()}
            row["file"] = f"{PICTURES}/cross_{row['kind']}_{row['source']}.png"
            save_image(_strip(pictures, {}, size), output / row["file"], synthetic=True)
            crossed.append(row)
    settings = {
        "checkpoint": str(checkpoint),
        "set": str(folder),
        "split": split,
        "size": size,
        "count": count,
        "cross": cross,
    }
    clips = dict.fromkeys(row["clip"] for row in rows if row["clip"])
    kinds = dict.fromkeys(row["kind"] for row in crossed)
    report: ReenactmentReport = {
        **header(settings),
        "people": len({row["person"] for row in rows}),
        "summary": summary_of(rows),
        "clips": {clip: summary_of([row for row in rows if row["clip"] == clip]) for clip in clips},
        "cross": {
            kind: {
                method: _finite(
                    means([row["figures"][method] for row in crossed if row["kind"] == kind])
                )
                for method in (BASELINE, OURS)
            }
            for kind in kinds
        },
        "rows": [
            {**row, "figures": {name: _finite(one) for name, one in row["figures"].items()}}
            for row in rows
        ],
        "cross_rows": crossed,
    }
    write_json(output / REPORT, report)
    _write_gallery(report, output)
    _write_sheets(report, output)
    return report


def _pair_rows(
    system: SmallGDPW, held: HeldOutPairs, measures: ReenactmentMeasures, output: Path
) -> list[PairRow]:
    """All pairs moved, measured and drawn, worst first."""
    rows: list[PairRow] = []
    row_of_source, source, flicker = -1, None, Flicker(measures)
    for pair in console.track(held.pairs, "pairs"):
        if source is None or row_of_source != pair.source:  # pairs of one stand together
            source = MovedSource(
                system, measures.model, held.picture(pair.source), held.parameters[pair.source]
            )
            row_of_source = pair.source
        wanted, parameters = held.picture(pair.target), held.parameters[pair.target]
        pictures = source.methods(parameters)
        figures = measures.against_target(pictures, wanted, parameters)
        for name, change in flicker(Shown(pair.clip, pictures, wanted, parameters)).items():
            figures[name]["flicker"] = change
        row = _row(held, pair, figures)
        shown = {"source": pictures["copy"], BASELINE: pictures[BASELINE], OURS: pictures[OURS]}
        strip = _strip({**shown, "target": wanted}, figures, measures.size)
        save_image(strip, output / row["file"], synthetic=True)
        rows.append(row)
    return sorted(rows, key=lambda row: -(row["figures"][OURS]["l1_face"] or 0))


def _row(held: HeldOutPairs, pair: HeldOutPair, figures: dict[str, Figures]) -> PairRow:
    source, target = held.names[pair.source], held.names[pair.target]
    return {
        "source": source,
        "target": target,
        "person": pair.person,
        "clip": pair.clip,
        "file": f"{PICTURES}/{source}__{target}.png",
        "figures": figures,
    }


def summary_of(rows: Sequence[PairRow]) -> Summary:
    """Some pairs together.

    Args:
        rows: At least one, with all methods.
    """
    by_method = {method: [row["figures"][method] for row in rows] for method in METHODS}
    return {
        "pairs": len(rows),
        "figures": {method: _finite(means(some)) for method, some in by_method.items()},
        "better": _finite(better_percent(by_method[OURS], by_method[BASELINE])),
        "no_face": {
            method: sum(one["landmarks"] is None for one in some)
            for method, some in by_method.items()
        },
    }


def _finite(figures: Figures) -> Figures:
    """Figures as a report has them: rounded, None for what is not finite."""
    return {
        name: None if value is None or not math.isfinite(value) else round(value, 4)
        for name, value in figures.items()
    }


# ------------------------------------------------------------
# pictures
def _strip(pictures: Mapping[str, Tensor], figures: Mapping[str, Figures], size: int) -> Tensor:
    """Pictures side by side, with the difference of those that have one."""
    cells = []
    for name, picture in pictures.items():
        error = figures.get(name, {}).get("l1_face")
        cells.append((name if error is None else f"{name} {error:.1f}", picture))
    return contact_sheet([cells], min(max(size, CELLS[0]), CELLS[1]))


def _write_gallery(report: ReenactmentReport, output: Path) -> None:
    """The page; names begin with a number, so that the worst come first."""
    width = len(str(len(report["rows"])))
    items: list[dict[str, object]] = []
    for number, row in enumerate(report["rows"], 1):
        name = f"{number:0{width}} {row['person']}: {row['source']} to {row['target']}"
        own, baseline = (row["figures"][method] for method in (OURS, BASELINE))
        items.append(
            {"file": row["file"], "name": name, **own, "l1_face_animate": baseline["l1_face"]}
        )
    for one in report["cross_rows"]:
        name = f"{one['kind']} {one['person']}: {one['source']}"
        items.append({"file": one["file"], "name": name, **one["figures"][OURS]})
    summary = report["summary"]
    shown = {
        f"{method} {name}": value
        for name in summary["figures"][OURS]
        for method in (BASELINE, OURS)
        if (value := summary["figures"][method][name]) is not None
    }
    title = "Reenactment: source, animate, reenact, target; worst first"
    write_gallery(items, output / GALLERY, title, {"pairs": summary["pairs"], **shown})


def _write_sheets(report: ReenactmentReport, output: Path) -> None:
    """The worst pairs and some of the others; some of the crossed ones."""
    rows = report["rows"]
    rest = rows[WORST:]
    chosen = [*rows[:WORST], *(rest[place] for place in evenly(len(rest), OTHERS))]
    files = {SHEET: [row["file"] for row in chosen]}
    crossed = report["cross_rows"]
    if crossed:
        places = evenly(len(crossed), CROSSED)
        files[CROSS_SHEET] = [crossed[place]["file"] for place in places]
    for name, some in files.items():
        strips = [load_image(output / file) for file in some]
        height, width = (max(strip.shape[axis] for strip in strips) for axis in (1, 2))
        cells = []
        for file, strip in zip(some, strips, strict=True):
            margin = (0, width - strip.shape[2], 0, height - strip.shape[1])
            whole = functional.pad(strip, margin, value=1.0)
            cells.append((Path(file).stem.replace("__", " to "), whole))
        lines = [cells[at : at + COLUMNS] for at in range(0, len(cells), COLUMNS)]
        save_image(contact_sheet(lines, min(width, WIDEST)), output / name, synthetic=True)
