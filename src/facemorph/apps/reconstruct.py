"""``facemorph reconstruct``: scans to faces of ImFace, with how far they are from the scans."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph import console
from facemorph.apps.code_fitting import FittedCodes, FittingOptions, fit_codes
from facemorph.apps.dataset_records import DONE, FAILED
from facemorph.apps.face_meshes import KINDS, TOPOLOGIES, FaceCodes, FaceMaker
from facemorph.apps.fit_pictures import TABLE, shaded
from facemorph.apps.pictures import contact_sheet
from facemorph.apps.preflight import check_writable
from facemorph.apps.scan_preparation import LANDMARKS, landmarks_beside, read_with_landmarks
from facemorph.checkpoint import load_system
from facemorph.errors import CheckpointError, ConfigError, DataError, FacemorphError
from facemorph.faces.image_output import save_image, write_whole
from facemorph.geometry.camera import Camera
from facemorph.geometry.mesh_files import Mesh, ply_bytes
from facemorph.geometry.renders import MeshView
from facemorph.geometry.scan_files import read_scan
from facemorph.geometry.scan_sheets import (
    UNIT,
    UNITS,
    PreparedScan,
    in_millimetres,
    over_sheet,
    prepare_scan,
    signed_distance,
)
from facemorph.metrics.surface_agreement import SAMPLES, surface_agreement
from facemorph.ops.rotations import rotation_from_euler
from facemorph.ops.threads import one_thread
from facemorph.systems.imface import ImFace, ImFacePlusPlus
from facemorph.training.run_card import versions

REPORT, PICTURE = "report.json", "faces.png"
FULL_COLOUR = 2.0                                # millimetres from the scan that are wholly red or blue
SURFACE, FREE = 47_000, 3_000                    # points of a scan that fitting draws from
SIDE, SHOWN = 320, 12                            # of a picture in pixels; scans on the sheet


@dataclass(frozen=True)
class ReconstructionOptions:
    """How scans become faces.

    Args:
        landmarks: File of one scan's landmarks, or folder with STEM.bnd, .txt or .csv; beside the scans, or found by
            the detector, without.
        unit: ``mm``, ``cm``, ``m`` or ``guess``.
        same_person: All scans show one person: one code of the identity.
        resolution: Cells along each side of the ball: a power of 2, from 32 to 1024.
        dense: Evaluate all of them, for badly trained models.
        kind: ``ply``, ``obj`` or ``glb``.
        topology: ``free``: faces have triangles of their own. ``template``: each is written with the template's too.
        colours: Colour the vertices of faces by their place on the template.
        thresholds: Millimetres of the F-scores.
        samples: Points on each surface where the two are compared.
        fitting: How codes are fitted.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    landmarks: Path | None = None
    unit: str = "guess"
    same_person: bool = False
    resolution: int = 256
    dense: bool = False
    kind: str = "ply"
    topology: str = "free"
    colours: bool = False
    thresholds: tuple[float, ...] = (1.0,)
    samples: int = SAMPLES
    fitting: FittingOptions = field(default_factory=FittingOptions)

    def __post_init__(self) -> None:
        """See that each is possible."""
        for name, given, known in (("unit", self.unit, ("guess", *UNITS)), ("kind", self.kind, KINDS),
                                   ("topology", self.topology, TOPOLOGIES)):
            if given not in known:
                raise ConfigError("no such choice", where=name, expected=" | ".join(known), found=given)
        if self.samples < 1:
            raise ConfigError("surfaces are compared at points", where="samples", expected="1 or more",
                              found=self.samples)
        if not self.thresholds or any(not threshold > 0 for threshold in self.thresholds):
            raise ConfigError("unusable thresholds", where="thresholds", expected="above 0",
                              found=list(self.thresholds))


def load_imface(checkpoint: str | Path) -> ImFace:
    """A trained ImFace.

    Raises:
        CheckpointError: The checkpoint cannot be loaded, or is of another system.
    """
    system = load_system(checkpoint)
    if not isinstance(system, ImFace):
        raise CheckpointError("this checkpoint is of another system", where=checkpoint, expected="ImFace",
                              found=type(system).__name__,
                              remedy="Train one: facemorph train experiment=imface/small data.folder=SET.")
    return system


