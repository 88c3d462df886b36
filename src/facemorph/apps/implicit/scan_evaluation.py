"""What ``facemorph evaluate-scans`` does with scans that training has not seen."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facemorph.apps.implicit.compared_faces import embedded_head, learn_linear
from facemorph.apps.implicit.face_meshes import FaceCodes, FaceMaker, load_imface
from facemorph.apps.implicit.scan_inputs import InputOptions, read_any
from facemorph.errors import ConfigError, DataError, GeometryError
from facemorph.geometry.scans.linear_faces import LinearFaces
from facemorph.geometry.scans.scan_files import ListedScan, list_scans
from facemorph.geometry.scans.scan_placement import in_millimetres
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.geometry.scans.sheet_outlines import over_sheet
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pool import count_workers
from facemorph.jobs.records import (
    DONE,
    FAILED,
    REPORT,
    Header,
    Row,
    Settings,
    counts_of,
    header,
    write_json,
)
from facemorph.metrics.surface_agreement import surface_agreement
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_whole
from facemorph.systems.imface.code_fitting import FittingOptions, fit_codes

TABLE = "scans.csv"
GIVEN = "the scan"  # the kind of a file that is given in the place of a set
AS_IT_IS = InputOptions(None, "guess", "auto", None, None, None, None, 1.0, None)
ALL = "all"


@dataclass(frozen=True)
class EvaluationOptions:
    """How models are compared: see the arguments of ``evaluate_scans``.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    limit: int | None
    scans: Path | None
    components: tuple[int, ...]
    resolution: int
    thresholds: tuple[float, ...]
    samples: int
    fitting: FittingOptions

    def __post_init__(self) -> None:
        """See that each is possible."""
        for name, values in (
            ("limit", () if self.limit is None else (self.limit,)),
            ("samples", (self.samples,)),
            ("components", self.components),
        ):
            if any(value < 1 for value in values):
                raise ConfigError(
                    "this cannot be less than 1",
                    where=name,
                    expected="1 or more",
                    found=list(values),
                )
        if not self.thresholds or any(not threshold > 0 for threshold in self.thresholds):
            raise ConfigError(
                "unusable thresholds",
                where="thresholds",
                expected="above 0",
                found=list(self.thresholds),
            )


def kinds_of(folder: Path) -> dict[str, list[ListedScan]]:
    """The test scans of a set by what of them training has not seen.

    Raises:
        DataError: The folder is no set, or has no test scans.
    """
    listed, _ = list_scans(folder)
    people, expressions = (
        {getattr(scan, name) for scan in listed if scan.split == "training"}
        for name in ("identity", "expression")
    )
    kinds: dict[str, list[ListedScan]] = {}
    for scan in listed:
        if scan.split == "training":
            continue
        who = "known" if scan.identity in people else "new"
        what = "known" if scan.expression in expressions else "new"
        kinds.setdefault(f"{who} people, {what} expressions", []).append(scan)
    if not kinds:
        raise DataError(
            "this set has no test scans",
            where=folder,
            found=f"{len(listed)} scans for training",
            remedy="facemorph data scans --held-identities 0.125, and prepare them.",
        )
    return dict(
        sorted(kinds.items(), key=lambda item: ("new people, known" not in item[0], item[0]))
    )


class EvaluatedRow(Row, total=False):
    """One scan: ``kind`` is what of it training has not seen, ``models`` the figures of each model,
    without and with rigid alignment.
    """

    kind: str
    stamp: str
    fitting_seconds: float
    evaluations_of_loss: int
    extraction_seconds: float
    evaluations_of_field: int
    models: dict[str, dict[str, float]]


class EvaluationReport(Header):
    """The content of ``report.json``: ``summary`` has for each kind of scans the number of
    ``scans``, and for each model the mean of every figure.
    """

    counts: dict[str, int]
    summary: dict[str, dict[str, Any]]
    failed: list[EvaluatedRow]


