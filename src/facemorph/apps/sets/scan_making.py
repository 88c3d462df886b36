"""What ``facemorph data scans`` makes: labelled synthetic scans, and their index and report."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from facemorph.errors import ConfigError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.meshes.mesh_files import Mesh, obj_files, ply_bytes, read_mesh
from facemorph.geometry.models.attribution import mesh_of, notice_of
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.synthetic.random_scans import (
    SCAN_EXPRESSIONS,
    Scan,
    ScanOptions,
    random_scan,
)
from facemorph.jobs.batch import Batch, run
from facemorph.jobs.outputs import check_writable, make_folders
from facemorph.jobs.pool import count_workers
from facemorph.jobs.records import (
    DONE,
    FAILED,
    MISSING,
    REPORT,
    Header,
    Row,
    header,
    write_json,
)
from facemorph.ops.rotations import rotation_from_euler
from facemorph.ops.threads import one_thread
from facemorph.storage.files import write_whole

INDEX, TEMPLATE, OVERVIEW = "index.json", "template.ply", "overview.jpg"
PERSON, SCAN, SPLIT = range(10, 13)  # streams of random numbers
SHOWN, CELL = 4, 192  # people on the overview, and its cells in pixels
NOISE, HOLES = 0.15, 4  # millimetres; at most so many holes


@dataclass(frozen=True)
class ScansOptions:
    """What a set of scans has in common.

    See the arguments of ``make_scans``.
    """

    seed: int = 0
    model: str = "makehuman"
    noise: bool = False
    holes: bool = False
    obj: bool = False
    held_identities: float = 0.125
    held_expressions: float = 0.125

    def __post_init__(self) -> None:
        """See that each is possible."""
        if not 0 <= self.seed < 2**63:
            raise ConfigError("no such seed", where="seed", expected="0 or more", found=self.seed)
        for name in ("held_identities", "held_expressions"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    "this is no share",
                    where=name,
                    expected="0 to below 1",
                    found=getattr(self, name),
                )


class SyntheticScans:
    """Scans by the numbers of identity and expression; all of one follows from the seed and these
    numbers.
    """

    def __init__(self, options: ScansOptions) -> None:
        self.options = options
        self.model: MorphableModel = load_model(options.model)
        if self.model.expression_range != (0.0, 1.0):
            raise ConfigError(
                "scans need a model with named expressions",
                where="model",
                expected="makehuman or ict",
                found=self.model.name,
            )
        self._how = ScanOptions(
            noise=NOISE if options.noise else 0.0, holes=HOLES if options.holes else 0
        )

    def scan(self, identity: int, expression: int) -> Scan:
        """One scan."""
        seed = self.options.seed
        return random_scan(
            self.model,
            SCAN_EXPRESSIONS[expression],
            np.random.default_rng([seed, PERSON, identity]),
            np.random.default_rng([seed, SCAN, identity, expression]),
            self._how,
        )

    def write(self, identity: int, expression: int, folder: Path) -> list[str]:
        """Write a scan's mesh, landmarks and arrays; returns the files, relative to the folder."""
        scan = self.scan(identity, expression)
        stem = scan_name(identity, expression)
        used, faces = scan.faces.unique(return_inverse=True)
        mesh = Mesh(scan.vertices[used], faces, notice=notice_of(self.model.name))
        contents = {f"{stem}.ply": ply_bytes(mesh), f"{stem}.bnd": bnd_text(scan).encode()}
        if self.options.obj:
            contents |= {f"{stem}.obj": obj_files(mesh, stem)[f"{stem}.obj"]}
        arrays = {
            "vertices": scan.clean,
            "used": used.int(),
            "landmarks": scan.landmarks,
            "identity": scan.identity,
            "expression": scan.expression,
            "jaw": scan.jaw,
            "joints": scan.joints,
        }
        stream = io.BytesIO()
        np.savez(stream, **{name: value.numpy() for name, value in arrays.items()})
        contents[f"{stem}.npz"] = stream.getvalue()
        for name, content in contents.items():
            write_whole(folder / name, content)
        return list(contents)


def scan_name(identity: int, expression: int) -> str:
    """``IDENTITY/EXPRESSION`` as FaceScape counts, from 1."""
    return f"{identity + 1}/{expression + 1}"


