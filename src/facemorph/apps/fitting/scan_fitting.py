"""A scan to a face of a model: landmarks given, or found in pictures of the scan from all likely
sides.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.apps.fitting.fit_pictures import shaded
from facemorph.errors import DataError, GeometryError, NoFaceFound
from facemorph.faces.detection import make_detector, plausible_faces
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.fitting.scan_agreement import ScanAgreement, scan_agreement
from facemorph.geometry.fitting.scan_fit import ScanFit, fit_scan
from facemorph.geometry.meshes.mesh_files import Mesh, read_mesh
from facemorph.geometry.meshes.mesh_sampling import sample_area
from facemorph.geometry.meshes.orientation import facing_outwards
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_arrays import FACESCAPE, read_npz
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.scans.scan_placement import check_not_mirrored
from facemorph.ops.rotations import vector_from_rotation

IMPLAUSIBLE = 4.0  # mm that a twentieth of the face may be off before it is said
POORLY_EXPLAINED = 0.6  # the share of the scan's face below which it is said
POINTS = 60_000  # of the scan that are fitted
AROUND = 1.5  # radius of the scan's part that is fitted, times the largest distance of landmarks
SIDE = 512  # of the pictures in which landmarks are looked for
# Which axes of the scan may be to the right and upwards: y or z up, looked at from four sides each.
RIGHT = (
    ((1, 0, 0), (0, 1, 0)),
    ((-1, 0, 0), (0, 1, 0)),
    ((0, 0, 1), (0, 1, 0)),
    ((0, 0, -1), (0, 1, 0)),
    ((1, 0, 0), (0, 0, 1)),
    ((-1, 0, 0), (0, 0, 1)),
    ((0, 1, 0), (0, 0, 1)),
    ((0, -1, 0), (0, 0, 1)),
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScanResult:
    """A face that fits a scan.

    Attributes:
        parameters: Its rotation is that of the head in the scan; the camera looks along the scan's
            z.
        vertices: ``(V, 3)`` millimetres, in the model's frame.
        figures: For ``fit.json``.
        pictures: Captioned pictures of the scan, the face, and both.
    """

    parameters: FaceParameters
    vertices: Tensor
    figures: dict[str, float | list[float] | str]
    pictures: list[tuple[str, Tensor]]


def fit_scan_file(
    path: Path,
    model: MorphableModel,
    landmarks: Path | None,
    detector: LandmarkDetector | None = None,
) -> ScanResult:
    """Fit a model to a mesh file.

    Args:
        path: ``.obj``, ``.ply``, ``.stl`` or ``.glb``, in any unit.
        model: The model.
        landmarks: Text file of 68 iBUG landmarks, ``x y z`` in the scan's unit on each line,
            ``nan`` for unknown ones; None finds them in pictures of the scan.
        detector: Finds them; the embedded one by default.

    Raises:
        DataError: A file cannot be read.
        NoFaceFound: No landmarks are given and no picture of the scan shows a face.
        GeometryError: The scan is no usable surface, does not meet the face, or its landmarks are
            those of a mirror image.
    """
    mesh = read_scan_mesh(path)
    if landmarks is None:
        marks = find_scan_landmarks(mesh, detector, path)
    else:
        marks = read_landmarks_3d(landmarks)
        check_not_mirrored(marks, landmarks)
    found, vertices, agreement = _fitted(mesh, marks, model)
    parameters = replace(
        FaceParameters.neutral(model),
        identity=found.identity,
        expression=found.expression,
        rotation=vector_from_rotation(found.rotation)[None],
        origin=found.shift[None, :2],
        log_size=torch.tensor([found.scale]).log(),
    )
    placed = (mesh.vertices - found.shift) @ found.rotation / found.scale
    _warn_if_implausible(agreement, path)
    figures: dict[str, float | list[float] | str] = {
        "mean_mm": round(agreement.mean, 4),
        "percentile_95_mm": round(agreement.percentile_95, 4),
        "covered": round(agreement.covered, 4),
        "scan_mean_mm": round(agreement.scan_mean, 4),
        "scan_percentile_95_mm": round(agreement.scan_percentile_95, 4),
        "share": round(agreement.explained, 4),
        "scale": found.scale,
        "rotation": found.rotation.flatten().tolist(),
        "shift": found.shift.tolist(),
        "landmarks": "found" if landmarks is None else str(landmarks),
    }
    pictures = _pictures(placed, mesh.faces, vertices, model)
    return ScanResult(parameters, vertices[0], figures, pictures)


def fitted_scan_landmarks(mesh: Mesh, where: Path) -> Tensor:
    """Landmarks ``(68, 3)`` of a scan, from the embedded head that is fitted to it: they know its
    pose and size better than those that are found in its pictures, by half a centimetre.

    Args:
        mesh: The scan.
        where: What to call it.

    Returns:
        The landmarks; those found in pictures, with NaN where the surface has a hole, where the
        head does not fit.

    Raises:
        NoFaceFound: No picture of it shows a face.
    """
    marks, model = find_scan_landmarks(mesh, None, where), load_makehuman()
    try:
        found, vertices, agreement = _fitted(mesh, marks, model)
    except GeometryError:
        return marks  # the preparation of the scan says what is wrong with it
    if not _is_plausible(agreement):
        return marks
    return model.landmarks(vertices)[0] @ found.rotation.T * found.scale + found.shift


def fitted_scan_head(mesh: Mesh, marks: Tensor) -> Mesh:
    """The embedded head that is fitted to a scan, where the scan lies.

    Args:
        mesh: The scan.
        marks: Its landmarks ``(68, 3)``; rows of NaN where one is missing.

    Raises:
        GeometryError: Points or landmarks do not determine a face.
    """
    model = load_makehuman()
    found, vertices, _ = _fitted(mesh, marks, model)
    placed = vertices[0] @ found.rotation.T * found.scale + found.shift
    return Mesh(placed, model.topology.faces)


def _fitted(
    mesh: Mesh, marks: Tensor, model: MorphableModel
) -> tuple[ScanFit, Tensor, ScanAgreement]:
    """The fit, its vertices ``(1, V, 3)`` in the model's frame, and how well both agree."""
    points, normals = sample_area(_around(mesh, marks), POINTS, torch.Generator().manual_seed(0))
    found = fit_scan(model, points, normals, marks)
    vertices = model.vertices(found.identity, found.expression)
    placed = Mesh((mesh.vertices - found.shift) @ found.rotation / found.scale, mesh.faces)
    return found, vertices, scan_agreement(model, vertices[0], placed)


