"""What ``facemorph reconstruct`` does with many scans.

``scan_inputs`` reads scans, ``code_fitting`` fits codes, ``reconstructed_faces`` measures and
writes a face; here is what goes on over all of them: records, interruption, the report.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from facemorph.apps.implicit.face_meshes import FaceMaker, load_imface
from facemorph.apps.implicit.imface_pictures import SIDE
from facemorph.apps.implicit.reconstructed_faces import (
    COMPARED,
    VIEWS,
    FaceRow,
    ReconstructionOptions,
    views_of,
    write_face,
)
from facemorph.apps.implicit.scan_inputs import read_any
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.errors import ConfigError, OutputError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.jobs.batch import Batch, key_of, run
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pool import count_workers
from facemorph.jobs.records import (
    DONE,
    FAILED,
    MISSING,
    REPORT,
    Settings,
    counts_of,
    header,
    write_json,
)
from facemorph.ops.threads import one_thread
from facemorph.systems.imface.code_fitting import FittedCodes, fit_codes
from facemorph.systems.imface.system import ImFace

PICTURE = "faces.png"
SHOWN = 12  # scans on the sheet of pictures


class ReconstructionReport(TypedDict):
    """The content of ``report.json``.

    Attributes:
        date: When it was written.
        checkpoint: The model.
        versions: Of the packages.
        settings: What faces follow from, besides the scans.
        counts: How many scans are done, failed and, where there are some, missing.
        mean: The mean of every figure over the scans that are done.
        rows: One for each scan.
    """

    date: str
    checkpoint: str
    versions: dict[str, str]
    settings: Settings
    counts: dict[str, int]
    mean: dict[str, dict[str, float]]
    rows: list[FaceRow]


def reconstruct_all(
    files: Sequence[str | Path],
    folder: Path,
    checkpoint: str | Path,
    how: ReconstructionOptions,
    workers: int | None,
) -> ReconstructionReport:
    """Fit the model to scans; see ``reconstruct``."""
    paths = [Path(file) for file in files]
    tasks = {name: Scan(name, path) for name, path in zip(_names(paths), paths, strict=True)}
    processes = count_workers(workers)
    check_writable(folder / REPORT)
    _check_inputs_stay(paths, list(tasks), folder, how)
    with one_thread():
        system = load_imface(checkpoint)
        settings = _settings(how, checkpoint, system, paths)
        key = key_of(settings)
        return run(
            Batch(
                folder,
                "scans",
                tasks,
                partial(_start, checkpoint, how, folder),
                Reconstructor.write,
                partial(_report, folder, tasks, settings),
                given=lambda scan: {
                    "file": str(scan.path.resolve()),
                    "modified": _modified(scan.path),
                    "settings": key,
                },
                same=("file", "modified", "settings"),
                here=Reconstructor(system, how, folder),
                together=Reconstructor.fit,
                joined=tasks if how.same_person else (),
                workers=processes,
                raise_error=len(tasks) == 1,
            )
        )


@dataclass(frozen=True)
class Scan:
    """A scan to reconstruct: the name of its results, and its file."""

    name: str
    path: Path


class Reconstructor:
    """Fits, writes and measures the faces of scans.

    Args:
        system: The trained model.
        options: How.
        folder: Where the faces go.
    """

    def __init__(self, system: ImFace, options: ReconstructionOptions, folder: Path) -> None:
        self.system, self.options, self.folder = system, options, folder
        self._read: dict[str, tuple[PreparedScan, FittedCodes, int] | Exception] = {}

    @cached_property
    def _make(self) -> FaceMaker:
        return FaceMaker(self.system, self.options.topology, self.options.resolution)

    def fit(self, scans: Sequence[Scan]) -> None:
        """Read scans and fit the codes of those that can be read: all are of one person.

        Raises:
            FacemorphError: The codes cannot be fitted.
        """
        self._read.clear()
        read: dict[str, PreparedScan] = {}
        for scan in scans:
            try:
                read[scan.name] = _read(scan.path, self.options)
            except OutputError:
                raise
            except Exception as error:  # of this scan alone, whatever it is: ``write`` raises it
                self._read[scan.name] = error
        if read:
            codes = fit_codes(self._make.system, list(read.values()), self.options.fitting)
            for place, (name, prepared) in enumerate(read.items()):
                self._read[name] = prepared, codes, place

    def write(self, scan: Scan) -> FaceRow:
        """Write and measure a face that is fitted.

        Raises:
            FacemorphError: The scan could not be read, or has no face.
        """
        found = self._read.pop(scan.name)
        if isinstance(found, Exception):
            raise found
        sheet, codes, place = found
        return write_face(self._make, codes, place, sheet, scan.name, self.folder, self.options)


def _start(
    checkpoint: str | Path, options: ReconstructionOptions, folder: Path, _: int
) -> Reconstructor:
    return Reconstructor(load_imface(checkpoint), options, folder)


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
    return path.stat().st_mtime if os.path.isfile(path) else None


def _settings(
    how: ReconstructionOptions, checkpoint: str | Path, system: ImFace, paths: Sequence[Path]
) -> Settings:
    """What faces follow from, besides the scan; ``@last`` may be another model by the next call."""
    weights = hashlib.sha256()
    for value in system.state_dict().values():
        weights.update(value.detach().cpu().contiguous().numpy().tobytes())
    settings = json.loads(json.dumps(asdict(how), default=str))
    return {
        **settings,
        "checkpoint": str(checkpoint),
        "weights": weights.hexdigest()[:16],
        **({"scans": sorted(str(path.resolve()) for path in paths)} if how.same_person else {}),
    }


def _report(
    folder: Path, tasks: Mapping[str, Scan], settings: Settings, known: Mapping[str, FaceRow]
) -> ReconstructionReport:
    """Write the report and the sheet of pictures of all scans that are known."""
    rows = [
        known.get(name)
        or FaceRow(name=name, file=str(scan.path.resolve()), modified=_modified(scan.path))
        | FaceRow(status=MISSING)
        for name, scan in tasks.items()
    ]
    done = [row for row in rows if row["status"] == DONE]
    if done:
        save_image(
            contact_sheet([views_of(row, folder) for row in done[:SHOWN]], SIDE),
            folder / PICTURE,
            synthetic=True,
        )
    counts = counts_of(rows, (DONE, FAILED, MISSING))
    head = header(settings)
    report: ReconstructionReport = {
        "date": head["date"],
        "checkpoint": str(settings["checkpoint"]),
        "versions": head["versions"],
        "settings": settings,
        "counts": {name: count for name, count in counts.items() if count or name != MISSING},
        "mean": _means(done),
        "rows": rows,
    }
    write_json(folder / REPORT, report)
    return report


def _means(done: Sequence[FaceRow]) -> dict[str, dict[str, float]]:
    """The mean of every figure over the scans that are done."""
    figures: list[Mapping[str, Any]] = [dict(row) for row in done]
    kinds = [f"{kind}{end}" for kind in COMPARED for end in ("", "_aligned")]
    return {
        kind: {
            name: round(float(np.mean([row[kind][name] for row in figures])), 4)
            for name in figures[0][kind]
        }
        for kind in kinds
        if figures and kind in figures[0]
    }
