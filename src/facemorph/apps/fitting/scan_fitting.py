"""A scan to a face of a model: landmarks given, or found in pictures of the scan from all likely
sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.apps.fitting.fit_pictures import shaded
from facemorph.errors import DataError, NoFaceFound
from facemorph.faces.detection import make_detector, plausible_faces
from facemorph.faces.landmark_schemes import to_ibug68
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.fitting.scan_fit import fit_scan
from facemorph.geometry.meshes.mesh_files import Mesh, read_mesh
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.camera import Camera
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.meshes import vertex_normals
from facemorph.ops.rotations import vector_from_rotation

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
        GeometryError: The scan is no usable surface, or does not meet the face.
    """
    mesh = facing_outwards(read_mesh(path))
    normals = vertex_normals(mesh.vertices[None], mesh.faces)[0]
    used = mesh.faces.unique()
    marks = (
        find_scan_landmarks(mesh, detector, path)
        if landmarks is None
        else read_landmarks_3d(landmarks)
    )
    found = fit_scan(model, mesh.vertices[used], normals[used], marks)
    vertices = model.vertices(found.identity, found.expression)
    parameters = replace(
        FaceParameters.neutral(model),
        identity=found.identity,
        expression=found.expression,
        rotation=vector_from_rotation(found.rotation)[None],
        origin=found.shift[None, :2],
        log_size=torch.tensor([found.scale]).log(),
    )
    figures: dict[str, float | list[float] | str] = {
        "distance_mm": round(float(found.distance.median()), 4),
        "share": round(found.share, 4),
        "scale": found.scale,
        "rotation": found.rotation.flatten().tolist(),
        "shift": found.shift.tolist(),
        "landmarks": "found" if landmarks is None else str(landmarks),
    }
    placed = (mesh.vertices - found.shift) @ found.rotation / found.scale
    return ScanResult(
        parameters, vertices[0], figures, _pictures(placed, mesh.faces, vertices, model)
    )


def facing_outwards(mesh: Mesh) -> Mesh:
    """The mesh with its triangles turned over if most of its surface faces its own middle.

    Such a scan would show a face from behind, through the head. Where the middle lies does not
    matter for a closed surface, by the divergence theorem; an open one is thought to bulge
    outwards, as faces do.
    """
    corners = mesh.vertices[mesh.faces].double()
    middle = corners.mean(1)
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = normal.norm(dim=1, keepdim=True)
    centre = (middle * area).sum(0) / area.sum().clamp(min=1e-30)
    if float(((middle - centre) * normal).sum()) >= 0:
        return mesh
    return replace(
        mesh,
        faces=mesh.faces.flip(1),
        faces_uv=None if mesh.faces_uv is None else mesh.faces_uv.flip(1),
    )


def read_landmarks_3d(path: Path) -> Tensor:
    """``(68, 3)`` from a text file; rows of NaN where one is unknown.

    Raises:
        DataError: It cannot be read, or holds no 68 lines of three numbers.
    """
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
    if table.shape != (68, 3):
        raise DataError(
            "not the landmarks of a scan",
            where=path,
            expected="68 lines of x y z",
            found=table.shape,
        )
    return torch.from_numpy(table).float()


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
