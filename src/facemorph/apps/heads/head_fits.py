"""What ``facemorph fit`` does with many inputs: records, interruption, one report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypedDict

from facemorph.apps.fitting.fit_pictures import bare_meshes
from facemorph.apps.heads.fit_worker import PARTS, HeadFitter, HeadInput, HeadOptions
from facemorph.errors import DataError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.pair_lists import possible_points_of
from facemorph.jobs.batch import Batch, key_of, run, stamp_of
from facemorph.jobs.input_files import check_distinct_names, picture_files
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pages.fit_page import FitRow, FitSection, section_html, write_fit_report
from facemorph.jobs.pool import count_workers
from facemorph.jobs.records import FAILED, counts_of, write_json

REPORT, PAGE, MESHES_SHEET = "fit.json", "report.html", "meshes.jpg"
FITTED = "fitted"


class FitReport(TypedDict):
    """The content of ``fit.json``: the settings, and what became of each input.

    Attributes:
        model: Name of the face model.
        detector: Name of the landmark detector.
        same_person: Whether all photographs show one person.
        noise: Expected error of a landmark.
        field_of_view: Degrees, or None.
        refine: Whether photographs are refined by their colours.
        texture: Texels along each side.
        smoothing: Of videos.
        counts: How many inputs are fitted and failed.
        rows: One for each input.
    """

    model: str
    detector: str
    same_person: bool
    noise: float
    field_of_view: float | None
    refine: bool
    texture: int
    smoothing: str
    counts: dict[str, int]
    rows: list[FitRow]


def fit_all(
    files: Sequence[str | Path], options: HeadOptions, output: Path, workers: int | None
) -> FitReport:
    """Fit the model to all inputs; see ``fit``."""
    paths, given = _inputs(files, output), options.points
    if given is not None and os.path.isfile(given) and len(paths) > 1:
        raise DataError(
            "one landmark file cannot be that of several inputs",
            where=given,
            expected="a folder with a landmark file for each",
            found=f"{len(paths)} inputs",
        )
    processes = count_workers(workers)
    fitter = HeadFitter(options, output)
    check_writable(output / REPORT)
    tasks = {path.stem: HeadInput(path, place) for place, path in enumerate(paths)}
    joined = [name for name, task in tasks.items() if options.same_person and task.is_still]
    key = _key(options, [tasks[name].path for name in joined])
    return run(
        Batch(
            output,
            "faces",
            tasks,
            partial(_start, options, output),
            HeadFitter.fit_one,
            partial(_report, output, fitter.model.name, options, list(tasks)),
            given=lambda task: {
                "file": str(task.path),
                "stamp": _stamp(task.path, given),
                "settings": key,
            },
            same=("stamp", "settings"),
            here=fitter,
            together=HeadFitter.fit_one_person if options.same_person else None,
            joined=joined,
            workers=processes,
        )
    )


def _start(options: HeadOptions, output: Path, _: int) -> HeadFitter:
    return HeadFitter(options, output)


def _stamp(path: Path, points: Path | None) -> str:
    """Stamp of an input and of its landmark file."""
    if points is None or os.path.isfile(points):
        return stamp_of(path, points)
    return stamp_of(path, *possible_points_of(path, points))


def _key(options: HeadOptions, person: Sequence[Path]) -> str:
    """A short name of what fits follow from, besides their inputs."""
    place = {
        name: None if value is None else str(Path(value).resolve())
        for name, value in (("points", options.points), ("deca", options.deca))
    }
    return key_of(
        {
            **vars(options),
            **place,
            "device": None,
            "model_file": stamp_of(Path(options.model)),
            "person": sorted(str(path.resolve()) for path in person),
        }
    )


def _report(
    output: Path,
    model: str,
    options: HeadOptions,
    names: Sequence[str],
    known: Mapping[str, FitRow],
) -> FitReport:
    """Write what tells of all inputs so far."""
    rows = [known[name] for name in names if name in known]
    for row in rows:
        row["status"] = FAILED if row["status"] == FAILED else FITTED
    report: FitReport = {
        "model": model,
        "detector": options.detector,
        "same_person": options.same_person,
        "noise": options.noise,
        "field_of_view": options.field_of_view,
        "refine": options.refine,
        "texture": options.texture,
        "smoothing": options.smoothing,
        "counts": counts_of(rows, (FITTED, FAILED)),
        "rows": rows,
    }
    write_json(output / REPORT, report)
    parts = [(row, output / PARTS / row["name"]) for row in rows]
    heads = [
        (part.name, load_image(part.with_name(f"{part.name}.png")))
        for row, part in parts
        if row["status"] == FITTED and part.with_name(f"{part.name}.png").is_file()
    ]
    if heads:
        save_image(bare_meshes(heads), output / MESHES_SHEET, synthetic=True, quality=90)
    pages = [(row, part.with_name(f"{part.name}.html")) for row, part in parts]
    sections = [
        page.read_text(encoding="utf-8")
        if row["status"] == FITTED and page.is_file()
        else section_html(FitSection(row))
        for row, page in pages
    ]
    settings = {name: value for name, value in report.items() if name not in ("counts", "rows")}
    write_fit_report(sections, report["counts"], output / PAGE, settings)
    return report


def _inputs(files: Sequence[str | Path], output: Path) -> list[Path]:
    """The inputs; never a folder that the results go to, whose pictures would be taken for
    photographs the next time.

    Raises:
        DataError: There is none, two have one name, or their folder is the output's.
    """
    for folder in map(Path, files):
        if os.path.isdir(folder) and folder.resolve() == output.resolve():
            raise DataError(
                "the results would lie among the photographs",
                where=folder,
                expected="another folder than that of the photographs",
                remedy="Choose another folder with -o.",
            )
    paths = picture_files(files)
    check_distinct_names(paths)
    return paths
