"""``facemorph reconstruct``: scans to faces of ImFace, with how far they are from the scans.

``scan_inputs`` reads scans, ``code_fitting`` fits codes, ``reconstructed_faces`` measures and
writes a face; here is what goes on over many scans: records, interruption, the report.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from facemorph import console
from facemorph.apps.implicit.face_meshes import FaceMaker, load_imface
from facemorph.apps.implicit.imface_pictures import SIDE
from facemorph.apps.implicit.reconstructed_faces import (
    COMPARED,
    VIEWS,
    ReconstructionOptions,
    views_of,
    write_face,
)
from facemorph.apps.implicit.scan_inputs import read_any
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.errors import ConfigError, FacemorphError, OutputError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pool import StopSignals
from facemorph.jobs.records import DONE, FAILED, MISSING, REPORT, Records, is_finished
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_whole
from facemorph.storage.versions import versions
from facemorph.systems.imface.code_fitting import fit_codes
from facemorph.systems.imface.system import ImFace

PICTURE = "faces.png"
SHOWN = 12  # scans on the sheet of pictures
T = TypeVar("T")


def reconstruct(
    files: Sequence[str | Path],
    checkpoint: str | Path,
    output: str | Path,
    options: ReconstructionOptions | None = None,
) -> dict[str, Any]:
    """Fit ImFace to scans.

    The same call goes on where it was stopped; what is done stays, what failed is tried again. With
    other options or another model faces are fitted and written anew.

    Args:
        files: What ``read_any`` takes: meshes, depth maps, prepared scans.
        checkpoint: What ``load_system`` takes.
        output: Folder of ``NAME.ply`` (or ``.obj``, ``.glb``); ``NAME_correspondence.npz`` with the
            place on the template of each vertex; ``NAME_error.ply`` with the distance from the scan
            as colour, ``NAME_scan.ply``, ``NAME_codes.npz``, ``NAME_views.png``; ``faces.png``,
            ``report.json`` and the records of what is done.
        options: How.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault; or the only scan.
        Interrupted: A signal came; what is done stays, and is in ``report.json``.
    """
    how, paths, folder = (
        options or ReconstructionOptions(),
        [Path(file) for file in files],
        Path(output),
    )
    names = _names(paths)
    check_writable(folder / REPORT)
    _check_inputs_stay(paths, names, folder, how)
    with one_thread():
        system = load_imface(checkpoint)
        settings = _settings(how, checkpoint, system, paths)
        records = Records(folder)
        key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
        rows = {
            name: {
                "name": name,
                "file": str(path.resolve()),
                "modified": _modified(path),
                "settings": key,
            }
            for name, path in zip(names, paths, strict=True)
        }
        with records.only_writer(), StopSignals() as stop:
            try:
                for row in _rows(rows, system, folder, how, records, stop):
                    records.append(row)
            finally:
                known = records.all()
                report = _report(
                    folder,
                    [
                        known[name] if _is_of(known.get(name), row) else {**row, "status": MISSING}
                        for name, row in rows.items()
                    ],
                    settings,
                )
            stop.raise_if_any(folder)
    return report


def _rows(
    rows: dict[str, dict[str, Any]],
    system: ImFace,
    folder: Path,
    how: ReconstructionOptions,
    records: Records,
    stop: StopSignals,
) -> Iterator[dict[str, Any]]:
    """A row for each scan that is not done yet, as soon as it is."""
    known = records.all()
    todo = {
        name: row
        for name, row in rows.items()
        if not (_is_of(known.get(name), row) and is_finished(known.get(name), folder))
    }
    if how.same_person and todo:
        todo = rows  # one code of the identity for all of them
    make: FaceMaker | None = None
    read: list[tuple[dict[str, Any], PreparedScan]] = []
    for row in console.track(list(todo.values()), "scans"):
        if stop.number is not None:
            return
        failed, scan = _attempted(row, len(rows), partial(_read, Path(row["file"]), how))
        if scan is None:
            yield failed
            continue
        make = make or FaceMaker(system, how.topology, how.resolution)
        read.append((row, scan))
        if not how.same_person:
            yield from _fit_person(make, read, len(rows), folder, how)
            read.clear()
    if make is not None and read and stop.number is None:
        yield from _fit_person(make, read, len(rows), folder, how)


def _read(path: Path, how: ReconstructionOptions) -> PreparedScan:
    scan = read_any(path, how.inputs, how.fitting.seed)
    if how.frame == "scan" and scan.placement is None:
        raise ConfigError(
            "of this scan its own place is not known",
            where="frame",
            found=path,
            remedy="Give the mesh that it was prepared from, or leave --frame out.",
        )
    return scan


def _attempted(
    row: dict[str, Any], count: int, make: Callable[[], T]
) -> tuple[dict[str, Any], T | None]:
    """The row and what is made, or the row with the reason and None; the only scan's error is
    raised.
    """
    try:
        return row, make()
    except OutputError:
        raise  # no other scan will fare better
    except FacemorphError as error:
        if count == 1:
            raise
        return {**row, "status": FAILED, "error": type(error).__name__, "reason": str(error)}, None


def _fit_person(
    make: FaceMaker,
    scans: Sequence[tuple[dict[str, Any], PreparedScan]],
    count: int,
    folder: Path,
    how: ReconstructionOptions,
) -> Iterator[dict[str, Any]]:
    """Fit the scans of one person, write and measure each."""
    failed, codes = _attempted(
        {}, count, partial(fit_codes, make.system, [scan for _, scan in scans], how.fitting)
    )
    if codes is None:
        yield from ({**row, **failed} for row, _ in scans)
        return
    for place, (row, scan) in enumerate(scans):
        failed, made = _attempted(
            row, count, partial(write_face, make, codes, place, scan, row["name"], folder, how)
        )
        yield failed if made is None else {**row, **made}


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its stem, with its folder's name where stems are the same."""
    if not paths:
        raise ConfigError("there is nothing to reconstruct", where="files")
    stems = Counter(path.stem for path in paths)
    names = [
        path.stem if stems[path.stem] == 1 else f"{path.resolve().parent.name}_{path.stem}"
        for path in paths
    ]
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise ConfigError(
            "two scans have one name", where="files", found=double[0], remedy="Rename one."
        )
    return names


