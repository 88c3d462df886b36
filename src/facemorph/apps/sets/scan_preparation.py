"""``facemorph data prepare-scans``: a folder of meshes to a set that ImFace trains on."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facemorph import console
from facemorph.apps.implicit.scan_inputs import landmarks_beside, read_with_landmarks
from facemorph.errors import ConfigError, DataError, FacemorphError, OutputError
from facemorph.geometry.meshes.mesh_files import READ
from facemorph.geometry.scans.scan_files import INDEX, ListedScan, index_bytes, scan_bytes
from facemorph.geometry.scans.scan_placement import UNITS
from facemorph.geometry.scans.scan_sheets import FREE, SURFACE, prepare_scan
from facemorph.jobs.outputs import check_writable
from facemorph.jobs.pool import StopSignals, count_workers, end_with_parent, results_from_pool
from facemorph.jobs.records import DONE, FAILED, MISSING, Records, is_finished, keep_settings
from facemorph.ops.seeds import mix_seed
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_whole
from facemorph.storage.versions import versions

REPORT = "report.json"


@dataclass(frozen=True)
class PreparationOptions:
    """How scans are prepared.

    Args:
        unit: ``mm``, ``cm``, ``m``, or ``guess`` by the size of the face.
        surface: Points on each sheet.
        free: Points of the ball around it.
        seed: Of the points.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    unit: str = "guess"
    surface: int = SURFACE
    free: int = FREE
    seed: int = 0

    def __post_init__(self) -> None:
        """See that each is possible."""
        if self.unit not in ("guess", *UNITS):
            raise ConfigError(
                "no such unit",
                where="unit",
                expected=" | ".join(("guess", *UNITS)),
                found=self.unit,
            )
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
            content = json.loads(path.read_text(encoding="utf-8"))
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


def attempt(task: MeshToPrepare, options: PreparationOptions, output: Path) -> dict[str, Any]:
    """Prepare one scan; its record, with the reason where it failed.

    Raises:
        OutputError: It cannot be written, which no other scan will fare better with.
    """
    record: dict[str, Any] = {"name": task.name, "mesh": str(task.mesh)}
    begun = time.perf_counter()
    try:
        mesh, landmarks = read_with_landmarks(task.mesh, task.landmarks)
        if not bool(torch.isfinite(landmarks).all()):
            raise DataError(
                "a scan for training needs all its landmarks",
                where=task.landmarks or task.mesh,
                found=f"{int((~torch.isfinite(landmarks)).any(1).sum())} of 68 are missing",
                remedy="Give a file with 68 lines x y z beside the mesh.",
            )
        unit = None if options.unit == "guess" else UNITS[options.unit]
        generator = torch.Generator().manual_seed(
            mix_seed(options.seed, zlib.crc32(task.name.encode()))
        )
        scan = prepare_scan(
            mesh,
            landmarks,
            generator,
            unit=unit,
            num_surface=options.surface,
            num_free=options.free,
        )
        write_whole(output / f"{task.name}.npz", scan_bytes(scan))
    except OutputError:
        raise
    except FacemorphError as error:
        return {**record, "status": FAILED, "error": type(error).__name__, "reason": str(error)}
    return {
        **record,
        "status": DONE,
        "files": [f"{task.name}.npz"],
        "seconds": round(time.perf_counter() - begun, 3),
    }


# In each process of a pool, set by its initializer.
_worker: list[tuple[PreparationOptions, Path]] = []


def _start(options: PreparationOptions, output: Path) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=end_with_parent, daemon=True).start()
    _worker.append((options, output))


def _work(task: MeshToPrepare) -> dict[str, Any]:
    return attempt(task, *_worker[0])


def _results(
    todo: Sequence[MeshToPrepare], options: PreparationOptions, output: Path, workers: int
) -> Iterator[dict[str, Any]]:
    with StopSignals() as stop:
        if workers == 1 or len(todo) < 2:
            for task in todo:
                yield attempt(task, options, output)
                if stop.number is not None:
                    break
        else:
            yield from results_from_pool(
                todo, _work, min(workers, len(todo)), stop, output, _start, (options, output)
            )
    stop.raise_if_any(output)


def prepare_scans(
    folder: str | Path, output: str | Path, *, workers: int | None = None, **options: Any
) -> dict[str, Any]:
    """Prepare a folder of meshes for ImFace.

    The same call continues a run that was interrupted, and tries again what failed.

    Args:
        folder: What ``find_meshes`` takes.
        output: Folder of the set: ``IDENTITY/EXPRESSION.npz``, ``index.json``, ``report.json``.
        workers: Processes; one for each core when None.
        options: See ``PreparationOptions``.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option or a folder is at fault.
    """
    try:
        how = PreparationOptions(**options)
    except TypeError as error:
        raise ConfigError("no such option", where="options", found=str(error)) from error
    processes = count_workers(workers)
    folder, output = Path(folder), Path(output)
    if folder.resolve() == output.resolve():
        raise ConfigError("the set needs a folder of its own", where="output", found=output)
    tasks, neutral = find_meshes(folder)
    check_writable(output / REPORT)
    settings = {**vars(how), "folder": str(folder.resolve())}
    keep_settings(output, settings)
    records = Records(output)
    with records.only_writer(), one_thread(), torch.no_grad():
        known = records.all()
        todo = [task for task in tasks if not is_finished(known.get(task.name), output)]
        _make_folders(output, todo)
        try:
            for record in console.track(
                _results(todo, how, output, processes), "scans", total=len(todo)
            ):
                records.append(record)
        finally:
            report = _finish(output, tasks, neutral, records.all(), settings)
    return report


def _make_folders(output: Path, todo: Sequence[MeshToPrepare]) -> None:
    try:
        for identity in {task.identity for task in todo}:
            (output / identity).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "the set's folders cannot be made", where=output, found=error.strerror
        ) from error


def _finish(
    output: Path,
    tasks: Sequence[MeshToPrepare],
    neutral: str,
    known: dict[str, dict[str, Any]],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Write index and report of all scans that are there."""
    done = [task for task in tasks if is_finished(known.get(task.name), output)]
    listed = [
        ListedScan(output / f"{task.name}.npz", task.identity, task.expression, task.split)
        for task in done
    ]
    write_whole(output / INDEX, index_bytes(output, listed, neutral))
    rows = [known.get(task.name, {"name": task.name, "status": MISSING}) for task in tasks]
    failed = [row for row in rows if row.get("status") == FAILED]
    splits = [task.split for task in done]
    report = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "settings": settings,
        "versions": versions(),
        "counts": {
            DONE: len(done),
            FAILED: len(failed),
            MISSING: len(tasks) - len(done) - len(failed),
            "training": splits.count("training"),
            "test": splits.count("test"),
        },
        "seconds": round(sum(float(row.get("seconds", 0)) for row in rows), 1),
        "failed": failed,
    }
    write_whole(output / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report
