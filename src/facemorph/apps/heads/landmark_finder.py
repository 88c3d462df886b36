"""What ``facemorph landmarks`` does with many photographs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict, cast

import torch

from facemorph.apps.morphing.morph_pictures import draw_landmarks
from facemorph.faces.detection import find_face, make_detector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.input_files import check_distinct_names, picture_files
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pool import count_workers
from facemorph.jobs.records import FAILED, Records, Row, counts_of, write_json
from facemorph.storage.files import sha256_of

REPORT = "landmarks.json"
FOUND, KEPT = "found", "kept"


class LandmarkRow(Row, total=False):
    """What became of one photograph; its status is ``found``, ``kept`` or ``failed``.

    Attributes:
        file: The photograph.
        stamp: Of it.
        kind: Of the landmark file.
        points: Name of the landmark file.
        written: sha256 of the landmark file that was written.
        score: Of the face.
        box: Of the face, pixels: left, top, right, bottom.
        scheme: Of the landmarks.
    """

    file: str
    stamp: str
    kind: str
    points: str
    written: str
    score: float
    box: list[float]
    scheme: str


class LandmarkReport(TypedDict):
    """The content of ``landmarks.json``.

    Attributes:
        detector: Its name.
        counts: How many are found, kept and failed.
        rows: One for each photograph.
    """

    detector: str
    counts: dict[str, int]
    rows: list[LandmarkRow]


def find_all(
    files: Sequence[str | Path], options: LandmarkOptions, workers: int | None
) -> LandmarkReport:
    """Find the landmarks of photographs; see ``find_landmarks``."""
    paths = picture_files(files)
    check_distinct_names(paths)
    processes = count_workers(workers)
    finder = LandmarkFinder(options, 0)
    check_writable(options.output / REPORT)
    earlier = Records(options.output).all()
    return run(
        Batch(
            options.output,
            "photographs",
            {
                path.stem: Photograph(path, cast(LandmarkRow, earlier.get(path.stem, {})))
                for path in paths
            },
            partial(LandmarkFinder, options),
            LandmarkFinder.find,
            partial(_report, options, [path.stem for path in paths], earlier),
            given=lambda task: {
                "file": str(task.path),
                "stamp": stamp_of(task.path),
                "kind": options.kind,
            },
            same=("stamp", "kind"),
            here=finder,
            workers=processes,
            again=options.again,
        )
    )


@dataclass(frozen=True)
class LandmarkOptions:
    """What all photographs of a call share: see the arguments of ``find_landmarks``."""

    output: Path
    kind: str
    detector: str
    min_score: float | None
    overlay: bool
    again: bool
    device: str | None


@dataclass(frozen=True)
class Photograph:
    """A photograph, and its row of an earlier call; empty without."""

    path: Path
    earlier: LandmarkRow


class LandmarkFinder:
    """Finds and writes the landmarks of one photograph after the other.

    Args:
        options: What all have in common.
        number: Of the process.

    Raises:
        ConfigError: There is no such detector.
    """

    def __init__(self, options: LandmarkOptions, number: int) -> None:
        self.options = options
        self.detector = make_detector(
            options.detector, min_score=options.min_score, device=options.device
        )

    @torch.no_grad()
    def find(self, photograph: Photograph) -> LandmarkRow:
        """Write the landmark file of a photograph, or keep the one that is there.

        Raises:
            FacemorphError: The photograph cannot be read, or shows no face.
            OutputError: A file cannot be written.
        """
        options, path = self.options, photograph.path
        target = options.output / f"{path.stem}.{options.kind}"
        row: LandmarkRow = {"points": target.name, "files": [target.name]}
        if os.path.isfile(target) and not options.again:
            written = photograph.earlier.get("written")
            if written is None or sha256_of(target) != written:
                return {**row, "status": KEPT}
        image = load_image(path)
        face = find_face(image, self.detector, name=path)
        write_points(face.points.double(), target, face.scheme)
        if options.overlay:
            save_image(
                draw_landmarks(image, face.points),
                options.output / f"{path.stem}.landmarks.jpg",
                quality=88,
            )
        return {
            **row,
            "status": FOUND,
            "written": sha256_of(target),
            "score": round(face.score, 4),
            "box": [round(value, 1) for value in face.box.tolist()],
            "scheme": face.scheme,
        }


def _report(
    options: LandmarkOptions,
    names: Sequence[str],
    earlier: Mapping[str, Row],
    known: Mapping[str, LandmarkRow],
) -> LandmarkReport:
    """Write what became of each photograph; what an earlier call has found is kept."""
    rows: list[LandmarkRow] = []
    for name in names:
        row = known.get(name)
        if row is None:
            continue
        if row["status"] != FAILED and row == earlier.get(name):
            row = {"file": row["file"], "status": KEPT, "points": row["points"]}
        rows.append(row)
    counts = counts_of(rows, (FOUND, KEPT, FAILED))
    report: LandmarkReport = {"detector": options.detector, "counts": counts, "rows": rows}
    write_json(options.output / REPORT, report)
    return report