def bnd_text(scan: Scan) -> str:
    """The 68 landmarks as 68 lines ``x y z``, millimetres."""
    return "".join(f"{x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in scan.landmarks.tolist())


class ScanRow(Row, total=False):
    """What became of one scan; identity and expression are numbers from 0."""

    identity: int
    expression: int


class ScansReport(Header):
    """The content of ``report.json``.

    Attributes:
        counts: How many scans are done, failed, missing; of those done, in each split.
        test_identities: Numbers of the people whom only the test split has.
        test_expressions: Names of the expressions that only the test split has.
        failed: Rows of those that failed.
    """

    counts: dict[str, int]
    test_identities: list[int]
    test_expressions: list[str]
    failed: list[ScanRow]


def make_all(
    output: Path, identities: int, expressions: int, options: ScansOptions, workers: int | None
) -> ScansReport:
    """Make a set of labelled scans; see ``make_scans``.

    Raises:
        ConfigError: There are not so many expressions.
    """
    if not 1 <= expressions <= len(SCAN_EXPRESSIONS):
        raise ConfigError(
            "there are not so many expressions",
            where="expressions",
            expected=f"1 to {len(SCAN_EXPRESSIONS)}",
            found=expressions,
        )
    processes = count_workers(workers)
    scans = SyntheticScans(options)
    check_writable(output / REPORT)
    tasks = {
        scan_name(identity, expression): (identity, expression)
        for identity in range(identities)
        for expression in range(expressions)
    }
    with one_thread(), torch.no_grad():
        return run(
            Batch(
                output,
                "scans",
                tasks,
                partial(_start, options, output, identities),
                _make,
                partial(_finish, output, scans, tasks),
                settings=dict(vars(options)),
                given=lambda task: {"identity": task[0], "expression": task[1]},
                workers=processes,
            )
        )


def _start(
    options: ScansOptions, output: Path, identities: int, _: int
) -> tuple[SyntheticScans, Path]:
    make_folders(output, (str(identity + 1) for identity in range(identities)))
    return SyntheticScans(options), output


@torch.no_grad()
def _make(worker: tuple[SyntheticScans, Path], task: tuple[int, int]) -> ScanRow:
    scans, output = worker
    return {"files": scans.write(*task, output)}


def held_out(count: int, share: float, seed: int) -> set[int]:
    """Which of ``count`` identities only the test split has; the same for each whatever
    the count.
    """
    if share <= 0:
        return set()
    block = max(2, round(1 / share))  # one of each block, so that adding people moves nobody
    chosen = {
        start + int(np.random.default_rng([seed, SPLIT, start]).integers(block))
        for start in range(0, count, block)
    }
    return {number for number in chosen if number < count}


def held_expressions(share: float) -> set[int]:
    """Which expressions only the test split has: every so many, never the neutral one."""
    if share <= 0:
        return set()
    block = max(2, round(1 / share))
    return set(range(block - 1, len(SCAN_EXPRESSIONS), block))


def _finish(
    output: Path,
    scans: SyntheticScans,
    tasks: Mapping[str, tuple[int, int]],
    known: Mapping[str, ScanRow],
) -> ScansReport:
    """Write template, index and report of all scans that are there."""
    rows = sorted(
        (row for row in known.values() if row["status"] == DONE),
        key=lambda row: (row["identity"], row["expression"]),
    )
    failed = [row for row in known.values() if row["status"] == FAILED]
    options = scans.options
    people = 1 + max((row["identity"] for row in rows), default=0)
    test_people = held_out(people, options.held_identities, options.seed)
    test_expressions = held_expressions(options.held_expressions)
    write_whole(output / TEMPLATE, ply_bytes(mesh_of(scans.model, scans.model.mean)))
    listed = [
        {
            "mesh": row["files"][0],
            "landmarks": row["files"][1],
            "arrays": f"{row['name']}.npz",
            "identity": row["identity"],
            "expression": row["expression"],
            "split": "test"
            if row["identity"] in test_people or row["expression"] in test_expressions
            else "training",
        }
        for row in rows
    ]
    index = {
        "unit": "millimetres",
        "model": scans.model.name,
        "expressions": list(SCAN_EXPRESSIONS),
        "template": TEMPLATE,
        "template_landmarks": scans.model.landmarks(scans.model.mean[None])[0].tolist(),
        "scans": listed,
    }
    write_json(output / INDEX, index, indent=None)
    if rows:
        _write_overview(output, scans.model, rows)
    splits = Counter(one["split"] for one in listed)
    report: ScansReport = {
        **header(dict(vars(options))),
        "counts": {
            DONE: len(rows),
            FAILED: len(failed),
            MISSING: len(set(tasks) - set(known)),
            "training": splits["training"],
            "test": splits["test"],
        },
        "test_identities": sorted(test_people),
        "test_expressions": sorted(SCAN_EXPRESSIONS[number] for number in test_expressions),
        "failed": failed,
    }
    write_json(output / REPORT, report)
    return report


def _write_overview(folder: Path, model: MorphableModel, rows: Sequence[ScanRow]) -> None:
    """A sheet of the first people's scans, every second person half turned; landmarks as dots."""
    people = sorted({row["identity"] for row in rows})[:SHOWN]
    columns = 1 + max(row["expression"] for row in rows)
    sheet = torch.ones(3, len(people) * CELL, columns * CELL)
    span = float((model.mean.amax(0) - model.mean.amin(0))[:2].amax())
    for row in rows:
        if row["identity"] not in people:
            continue
        place = people.index(row["identity"])
        mesh = read_mesh(folder / row["files"][0])
        turn = rotation_from_euler(
            torch.tensor([0.5 * (place % 2)]), torch.zeros(1), torch.zeros(1)
        )
        camera = Camera(
            turn, torch.tensor([[CELL / 2, CELL * 0.45]]), torch.tensor([CELL / span]).log()
        )
        view = MeshView.of(mesh.vertices[None], mesh.faces, camera, (CELL, CELL))
        normals = view.normals()[0]
        grey = torch.where(
            view.mask[0], (0.7 * normals[2:] + 0.3 * normals[1:2]).clamp(0, 1), torch.ones(1)
        )
        cell = grey.expand(3, -1, -1).clone()
        landmarks = torch.tensor(np.loadtxt(folder / row["files"][1]), dtype=torch.float32)
        x, y = camera.project(landmarks[None]).pixels[0].long().clamp(0, CELL - 1).unbind(-1)
        cell[:, y, x] = torch.tensor([0.9, 0.1, 0.1])[:, None]
        top, left = place * CELL, row["expression"] * CELL
        sheet[:, top : top + CELL, left : left + CELL] = cell
    save_image(sheet, folder / OVERVIEW, synthetic=True, quality=88)