def reconstruct(files: Sequence[str | Path], checkpoint: str | Path, output: str | Path,
                options: ReconstructionOptions | None = None) -> dict[str, Any]:
    """Fit ImFace to scans.

    Args:
        files: Meshes ``.obj``, ``.ply``, ``.stl``, ``.glb``, or scans that are prepared, ``.npz``.
        checkpoint: What ``load_system`` takes.
        output: Folder of ``NAME.ply`` (or ``.obj``, ``.glb``) in millimetres, the tip of the nose at (0, 0, 40);
            ``NAME_correspondence.npz`` with the place on the template of each vertex; ``NAME_error.ply`` with the
            distance from the scan as colour, ``NAME_scan.ply``, ``NAME_codes.npz``, ``faces.png`` and ``report.json``.
        options: How.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault; or the only scan.
    """
    how, paths, folder = options or ReconstructionOptions(), [Path(file) for file in files], Path(output)
    names = _names(paths)
    check_writable(folder / REPORT)
    with one_thread():
        system = load_imface(checkpoint)
        make: FaceMaker | None = None
        rows: list[dict[str, Any]] = [{"name": name, "file": str(path)} for name, path in
                                      zip(names, paths, strict=True)]
        read: list[tuple[int, PreparedScan]] = []
        cells: list[list[tuple[str, Tensor]]] = []
        for index, path in enumerate(console.track(paths, "scans")):
            scan = _attempted(rows[index], len(paths), lambda path=path: read_any(path, how))
            if scan is not None:
                make = make or FaceMaker(system, how.topology, how.resolution)
                read.append((index, scan))
                if not how.same_person:
                    _fit_person(make, [(index, scan)], rows, folder, how, cells)
                    read.clear()
        if read and make is not None:
            _fit_person(make, read, rows, folder, how, cells)
    if cells:
        save_image(contact_sheet(cells, SIDE), folder / PICTURE, synthetic=True)
    statuses = Counter(row["status"] for row in rows)
    report = {"date": time.strftime("%Y-%m-%d %H:%M"), "checkpoint": str(checkpoint), "versions": versions(),
              "settings": {**vars(how), "landmarks": how.landmarks and str(how.landmarks),
                           "fitting": vars(how.fitting)},
              "counts": {DONE: statuses[DONE], FAILED: statuses[FAILED]}, "mean": _means(rows), "rows": rows}
    write_whole(folder / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _attempted(row: dict[str, Any], count: int, make: Any) -> Any:
    """What is made, or None with the reason in the row; the only scan's error is raised."""
    try:
        return make()
    except FacemorphError as error:
        if count == 1:
            raise
        row |= {"status": FAILED, "error": type(error).__name__, "reason": str(error)}
        return None


def _names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its stem, with its folder's name where stems are the same."""
    if not paths:
        raise ConfigError("there is nothing to reconstruct", where="files")
    stems = Counter(path.stem for path in paths)
    names = [path.stem if stems[path.stem] == 1 else f"{path.resolve().parent.name}_{path.stem}" for path in paths]
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        raise ConfigError("two scans have one name", where="files", found=double[0], remedy="Rename one.")
    return names


def read_any(path: Path, options: ReconstructionOptions) -> PreparedScan:
    """A prepared scan, or a mesh made ready.

    Raises:
        DataError: A file cannot be read.
        GeometryError: The scan or its landmarks are at fault.
        NoFaceFound: No landmarks are given and no picture of it shows a face.
        MissingExtra: The extra ``scans`` is not installed.
    """
    if path.suffix.lower() == ".npz":
        return read_scan(path)
    marks = options.landmarks
    if marks is None:
        marks = landmarks_beside(path)
    elif marks.is_dir():
        marks = next((file for kind in LANDMARKS if (file := marks / f"{path.stem}{kind}").is_file()), None)
        if marks is None:
            raise DataError("this folder has no landmarks of the scan", where=options.landmarks,
                            expected=" or ".join(f"{path.stem}{kind}" for kind in LANDMARKS))
    mesh, landmarks = read_with_landmarks(path, marks)
    unit = None if options.unit == "guess" else UNITS[options.unit]
    return prepare_scan(mesh, landmarks, torch.Generator().manual_seed(options.fitting.seed), unit=unit,
                        num_surface=SURFACE, num_free=FREE)




def _fit_person(make: FaceMaker, scans: list[tuple[int, PreparedScan]], rows: list[dict[str, Any]], folder: Path,
                options: ReconstructionOptions, cells: list[list[tuple[str, Tensor]]]) -> None:
    """Fit the scans of one person, write and measure each."""
    codes = _attempted(rows[scans[0][0]], len(rows),
                       lambda: fit_codes(make.system, [scan for _, scan in scans], options.fitting))
    if codes is None:
        for index, _ in scans[1:]:
            rows[index] |= {key: rows[scans[0][0]][key] for key in ("status", "error", "reason")}
        return
    for place, (index, scan) in enumerate(scans):
        row = rows[index]
        made = _attempted(row, len(rows), lambda place=place, scan=scan, row=row: _write_face(
            make, codes, place, scan, str(row["name"]), folder, options))
        if made is not None:
            row |= made[0]
            if len(cells) < SHOWN:
                cells.append(made[1])


def _write_face(make: FaceMaker, codes: FittedCodes, place: int, scan: PreparedScan, name: str, folder: Path,
                options: ReconstructionOptions) -> tuple[dict[str, Any], list[tuple[str, Tensor]]]:
    """Extract, measure and write a face; its row and its pictures."""
    begun, system, template = time.perf_counter(), make.system, make.template
    own = FaceCodes(codes.identity, codes.expression[place], None if codes.detail is None else codes.detail[place])
    found = make.extracted(own, options.resolution, dense=options.dense)
    extracted = time.perf_counter() - begun
    face = over_sheet(found.mesh, scan.sheet)
    colours, distance = error_colours(face, scan.sheet)
    goal = in_millimetres(scan.sheet)
    compared = {"fitted": face, "template": over_sheet(template, scan.sheet)}
    if isinstance(system, ImFacePlusPlus):
        bare = system.surface_without_details(codes.identity, codes.expression[place], options.resolution,
                                              dense=options.dense)
        compared["without_details"] = over_sheet(bare.mesh, scan.sheet)
    figures = {which: surface_agreement(in_millimetres(mesh), goal, thresholds=options.thresholds,
                                        samples=options.samples) for which, mesh in compared.items()}
    contents = {**make.placed(face, own).files(name, options.kind, options.colours),
                f"{name}_error.ply": ply_bytes(in_millimetres(face), colours),
                f"{name}_scan.ply": ply_bytes(goal), f"{name}_codes.npz": own.content()}
    if options.topology == "template":
        carried = make(own)
        contents |= carried.files(f"{name}_template", options.kind, options.colours)
    for file, content in contents.items():
        write_whole(folder / file, content)
    row = {"status": DONE, "files": list(contents), **figures, "loss": codes.loss, "loss_before": codes.losses[0],
           "evaluations_of_loss": len(codes.losses) + len(codes.detail_losses),
           "fitting_seconds": round(codes.seconds, 2), "extraction_seconds": round(extracted, 2),
           "evaluations_of_field": found.evaluations}
    pictures = [(f"{name}: scan", picture(scan.sheet)), ("face", picture(face)),
                (f"face before the scan red, behind blue ({FULL_COLOUR:g} mm)", picture(face, colours)),
                (f"template: {figures['template']['chamfer']:.2f} mm, face: {figures['fitted']['chamfer']:.2f} mm",
                 picture(over_sheet(template, scan.sheet)))]
    row |= {"landmarks": landmark_errors(make, own, face, scan.landmarks)}
    row["largest_mm"] = round(float(distance.abs().max()), 3)
    return row, pictures


def landmark_errors(make: FaceMaker, codes: FaceCodes, face: Mesh, landmarks: Tensor) -> dict[str, float]:
    """Mean distances in millimetres of a scan's landmarks ``(68, 3)`` from the template's on the fitted face.

    ``carried`` takes them there by correspondence, ``nearest`` to the nearest vertex, ``template`` leaves them.
    """
    known, marks = torch.isfinite(landmarks).all(1), make.system.template_landmarks
    near = face.vertices[torch.from_numpy(cKDTree(face.vertices.numpy()).query(marks.numpy(), workers=1)[1])]
    places = {"carried": make.landmarks(codes), "nearest": near, "template": marks}
    return {name: round(float((place - landmarks)[known].norm(dim=1).mean() * UNIT), 3)
            for name, place in places.items()}


def error_colours(face: Mesh, sheet: Mesh) -> tuple[Tensor, Tensor]:
    """Colours ``(V, 3)`` in [0, 1] and distances ``(V,)`` in millimetres of a face's vertices from a scan.

    White is on it, red before it, blue behind it; ``FULL_COLOUR`` millimetres and more are wholly so.
    """
    distance = (signed_distance(sheet, face.vertices)[0] * UNIT).float()
    share = (distance / FULL_COLOUR).clamp(-1, 1)
    return torch.stack([1 + share.clamp(max=0), 1 - share.abs(), 1 - share.clamp(min=0)], 1), distance


def picture(mesh: Mesh, colours: Tensor | None = None, *, yaw: float = 0.0, side: int = SIDE) -> Tensor:
    """A mesh of ImFace's space, ``(3, side, side)``, shaded, and in colours where there are some.

    Args:
        mesh: What is shown.
        colours: ``(V, 3)`` in [0, 1] of the vertices, or None.
        yaw: Degrees that it is turned from the front.
        side: Of the picture in pixels.
    """
    size, angle, none = 2 * side, torch.deg2rad(torch.tensor([yaw])), torch.zeros(1)
    camera = Camera(rotation_from_euler(angle, none, none), torch.full((1, 2), size / 2),
                    torch.tensor([size / 2.1 / UNIT]).log())
    view = MeshView.of(mesh.vertices[None] * UNIT, mesh.faces, camera, (size, size))
    grey = shaded(view)
    if colours is not None:
        grey = grey * view.attribute(colours)
    plate = torch.tensor(TABLE)[:, None, None]
    return torch.nn.functional.avg_pool2d(grey + plate * ~view.mask, 2)[0]


def _means(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The mean of every figure over the scans that are done."""
    done = [row for row in rows if row["status"] == DONE]
    return {kind: {name: round(float(np.mean([row[kind][name] for row in done])), 4) for name in done[0][kind]}
            for kind in ("fitted", "without_details", "template") if done and kind in done[0]}
