"""One fitted face of ``facemorph reconstruct``: its meshes, codes and pictures, and how far it is
from the scan.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, cast

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph.apps.implicit.face_meshes import (
    FaceCodes,
    FaceMaker,
    mesh_files,
)
from facemorph.apps.implicit.imface_pictures import FULL_COLOUR, SIDE, error_colours, picture
from facemorph.apps.implicit.scan_inputs import InputOptions
from facemorph.errors import ConfigError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.meshes.mesh_files import Mesh, ply_bytes
from facemorph.geometry.scans.scan_placement import UNIT, in_millimetres
from facemorph.geometry.scans.scan_sheets import PreparedScan
from facemorph.geometry.scans.sheet_outlines import over_face, over_sheet
from facemorph.jobs.records import Row
from facemorph.metrics.surface_agreement import surface_agreement
from facemorph.storage.files import write_whole
from facemorph.systems.imface.code_fitting import FittedCodes, FittingOptions
from facemorph.systems.imface.detail_system import ImFacePlusPlus

COMPARED = ("fitted", "without_details", "template")
STARTS = 6000  # about as many vertices as a surface of 64 cells has
VIEWS = "_views.png"  # what a face's row of the sheet is made of
Figures = dict[str, float]


class Placement(TypedDict, total=False):
    """How a scan came to millimetres with the nose at (0, 0, 40): ``rotation @ point / unit +
    shift``.
    """

    rotation: list[list[float]]
    shift: list[float]
    unit: float


class FaceRow(Row, total=False):
    """What became of one scan.

    ``settings`` is the key of what the face follows from besides the scan; ``fitted``, ``template``
    and ``without_details`` (ImFace++) say how far each is from the scan in millimetres, with
    ``_aligned`` after rigid alignment; ``landmarks`` are millimetres too, and so are how far the
    face's vertices are from the scan: ``mean_mm``, ``within_95_mm`` (95 % of them), ``largest_mm``.
    """

    file: str
    modified: float | None
    settings: str
    fitted: Figures
    template: Figures
    without_details: Figures
    fitted_aligned: Figures
    template_aligned: Figures
    without_details_aligned: Figures
    loss: float
    loss_before: float
    evaluations_of_loss: int
    fitting_seconds: float
    extraction_seconds: float
    evaluations_of_field: int
    landmarks: Figures
    mean_mm: float
    within_95_mm: float
    largest_mm: float
    partial: bool
    loose_pieces: int
    missing_landmarks: int
    placement: Placement


def write_face(
    make: FaceMaker,
    codes: FittedCodes,
    place: int,
    scan: PreparedScan,
    name: str,
    folder: Path,
    options: ReconstructionOptions,
) -> FaceRow:
    """Extract, measure and write a face.

    Args:
        make: Of the model.
        codes: Of the person.
        place: Which of the person's scans it is.
        scan: That scan.
        name: Of the files.
        folder: Where they go.
        options: How.

    Returns:
        Its row of the report.

    Raises:
        GeometryError: The field has no surface, or none over the scan.
        OutputError: A file cannot be written.
    """
    begun = time.perf_counter()
    own = FaceCodes(
        codes.identity,
        codes.expression[place],
        None if codes.detail is None else codes.detail[place],
    )
    found = make.extracted(own, options.resolution, dense=options.dense)
    extracted = time.perf_counter() - begun
    face = over_sheet(found.mesh, scan.sheet)  # errors are known here alone
    shown = over_face(found.mesh, scan.sheet) if scan.partial else face
    colours, distance = error_colours(face, scan.sheet)
    compared = {"fitted": face, "template": over_sheet(make.template, scan.sheet)}
    if isinstance(make.system, ImFacePlusPlus):
        bare = make.system.surface_without_details(
            codes.identity, codes.expression[place], options.resolution, dense=options.dense
        )
        compared["without_details"] = over_sheet(bare.mesh, scan.sheet)
    goal = in_millimetres(scan.sheet)
    figures = {
        f"{which}_aligned" if rigid else which: surface_agreement(
            in_millimetres(mesh),
            goal,
            thresholds=options.thresholds,
            samples=options.samples,
            rigid=rigid,
        )
        for which, mesh in compared.items()
        for rigid in ((False, True) if options.align else (False,))
    }
    drawn = ((scan.sheet, None), (shown, None), (face, colours), (compared["template"], None))
    views = [picture(mesh, tint) for mesh, tint in drawn]
    files = _write_files(make, own, scan, shown, (face, colours), name, folder, options)
    save_image(torch.cat(views, 2), folder / f"{name}{VIEWS}", synthetic=True)
    row: FaceRow = {
        "files": [*files, f"{name}{VIEWS}"],
        "loss": codes.loss,
        "loss_before": codes.losses[0],
        "evaluations_of_loss": len(codes.losses) + len(codes.detail_losses),
        "fitting_seconds": round(codes.seconds, 2),
        "extraction_seconds": round(extracted, 2),
        "evaluations_of_field": found.evaluations,
        "landmarks": landmark_errors(make, own, found.mesh, scan.landmarks),
        "mean_mm": round(float(distance.abs().mean()), 3),
        "within_95_mm": round(float(distance.abs().quantile(0.95)), 3),
        "largest_mm": round(float(distance.abs().max()), 3),
        "partial": scan.partial,
        "loose_pieces": scan.loose_pieces,
        "missing_landmarks": int((~torch.isfinite(scan.landmarks)).any(1).sum()),
    }
    if scan.placement is not None:
        row["placement"] = placement_of(scan)
    return cast(FaceRow, {**row, **figures})


def placement_of(scan: PreparedScan) -> Placement:
    """How the scan was placed; empty where that is not known."""
    if scan.placement is None:
        return {}
    return {
        "rotation": scan.placement.rotation.tolist(),
        "shift": (scan.placement.shift * UNIT).tolist(),
        "unit": scan.placement.unit,
    }


def _write_files(
    make: FaceMaker,
    own: FaceCodes,
    scan: PreparedScan,
    shown: Mesh,
    coloured: tuple[Mesh, Tensor],
    name: str,
    folder: Path,
    options: ReconstructionOptions,
) -> list[str]:
    """Write meshes and codes; the files' names."""

    def placed(mesh: Mesh, kind: str = "ply") -> Mesh:
        if options.frame == "model" or scan.placement is None:
            return mesh
        # Writers take ImFace's space and make it millimetres; GLB's makes it metres after that.
        size = UNIT if kind != "glb" else UNIT / 1000
        return Mesh(scan.placement.back(mesh.vertices) / size, mesh.faces)

    whole = make.placed(shown, own)
    contents = replace(whole, mesh=placed(shown, options.kind)).files(
        name, options.kind, options.colours
    )
    contents |= {
        f"{name}_error.ply": ply_bytes(in_millimetres(placed(coloured[0])), coloured[1]),
        **mesh_files(in_millimetres(placed(scan.sheet)), f"{name}_scan", "ply"),
        f"{name}_codes.npz": own.content(**placement_of(scan)),
    }
    if options.topology == "template":
        carried = make.carried(own)
        contents |= replace(carried, mesh=placed(carried.mesh, options.kind)).files(
            f"{name}_template", options.kind, options.colours
        )
    for file, content in contents.items():
        write_whole(folder / file, content)
    return list(contents)