@dataclass(frozen=True)
class UnseenScan:
    """A scan to evaluate.

    Attributes:
        path: Prepared, or a mesh as it is.
        name: Of its row.
        kind: What of it training has not seen.
    """

    path: Path
    name: str
    kind: str


@dataclass(frozen=True)
class Models:
    """What is compared: the trained model, and linear ones."""

    make: FaceMaker
    linear: LinearFaces | None
    options: EvaluationOptions

    def measure(self, task: UnseenScan) -> EvaluatedRow:
        """Figures of all models for one scan.

        Raises:
            FacemorphError: It cannot be read or fitted.
        """
        return _measure(self.make, read_any(task.path, AS_IT_IS), self.linear, self.options)


def evaluate_all(
    folder: Path,
    output: Path,
    checkpoint: str | Path,
    how: EvaluationOptions,
    workers: int | None,
) -> EvaluationReport:
    """Fit the test scans of a set and measure the faces; see ``evaluate_scans``."""
    tasks = tasks_of(folder, how.limit)
    processes = count_workers(workers)
    check_writable(output / REPORT)
    known = os.path.exists(checkpoint)
    settings = {
        **vars(how),
        "scans": how.scans and str(how.scans),
        "fitting": vars(how.fitting),
        "checkpoint": str(Path(checkpoint).resolve() if known else checkpoint),
        "folder": str(folder.resolve()),
    }
    with one_thread():
        models = _start(checkpoint, how, 0)
        return run(
            Batch(
                output,
                "scans",
                {task.name: task for task in tasks},
                partial(_start, checkpoint, how),
                Models.measure,
                partial(_report, output, tasks, settings),
                settings=settings,
                given=lambda task: {"kind": task.kind, "stamp": stamp_of(task.path)},
                same=("stamp",),
                here=models,
                workers=processes,
            )
        )


def tasks_of(folder: Path, limit: int | None) -> list[UnseenScan]:
    """The test scans of a set, or the one scan that is given.

    Raises:
        DataError: The folder is no set, or has no test scans.
    """
    if folder.is_file():
        return [UnseenScan(folder, folder.stem, GIVEN)]
    return [
        UnseenScan(scan.path, f"{scan.identity}/{scan.expression}", kind)
        for kind, scans in kinds_of(folder).items()
        for scan in _spread(scans, limit)
    ]


def _start(checkpoint: str | Path, options: EvaluationOptions, _: int) -> Models:
    make = FaceMaker(load_imface(checkpoint), resolution=options.resolution)
    scans, most = options.scans, max(options.components, default=0)
    return Models(make, None if scans is None else learn_linear(scans, most), options)


def _spread(scans: Sequence[ListedScan], limit: int | None) -> list[ListedScan]:
    """Some of the scans: other people, and other expressions, as far as there are some."""
    if limit is None or limit >= len(scans):
        return list(scans)
    people: dict[str, list[ListedScan]] = {}
    for scan in scans:
        people.setdefault(scan.identity, []).append(scan)
    names = [
        list(people)[int(index)]
        for index in np.linspace(0, len(people) - 1, min(limit, len(people)))
    ]
    chosen = [people[name][number % len(people[name])] for number, name in enumerate(names)]
    rest = [scan for scan in scans if scan not in chosen]
    return chosen + rest[: limit - len(chosen)]


