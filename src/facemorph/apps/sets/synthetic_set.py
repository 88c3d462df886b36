"""``facemorph data synth``: a labelled synthetic set of any size, resumable, the same bytes however
it is divided.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facemorph import console
from facemorph.apps.sets.synthetic_faces import (
    LABELS,
    MAPS,
    SyntheticFaces,
    SynthOptions,
    picture_name,
)
from facemorph.errors import ConfigError, FacemorphError, OutputError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pool import (
    StopSignals,
    count_workers,
    end_with_parent,
    parse_shard,
    results_from_pool,
)
from facemorph.jobs.records import (
    DONE,
    FAILED,
    MISSING,
    Records,
    is_finished,
    keep_settings,
    only_reporter,
)
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_atomic, write_whole
from facemorph.storage.versions import versions

REPORT, INDEX, PARAMETERS, LANDMARKS = (
    "report.json",
    "index.json",
    "parameters.npz",
    "landmarks.npz",
)
OVERVIEW, SHOWN, COLUMNS = "overview.jpg", 24, 6
CHUNK = 50  # pictures that a process takes at a time
BLOCK = 1000  # pictures whose numbers are joined at a time
HELD = 10  # every so many people one is for validation


def synthesize(
    output: str | Path,
    count: int,
    *,
    workers: int | None = 1,
    shard: str = "0/1",
    labels: Sequence[str] = LABELS,
    **options: Any,
) -> dict[str, Any]:
    """Make a labelled synthetic set.

    The same call continues a run that was interrupted; a larger count adds to a set, a smaller one
    leaves it as it is.

    Args:
        output: Its folder.
        count: Number of pictures.
        workers: Processes; None takes one for each core.
        shard: ``K/N`` makes only the K-th of N parts.
        labels: Some of ``LABELS``.
        options: See ``SynthOptions``.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option or the folder is at fault. A picture that fails (a skin's
            photograph) does not raise.
    """
    for label in labels:
        if label not in LABELS:
            raise ConfigError(
                "no such label", where="labels", expected=", ".join(LABELS), found=label
            )
    try:
        made = SynthOptions(**options, labels=tuple(label for label in MAPS if label in labels))
    except TypeError as error:
        raise ConfigError(
            "no such option of a synthetic set", where="options", found=str(error)
        ) from error
    if count < 1:
        raise ConfigError("a set needs a picture", where="count", expected="1 or more", found=count)
    part, parts = parse_shard(shard)
    processes = count_workers(workers)
    faces = SyntheticFaces(made)
    output = Path(output)
    check_writable(output / REPORT)
    settings = {
        **vars(made),
        "labels": sorted(set(labels)),
        "skin": _place(made.skin),
        "background": _place(made.background),
    }
    keep_settings(output, settings)
    records = Records(output, part, parts)
    with records.only_writer(), one_thread():
        known = records.all()
        todo = [
            index
            for index in range(part, count, parts)
            if not is_finished(known.get(picture_name(index)), output)
        ]
        _make_folders(output, made, todo)
        try:
            for record in console.track(
                _results(todo, faces, output, processes), "pictures", total=len(todo)
            ):
                records.append(record)
        finally:
            with only_reporter(output):
                report = _finish(output, faces, records.all(), count, labels, settings)
    return report


def _place(value: str) -> str:
    return value if value == "procedural" else str(Path(value).resolve())


def _make_folders(output: Path, options: SynthOptions, todo: Sequence[int]) -> None:
    try:
        for folder in {picture_name(index).partition("/")[0] for index in todo}:
            for kind in ("images", *options.labels):
                (output / kind / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "the set's folders cannot be made", where=output, found=error.strerror
        ) from error


# In each process of a pool, set by its initializer.
_worker: list[tuple[SyntheticFaces, Path]] = []


def _start(options: SynthOptions, output: Path) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _worker.append((SyntheticFaces(options), output))


def _make_chunk(indices: list[int]) -> list[dict[str, Any]]:
    faces, output = _worker[0]
    return [attempt(faces, index, output) for index in indices]


def _results(
    todo: Sequence[int], faces: SyntheticFaces, output: Path, workers: int
) -> Iterator[dict[str, Any]]:
    chunks = [list(todo[start : start + CHUNK]) for start in range(0, len(todo), CHUNK)]
    with StopSignals() as stop:
        if workers == 1 or len(chunks) < 2:
            for index in todo:
                yield attempt(faces, index, output)
                if stop.number is not None:
                    break
        else:
            for records in results_from_pool(
                chunks,
                _make_chunk,
                min(workers, len(chunks)),
                stop,
                output,
                _start,
                (faces.options, output),
            ):
                yield from records
    stop.raise_if_any(output)


def attempt(faces: SyntheticFaces, index: int, output: Path) -> dict[str, Any]:
    """Make a picture; its record, with the reason where it failed.

    Raises:
        OutputError: It cannot be written, which no other picture will fare better with.
    """
    record: dict[str, Any] = {"name": picture_name(index), "index": index}
    try:
        return {**record, "status": DONE, "files": faces.write(index, output)}
    except OutputError:
        raise
    except FacemorphError as error:
        return {**record, "status": FAILED, "error": type(error).__name__, "reason": str(error)}


def _finish(
    output: Path,
    faces: SyntheticFaces,
    known: dict[str, dict[str, Any]],
    count: int,
    labels: Sequence[str],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Write parameters, landmarks and index of all pictures that are there, and the report."""
    total = max(
        [count, *(int(record["index"]) + 1 for record in known.values() if "index" in record)]
    )
    rows = [known.get(picture_name(index), {"name": picture_name(index)}) for index in range(total)]
    done = [index for index, row in enumerate(rows) if is_finished(row, output)]
    failed = [row for row in rows if row.get("status") == FAILED]
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
    write_whole(output / INDEX, (json.dumps(index) + "\n").encode())
    if done:
        _write_overview(
            [output / rows[number]["files"][0] for number in done[:SHOWN]], output / OVERVIEW
        )
    report = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "settings": settings,
        "versions": versions(),
        "counts": {DONE: len(done), FAILED: len(failed), MISSING: total - len(done) - len(failed)},
        "people": len({faces.person(number) for number in done}),
        "failed": failed,
    }
    write_whole(output / REPORT, (json.dumps(report, indent=1) + "\n").encode())
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