def landmark_errors(
    make: FaceMaker, codes: FaceCodes, face: Mesh, landmarks: Tensor
) -> dict[str, float]:
    """Mean distances in millimetres of a scan's landmarks ``(68, 3)`` from the template's on the
    fitted face.

    ``carried`` takes them there by correspondence, ``nearest`` to the nearest vertex, ``template``
    leaves them.
    """
    known, marks = torch.isfinite(landmarks).all(1), make.system.template_landmarks
    near = face.vertices[
        torch.from_numpy(cKDTree(face.vertices.numpy()).query(marks.numpy(), workers=1)[1])
    ]
    # Newton's method goes the rest of the way from a few thousand of the vertices.
    start = face.vertices[:: max(1, len(face.vertices) // STARTS)]
    places = {"carried": make.landmarks(codes, start), "nearest": near, "template": marks}
    return {
        name: round(float((place - landmarks)[known].norm(dim=1).mean() * UNIT), 3)
        for name, place in places.items()
    }


def views_of(row: FaceRow, folder: Path) -> list[tuple[str, Tensor]]:
    """The pictures of a face that is done, with their captions.

    Raises:
        ImageError: They are gone.
    """
    views = load_image(folder / f"{row['name']}{VIEWS}").split(SIDE, 2)
    captions = (
        f"{row['name']}: {'part of a face' if row['partial'] else 'scan'}",
        "face, completed" if row["partial"] else "face",
        f"face before the scan red, behind blue ({FULL_COLOUR:g} mm)",
        f"template: {row['template']['chamfer']:.2f} mm, face: {row['fitted']['chamfer']:.2f} mm",
    )
    return list(zip(captions, views, strict=True))


@dataclass(frozen=True)
class ReconstructionOptions:
    """How scans become faces: see the arguments of ``reconstruct``.

    Raises:
        ConfigError: A value is none of the possible ones.
    """

    inputs: InputOptions
    same_person: bool
    resolution: int
    dense: bool
    kind: str
    frame: str
    topology: str
    colours: bool
    thresholds: tuple[float, ...]
    samples: int
    align: bool
    fitting: FittingOptions

    def __post_init__(self) -> None:
        """See that each is possible."""
        if self.samples < 1:
            raise ConfigError(
                "surfaces are compared at points",
                where="samples",
                expected="1 or more",
                found=self.samples,
            )
        if not self.thresholds or any(not threshold > 0 for threshold in self.thresholds):
            raise ConfigError(
                "unusable thresholds",
                where="thresholds",
                expected="above 0",
                found=list(self.thresholds),
            )
