"""What ``facemorph data synth`` makes: pictures and labels, in several processes, and the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facemorph.apps.sets.synthetic_faces import (
    SyntheticFaces,
    SynthOptions,
    picture_name,
)
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.batch import Batch, run
from facemorph.jobs.outputs import check_writable, make_folders
from facemorph.jobs.pool import count_workers, parse_shard
from facemorph.jobs.records import (
    DONE,
    FAILED,
    MISSING,
    REPORT,
    Header,
    Row,
    Settings,
    counts_of,
    header,
    write_json,
)
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_atomic

INDEX, PARAMETERS, LANDMARKS = "index.json", "parameters.npz", "landmarks.npz"
OVERVIEW, SHOWN, COLUMNS = "overview.jpg", 24, 6
CHUNK = 50  # pictures that a process takes at a time
BLOCK = 1000  # pictures whose numbers are joined at a time
HELD = 10  # every so many people one is for validation


class PictureRow(Row, total=False):
    """What became of one picture; ``index`` is its number from 0."""

    index: int


class SynthReport(Header):
    """The content of ``report.json``.

    Attributes:
        counts: How many pictures are done, failed and missing.
        people: How many people the pictures show.
        failed: Rows of those that failed.
    """

    counts: dict[str, int]
    people: int
    failed: list[PictureRow]


def make_all(
    output: Path,
    count: int,
    made: SynthOptions,
    labels: Sequence[str],
    workers: int | None,
    shard: str,
) -> SynthReport:
    """Make a labelled synthetic set; see ``synthesize``."""
    part, parts = parse_shard(shard)
    processes = count_workers(workers)
    faces = SyntheticFaces(made)
    check_writable(output / REPORT)
    settings = {
        **vars(made),
        "labels": sorted(set(labels)),
        "skin": _place(made.skin),
        "background": _place(made.background),
    }
    with one_thread():
        return run(
            Batch(
                output,
                "pictures",
                {picture_name(index): index for index in range(part, count, parts)},
                partial(_start, made, output, count),
                make_picture,
                partial(_finish, output, faces, count, labels, settings),
                settings=settings,
                given=lambda index: {"index": index},
                chunk=CHUNK,
                workers=processes,
                shard=(part, parts),
            )
        )


def _place(value: str) -> str:
    return value if value in ("procedural", "open") else str(Path(value).resolve())


def _start(options: SynthOptions, output: Path, count: int, _: int) -> tuple[SyntheticFaces, Path]:
    inside = {picture_name(index).partition("/")[0] for index in range(count)}
    kinds = ("images", *options.labels)
    make_folders(output, (f"{kind}/{folder}" for kind in kinds for folder in inside))
    return SyntheticFaces(options), output


def make_picture(worker: tuple[SyntheticFaces, Path], index: int) -> PictureRow:
    """Make a picture and its labels in a folder.

    Raises:
        FacemorphError: A skin's photograph is at fault.
        OutputError: It cannot be written.
    """
    faces, output = worker
    return {"files": faces.write(index, output)}


def _finish(
    output: Path,
    faces: SyntheticFaces,
    count: int,
    labels: Sequence[str],
    settings: Settings,
    known: Mapping[str, PictureRow],
) -> SynthReport:
    """Write parameters, landmarks and index of all pictures that are there, and the report."""
    total = max([count, *(row["index"] + 1 for row in known.values() if "index" in row)])
    names = [picture_name(index) for index in range(total)]
    rows: list[PictureRow] = [known.get(name, {"name": name, "status": MISSING}) for name in names]
    done = [index for index, row in enumerate(rows) if row["status"] == DONE]
    _write_numbers(output, faces, done, labels)
    index = {
        "names": [rows[number]["name"] for number in done],
        "people": [f"{faces.person(number):07}" for number in done],
        "split": [
            "validation" if faces.person(number) % HELD == HELD - 1 else "training"
            for number in done
        ],
        "skins": [faces.skin_number(number) for number in done],
        "files": [rows[number]["files"][0] for number in done],
        "maps": {label: f"{label}/NAME.png" for label in faces.options.labels},
    }
    write_json(output / INDEX, index, indent=None)
    if done:
        _write_overview(
            [output / rows[number]["files"][0] for number in done[:SHOWN]], output / OVERVIEW
        )
    report: SynthReport = {
        **header(settings),
        "counts": counts_of(rows, (DONE, FAILED, MISSING)),
        "people": len({faces.person(number) for number in done}),
        "failed": [row for row in rows if row["status"] == FAILED],
    }
    write_json(output / REPORT, report)
    return report


def _write_numbers(
    output: Path, faces: SyntheticFaces, done: Sequence[int], labels: Sequence[str]
) -> None:
    """Write parameters and landmarks of the pictures that are done; they follow from their
    numbers.
    """
    if not {"parameters", "landmarks"} & set(labels):
        return
    blocks: list[FaceParameters] = []
    pixels = np.empty((len(done), 68, 2), np.float32)
    millimetres = np.empty((len(done), 68, 3), np.float32)
    for start in range(0, len(done), BLOCK):  # many small tensors take ten times the memory
        parts = [faces.parameters(index) for index in done[start : start + BLOCK]]
        blocks.append(FaceParameters.joined(parts))
        for row, part in enumerate(parts if "landmarks" in labels else (), start):
            pixels[row], millimetres[row] = (points.numpy() for points in faces.landmarks(part))
    if blocks and "parameters" in labels:
        FaceParameters.joined(blocks).save(output / PARAMETERS)
    if blocks and "landmarks" in labels:
        arrays: dict[str, Any] = {"pixels": pixels, "millimetres": millimetres}
        write_atomic(output / LANDMARKS, lambda target: np.savez(target, **arrays))


def _write_overview(files: Sequence[Path], path: Path) -> None:
    """A sheet of the first pictures."""
    pictures = [load_image(file) for file in files]
    pictures += [torch.ones_like(pictures[0])] * (
        -len(pictures) % COLUMNS if len(pictures) > COLUMNS else 0
    )
    strips = [
        torch.cat(pictures[start : start + COLUMNS], 2)
        for start in range(0, len(pictures), COLUMNS)
    ]
    save_image(torch.cat(strips, 1), path, synthetic=True, quality=88)