def _check_inputs_stay(
    paths: Sequence[Path], names: Sequence[str], folder: Path, how: ReconstructionOptions
) -> None:
    """See that no scan lies where a result will be written.

    Raises:
        OutputError: One does.
    """
    written = {
        f"{name}{end}"
        for name in names
        for end in (
            f".{how.kind}",
            "_scan.ply",
            "_error.ply",
            f"_template.{how.kind}",
            "_codes.npz",
            "_correspondence.npz",
            VIEWS,
        )
    }
    for path in paths:
        if path.resolve().parent == folder.resolve() and path.name in {*written, PICTURE}:
            raise OutputError(
                "the output would overwrite this scan",
                where=path,
                remedy="Choose another folder with -o.",
            )


def _modified(path: Path) -> float | None:
    """When the file was written; None: it is not there."""
    return path.stat().st_mtime if path.is_file() else None


def _is_of(record: dict[str, Any] | None, row: dict[str, Any]) -> bool:
    """Whether a record is of this very file and of these settings."""
    return record is not None and all(
        record.get(key) == row[key] for key in ("file", "modified", "settings")
    )


def _settings(
    how: ReconstructionOptions, checkpoint: str | Path, system: ImFace, paths: Sequence[Path]
) -> dict[str, Any]:
    """What faces follow from, besides the scan; ``@last`` may be another model by the next call."""
    weights = hashlib.sha256()
    for value in system.state_dict().values():
        weights.update(value.detach().cpu().contiguous().numpy().tobytes())
    settings: dict[str, Any] = json.loads(json.dumps(asdict(how), default=str))
    return {
        **settings,
        "checkpoint": str(checkpoint),
        "weights": weights.hexdigest()[:16],
        **({"scans": sorted(str(path.resolve()) for path in paths)} if how.same_person else {}),
    }


def _report(
    folder: Path, rows: Sequence[dict[str, Any]], settings: dict[str, Any]
) -> dict[str, Any]:
    """Write the report and the sheet of pictures of all scans that are known."""
    done = [row for row in rows if row["status"] == DONE and is_finished(row, folder)]
    if done:
        save_image(
            contact_sheet([views_of(row, folder) for row in done[:SHOWN]], SIDE),
            folder / PICTURE,
            synthetic=True,
        )
    statuses = Counter(row["status"] for row in rows)
    report = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "checkpoint": settings["checkpoint"],
        "versions": versions(),
        "settings": settings,
        "counts": {
            status: statuses[status]
            for status in (DONE, FAILED, MISSING)
            if status != MISSING or statuses[status]
        },
        "mean": _means(rows),
        "rows": list(rows),
    }
    write_whole(folder / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The mean of every figure over the scans that are done."""
    done = [row for row in rows if row["status"] == DONE]
    kinds = [f"{kind}{end}" for kind in COMPARED for end in ("", "_aligned")]
    return {
        kind: {
            name: round(float(np.mean([row[kind][name] for row in done])), 4)
            for name in done[0][kind]
        }
        for kind in kinds
        if done and kind in done[0]
    }