def _around(mesh: Mesh, marks: Tensor) -> Mesh:
    """The part of a scan around its landmarks: shoulders would take most of the points."""
    known = marks[torch.isfinite(marks).all(1)]
    if len(known) < 2:
        return mesh  # too few to be fitted, which ``fit_scan`` says
    radius = AROUND * float(torch.pdist(known).max())
    near = (mesh.vertices - known.mean(0)).norm(dim=1) < radius
    inside = near[mesh.faces].all(1)
    return Mesh(mesh.vertices, mesh.faces[inside]) if bool(inside.any()) else mesh


def _is_plausible(agreement: ScanAgreement) -> bool:
    worst = max(agreement.percentile_95, agreement.scan_percentile_95)
    return worst <= IMPLAUSIBLE and agreement.explained >= POORLY_EXPLAINED


def _warn_if_implausible(agreement: ScanAgreement, path: Path) -> None:
    if not _is_plausible(agreement):
        logger.warning(
            "%s: parts of the face are not met: %.1f mm from the scan in the mean, 5 %% farther "
            "than %.1f mm, %.0f %% of the scan's face explained. Look at the overlay; hair, a "
            "beard or an open mouth may be it, or landmarks: give them with --points.",
            path,
            agreement.mean,
            max(agreement.percentile_95, agreement.scan_percentile_95),
            100 * agreement.explained,
        )


def read_scan_mesh(path: Path) -> Mesh:
    """The mesh of a scan, its triangles facing outwards; those that are turned over are told.

    Raises:
        DataError: The file cannot be read.
        GeometryError: It is no usable surface.
    """
    read = read_mesh(path)
    mesh = facing_outwards(read)
    turned = int((mesh.faces != read.faces).any(1).sum())
    if turned:
        every = turned == len(mesh.faces)
        count = "all triangles" if every else f"{turned} of {len(mesh.faces)} triangles"
        logger.warning("%s: %s faced inwards and are turned over.", path, count)
    return mesh