def _measure(
    make: FaceMaker, scan: PreparedScan, linear: LinearFaces | None, how: EvaluationOptions
) -> EvaluatedRow:
    """Figures of all models for one scan."""
    codes = fit_codes(make.system, [scan], how.fitting)
    begun = time.perf_counter()
    detail = None if codes.detail is None else codes.detail[0]
    found = make.extracted(FaceCodes(codes.identity, codes.expression[0], detail), how.resolution)
    faces = {"fitted": found.mesh, "template": make.template}
    with contextlib.suppress(GeometryError):  # parts of a face may not determine a head
        faces["head"] = embedded_head(scan)
    row: EvaluatedRow = {
        "models": {},
        "fitting_seconds": round(codes.seconds, 2),
        "evaluations_of_loss": len(codes.losses),
        "extraction_seconds": round(time.perf_counter() - begun, 2),
        "evaluations_of_field": found.evaluations,
    }
    if linear is not None:
        for count in how.components:
            if count <= len(linear.basis):
                faces[f"pca_{count}"] = linear.sheet_of(linear.fit(scan.sheet, count))
    goal = in_millimetres(scan.sheet)
    for model, face in faces.items():
        shown = in_millimetres(over_sheet(face, scan.sheet))
        for aligned in (False, True):
            row["models"][f"{model}_aligned" if aligned else model] = surface_agreement(
                shown, goal, thresholds=how.thresholds, samples=how.samples, rigid=aligned
            )
    return row


def _with_models(row: EvaluatedRow) -> EvaluatedRow:
    """A row whose figures are under ``models``; older versions had them among its keys."""
    old: dict[str, Any] = {name: value for name, value in row.items() if isinstance(value, dict)}
    return row if "models" in row else {**row, "models": old}


def _figures_of(figures: Sequence[Mapping[str, float]]) -> list[str]:
    """Names of the figures that all have: older versions had fewer."""
    return [name for name in figures[0] if all(name in one for one in figures)]


def _names_of(rows: Sequence[EvaluatedRow]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row["models"]))


def _report(
    output: Path,
    tasks: Sequence[UnseenScan],
    settings: Settings,
    known: Mapping[str, EvaluatedRow],
) -> EvaluationReport:
    """Write the summary and the table of all scans that are measured."""
    rows = [known[task.name] for task in tasks if task.name in known]
    done = [_with_models(row) for row in rows if row["status"] == DONE]
    summary: dict[str, dict[str, Any]] = {}
    for kind in (*dict.fromkeys(row["kind"] for row in done), ALL):
        part = [row for row in done if kind in (row["kind"], ALL)]
        summary[kind] = {"scans": len(part)}
        for model in _names_of(part):
            found = [row["models"][model] for row in part if model in row["models"]]
            summary[kind][model] = {
                name: round(float(np.mean([one[name] for one in found])), 4)
                for name in _figures_of(found)
            }
    report: EvaluationReport = {
        **header(settings),
        "counts": counts_of(rows, (DONE, FAILED)),
        "summary": summary,
        "failed": [row for row in rows if row["status"] == FAILED],
    }
    write_json(output / REPORT, report)
    stream = io.StringIO()
    writer = csv.writer(stream)
    every = [one for row in done for one in row["models"].values()]
    figures = _figures_of(every) if every else []
    writer.writerow(["scan", "kind", "model", *figures])
    for row in done:
        for model, measured in row["models"].items():
            numbers = (f"{measured[name]:.4f}" for name in figures)
            writer.writerow([row["name"], row["kind"], model, *numbers])
    write_whole(output / TABLE, stream.getvalue().encode())
    return report


def say(report: EvaluationReport) -> list[str]:
    """The summary as lines."""
    lines = []
    for kind, models in report["summary"].items():
        lines.append(f"{kind}: {models['scans']} scans")
        for model, figures in models.items():
            if isinstance(figures, dict):
                scores = ", ".join(
                    f"{name.replace('f_score_', 'F ')} mm {value:.1f} %"
                    for name, value in figures.items()
                    if name.startswith("f_score")
                )
                ways = (
                    f"{figures['accuracy']:.2f} to the scan, {figures['completeness']:.2f} from it"
                )
                lines.append(
                    f"  {model.replace('_', ' ')}: chamfer {figures['chamfer']:.2f} mm ({ways}), "
                    f"{scores}, "
                    f"normals {figures['normal_consistency']:.3f}"
                    + (
                        f"; surface {figures['mean']:.2f} mm, 95 % {figures['percentile_95']:.2f}"
                        if "mean" in figures
                        else ""
                    )
                )
    return lines
