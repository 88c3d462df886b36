"""What ``facemorph data prepare-scans`` does with a folder of meshes."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from facemorph.apps.implicit.scan_inputs import landmarks_beside, read_with_landmarks
from facemorph.errors import ConfigError, DataError
from facemorph.geometry.meshes.mesh_files import READ
from facemorph.geometry.scans.scan_files import INDEX, ListedScan, index_bytes, scan_bytes
from facemorph.geometry.scans.scan_placement import UNITS
from facemorph.geometry.scans.scan_sheets import prepare_scan
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.outputs import check_writable, make_folders
from facemorph.jobs.pool import count_workers
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
from facemorph.ops.seeds import mix_seed
from facemorph.ops.threads import one_thread
from facemorph.storage.files import read_json, write_whole


class PreparedRow(Row, total=False):
    """What became of one scan.

    Attributes:
        mesh: Its file.
        stamp: Of mesh and landmarks.
    """

    mesh: str
    stamp: str


class PreparationReport(Header):
    """The content of ``report.json``.

    Attributes:
        counts: How many scans are done, failed, missing; of those done, in each split.
        seconds: Spent on them.
        failed: Rows of those that failed.
    """

    counts: dict[str, int]
    seconds: float
    failed: list[PreparedRow]


@dataclass(frozen=True)
class PreparationOptions:
    """How scans are prepared.

    See the arguments of ``prepare_scans``.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    unit: str
    surface: int
    free: int
    seed: int

    def __post_init__(self) -> None:
        """See that each is possible."""
        for name in ("surface", "free"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    "a scan needs points",
                    where=name,
                    expected="1 or more",
                    found=getattr(self, name),
                )


@dataclass(frozen=True)
class MeshToPrepare:
    """A mesh, its landmarks' file where there is one, and what it shows."""

    mesh: Path
    landmarks: Path | None
    identity: str
    expression: str
    split: str = "training"

    @property
    def name(self) -> str:
        """Of its record and file."""
        return f"{self.identity}/{self.expression}"


def find_meshes(folder: Path) -> tuple[list[MeshToPrepare], str]:
    """The meshes of a folder, and the name of the expression without expression.

    By the index of ``facemorph data scans`` where there is one; else ``IDENTITY/EXPRESSION.obj``
    and so on, where the first expression in the order of names (numbers by value) that most people
    have is taken for the neutral one.

    Raises:
        DataError: There are none, or the index cannot be read.
    """
    path = folder / INDEX
    if path.is_file():
        try:
            content = read_json(path)
            names = content["expressions"]
            found = [
                MeshToPrepare(
                    folder / row["mesh"],
                    folder / row["landmarks"],
                    str(int(row["identity"]) + 1),
                    str(names[row["expression"]]),
                    str(row["split"]),
                )
                for row in content["scans"]
            ]
            neutral = str(names[0])
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(
                "this index of scans cannot be read",
                where=path,
                expected="what `facemorph data scans` writes",
                found=f"{type(error).__name__}: {error}"[:120],
            ) from error
    else:
        found = [
            MeshToPrepare(mesh, landmarks_beside(mesh), mesh.parent.name, mesh.stem)
            for mesh in _one_of_each(folder)
        ]
        neutral = min((one.expression for one in found), key=_order, default="")
    if not found:
        raise DataError(
            "this folder holds no scans",
            where=folder,
            expected=f"{INDEX} of `facemorph data scans`, or IDENTITY/EXPRESSION with "
            f"{', '.join(READ)}",
        )
    return found, neutral


def _order(name: str) -> tuple[str, str]:
    return name.zfill(9), name


def _one_of_each(folder: Path) -> list[Path]:
    """Meshes ``IDENTITY/EXPRESSION.*``; of those with one name, the first kind of ``READ``."""
    files = [path for kind in READ for path in folder.glob(f"*/*{kind}")]
    chosen: dict[tuple[str, str], Path] = {}
    for path in files:
        chosen.setdefault((path.parent.name, path.stem), path)
    return [chosen[key] for key in sorted(chosen, key=lambda key: (_order(key[0]), _order(key[1])))]


def prepare_one(worker: tuple[PreparationOptions, Path], task: MeshToPrepare) -> PreparedRow:
    """Prepare one scan with some options into a folder, and write it.

    Raises:
        FacemorphError: The scan cannot be used.
        OutputError: It cannot be written.
    """
    options, output = worker
    with torch.no_grad():
        mesh, landmarks = read_with_landmarks(task.mesh, task.landmarks)
        if not bool(torch.isfinite(landmarks).all()):
            raise DataError(
                "a scan for training needs all its landmarks",
                where=task.landmarks or task.mesh,
                found=f"{int((~torch.isfinite(landmarks)).any(1).sum())} of 68 are missing",
                remedy="Give a file with 68 lines x y z beside the mesh.",
            )
        seed = mix_seed(options.seed, zlib.crc32(task.name.encode()))
        scan = prepare_scan(
            mesh,
            landmarks,
            torch.Generator().manual_seed(seed),
            unit=None if options.unit == "guess" else UNITS[options.unit],
            num_surface=options.surface,
            num_free=options.free,
        )
    write_whole(output / f"{task.name}.npz", scan_bytes(scan))
    return {"files": [f"{task.name}.npz"]}


def _start(
    options: PreparationOptions, output: Path, folders: Sequence[str], _: int
) -> tuple[PreparationOptions, Path]:
    make_folders(output, folders)
    return options, output


def prepare_all(
    folder: Path, output: Path, how: PreparationOptions, workers: int | None
) -> PreparationReport:
    """Prepare a folder of meshes for ImFace; see ``prepare_scans``."""
    processes = count_workers(workers)
    tasks, neutral = find_meshes(folder)
    check_writable(output / REPORT)
    settings = {**vars(how), "folder": str(folder.resolve())}
    with one_thread():
        return run(
            Batch(
                output,
                "scans",
                {task.name: task for task in tasks},
                partial(_start, how, output, [task.identity for task in tasks]),
                prepare_one,
                partial(_finish, output, tasks, neutral, settings),
                settings=settings,
                given=lambda task: {
                    "mesh": str(task.mesh),
                    "stamp": stamp_of(task.mesh, task.landmarks),
                },
                same=("stamp",),
                workers=processes,
            )
        )


def _finish(
    output: Path,
    tasks: Sequence[MeshToPrepare],
    neutral: str,
    settings: Settings,
    known: Mapping[str, PreparedRow],
) -> PreparationReport:
    """Write index and report of all scans that are there."""
    rows = [known.get(task.name, {"name": task.name, "status": MISSING}) for task in tasks]
    done = [task for task, row in zip(tasks, rows, strict=True) if row["status"] == DONE]
    listed = [
        ListedScan(output / f"{task.name}.npz", task.identity, task.expression, task.split)
        for task in done
    ]
    write_whole(output / INDEX, index_bytes(output, listed, neutral))
    splits = Counter(task.split for task in done)
    report: PreparationReport = {
        **header(settings),
        "counts": {
            **counts_of(rows, (DONE, FAILED, MISSING)),
            "training": splits["training"],
            "test": splits["test"],
        },
        "seconds": round(sum(row.get("seconds", 0.0) for row in rows), 1),
        "failed": [row for row in rows if row["status"] == FAILED],
    }
    write_json(output / REPORT, report)
    return report