def read_landmarks_3d(path: Path) -> Tensor:
    """``(68, 3)`` from a text file; rows of NaN where one is unknown.

    Raises:
        DataError: It cannot be read, or holds no 68 lines of three numbers: vertex numbers, say.
    """
    if path.suffix.lower() == ".npz":
        raise _vertex_numbers(path, _names_of(path))
    try:
        table = np.loadtxt(
            path, delimiter="," if path.suffix.lower() == ".csv" else None, ndmin=2, max_rows=1000
        )
    except (OSError, ValueError) as error:
        raise DataError(
            "these landmarks cannot be read",
            where=path,
            expected="68 lines of x y z",
            found=str(error).splitlines()[0][:120],
        ) from error
    if table.size == 68 and bool((table == np.floor(table)).all() and (table >= 0).all()):
        raise _vertex_numbers(path, f"68 whole numbers up to {table.max():.0f}")
    if table.shape != (68, 3):
        raise DataError(
            "not the landmarks of a scan",
            where=path,
            expected="68 lines of x y z",
            found=table.shape,
        )
    return torch.from_numpy(table).float()


def _names_of(path: Path) -> str:
    """What a ``.npz`` file holds, for messages."""
    return ", ".join(read_npz(path, "landmarks").values) or "nothing"


def _vertex_numbers(path: Path, found: str) -> DataError:
    return DataError(
        "these are no places of landmarks, as lists of vertex numbers are not",
        where=path,
        expected="68 lines of x y z in a text file",
        found=found,
        remedy="Write the places of the mesh's vertices with these numbers, by the list of the "
        f"mesh's own topology: np.savetxt('landmarks.txt', vertices[numbers]); {FACESCAPE}.",
    )


def find_scan_landmarks(mesh: Mesh, detector: LandmarkDetector | None, where: Path) -> Tensor:
    """Landmarks ``(68, 3)`` on a scan, NaN where the surface has a hole, from the picture with the
    surest face.

    Raises:
        NoFaceFound: No picture shows one.
    """
    detector = detector or make_detector()
    best: tuple[float, Tensor] | None = None
    middle = (mesh.vertices.amin(0) + mesh.vertices.amax(0)) / 2
    extent = float((mesh.vertices - middle).norm(dim=1).amax()) * 2
    for right, up in RIGHT:
        across, upwards = (mesh.vertices.new_tensor(axis) for axis in (right, up))
        rotation = torch.stack([across, upwards, torch.linalg.cross(across, upwards)])[None]
        camera = Camera(rotation, torch.full((1, 2), SIDE / 2), torch.tensor([SIDE / extent]).log())
        view = MeshView.of(
            mesh.vertices[None] - middle, mesh.faces, camera, (SIDE, SIDE), cull_back_faces=True
        )
        if not bool(view.mask.any()):
            continue
        faces = plausible_faces(shaded(view)[0] + 0.5 * ~view.mask[0], detector)
        if faces and (best is None or faces[0].score > best[0]):
            points = to_ibug68(faces[0].points, faces[0].scheme).float()
            best = (faces[0].score, _on_surface(view, points) + middle)
    if best is None:
        raise NoFaceFound(
            "no face found on this scan",
            where=where,
            remedy="Give its 68 landmarks with --points FILE.txt, x y z on each line.",
        )
    return best[1]


def _on_surface(view: MeshView, points: Tensor) -> Tensor:
    """Where pixels ``(P, 2)`` are on the mesh ``(P, 3)``; NaN beside it."""
    height, width = view.fragments.size
    column, row = (
        points[:, axis].long().clamp(0, size - 1) for axis, size in ((0, width), (1, height))
    )
    found = view.positions()[0, :, row, column].T.clone()
    found[~view.mask[0, 0, row, column]] = torch.nan
    return found


def _pictures(
    scan: Tensor, faces: Tensor, vertices: Tensor, model: MorphableModel
) -> list[tuple[str, Tensor]]:
    low, high = vertices[0].amin(0), vertices[0].amax(0)
    size = 360
    camera = Camera(
        torch.eye(3)[None],
        torch.full((1, 2), size / 2),
        torch.tensor([size / float((high - low).amax()) / 1.06]).log(),
    )
    middle = (low + high) / 2
    views = [
        MeshView.of(points - middle, triangles, camera, (size, size))
        for points, triangles in ((scan[None], faces), (vertices, model.topology.faces))
    ]
    grey = [torch.where(view.mask[0], shaded(view)[0], torch.ones(3, 1, 1)) for view in views]
    # Red where the scan lies before the face, blue behind it.
    both = views[0].mask[0] & views[1].mask[0]
    gap = ((views[0].depth - views[1].depth)[0] / 5).clamp(-1, 1)
    colour = torch.cat([1 + gap.clamp(max=0), 1 - gap.abs(), 1 - gap.clamp(min=0)])
    return [
        ("scan", grey[0]),
        ("face", grey[1]),
        (
            "scan before the face red, behind blue (5 mm)",
            torch.where(both, grey[1] * colour, torch.ones(3, 1, 1)),
        ),
    ]
