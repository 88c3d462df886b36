"""Scans made ready for ImFace: aligned, cut to the unit sphere, one sheet, with samples on it and around it.

Unit: 1 is 100 mm. The tip of the nose (landmark 30) is at (0, 0, 0.4), +z looks at the viewer, and the face is what
lies inside the unit sphere. The visible surface becomes a *sheet*: a height z over (x, y), nostrils and mouth closed.
The signed distance is positive before it and negative behind it, by the rule of the authors' code: where the direction
away from the surface points backwards, both it and the distance change sign. So every gradient has z >= 0.

Source: Zheng et al., ImFace (CVPR 2022), and its released preprocessing. Departures: exact distances to the triangles
instead of the nearest of some million scan points (error there up to 0.3 mm); samples spread evenly over the area
instead of with the density of renderings; any mesh with landmarks instead of FaceScape's topology.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import ConvexHull, Delaunay
from torch import Tensor

from facemorph.errors import GeometryError, MissingExtra
from facemorph.geometry.makehuman import load_makehuman
from facemorph.geometry.mesh_files import Mesh
from facemorph.geometry.mesh_sampling import sample_area
from facemorph.geometry.scan_fit import similarity_between
from facemorph.geometry.sphere_cut import compacted, cut_to_sphere

UNIT = 100.0                                    # millimetres
NOSE, NOSE_PLACE = 30, (0.0, 0.0, 0.4)
UNITS = {"mm": 1.0, "cm": 0.1, "m": 0.001}      # of a scan for a millimetre
UNIT_SLACK = 1.3                                # a face may be this much larger or smaller than the mean one
EXTRA = "pip install 'facemorph-torch[scans]'"
CLOSE = 3 * math.sqrt(3) * 0.0025               # 3 voxel diagonals: nearer than this the normal is the direction
SURFACE, FREE = 235_000, 15_000


@dataclass(frozen=True)
class PreparedScan:
    """A scan as ImFace trains on it.

    Attributes:
        surface: ``(N, 3)`` points on the sheet.
        normals: ``(N, 3)`` unit normals there, z >= 0.
        free: ``(M, 3)`` points of the unit ball.
        distance: ``(M,)`` their signed distances.
        gradient: ``(M, 3)`` unit gradients there, z >= 0.
        landmarks: ``(68, 3)``.
        sheet: The sheet itself.
    """

    surface: Tensor
    normals: Tensor
    free: Tensor
    distance: Tensor
    gradient: Tensor
    landmarks: Tensor
    sheet: Mesh


def guess_unit(landmarks: Tensor) -> tuple[str, float]:
    """The unit of a scan by the size of its face: its name and how many of it a millimetre is.

    Args:
        landmarks: ``(68, 3)``; rows of NaN where one is missing.

    Raises:
        GeometryError: The face is too large or too small for millimetres, centimetres and metres.
    """
    model = load_makehuman()
    known = torch.isfinite(landmarks).all(1)
    size, _, _ = similarity_between(model.landmarks(model.mean[None])[0][known], landmarks[known])
    name = min(UNITS, key=lambda unit: abs(math.log(size / UNITS[unit])))
    if not 1 / UNIT_SLACK <= size / UNITS[name] <= UNIT_SLACK:
        raise GeometryError("this scan is in no known unit", where="landmarks",
                            expected="a face in mm, cm or m", found=f"a face {size:.3g} times as large as one in mm",
                            remedy="Give the unit, or scale the scan.")
    return name, UNITS[name]


def align_scan(mesh: Mesh, landmarks: Tensor, unit: float | None = None) -> tuple[Mesh, Tensor]:
    """Turn, shift and scale a scan into ImFace's space.

    Turned by the landmarks onto those of the embedded head; the size stays what it is, in 100 millimetres.

    Args:
        mesh: The scan.
        landmarks: ``(68, 3)`` in its unit.
        unit: How many of it a millimetre is; None guesses.

    Raises:
        GeometryError: The landmarks determine no pose, or the unit is unknown; the nose's tip is missing.
    """
    if not bool(torch.isfinite(landmarks[NOSE]).all()):
        raise GeometryError("the tip of the nose is missing", where="landmarks", expected="landmark 30 of 68")
    size = unit if unit is not None else guess_unit(landmarks)[1]
    model = load_makehuman()
    known = torch.isfinite(landmarks).all(1)
    template = model.landmarks(model.mean[None])[0][known]
    _, rotation, _ = similarity_between(landmarks[known], template)
    shift = landmarks.new_tensor(NOSE_PLACE) - rotation @ landmarks[NOSE] / (UNIT * size)

    def moved(points: Tensor) -> Tensor:
        return points @ rotation.T / (UNIT * size) + shift

    return Mesh(moved(mesh.vertices), mesh.faces), moved(landmarks)


def visible_from_front(mesh: Mesh) -> Tensor:
    """``(V,)`` whether nothing lies before a vertex towards +z.

    Raises:
        MissingExtra: The package embreex is not installed.
    """
    try:
        from embreex import rtcore_scene
        from embreex.mesh_construction import TriangleMesh
    except ImportError as error:
        raise MissingExtra("scans need the package embreex", where="embreex", remedy=EXTRA) from error
    scene = rtcore_scene.EmbreeScene()
    # Kept alive with the scene: the mesh's memory is read while rays are cast.
    triangles = TriangleMesh(scene, mesh.vertices.numpy().astype(np.float32), mesh.faces.numpy().astype(np.int32))
    origin = mesh.vertices.numpy().astype(np.float32)
    origin[:, 2] += 1e-4
    direction = np.zeros_like(origin)
    direction[:, 2] = 1
    hits = scene.run(origin, direction, query="OCCLUDED")
    del triangles
    return torch.from_numpy(np.asarray(hits) == -1)


def make_sheet(mesh: Mesh, radius: float = 1.0) -> Mesh:
    """The visible part of a scan inside the sphere as one sheet over (x, y).

    Raises:
        GeometryError: Nothing of it is inside, or too little is visible.
        MissingExtra: The package embreex is not installed.
    """
    inside = cut_to_sphere(mesh, radius)
    seen = visible_from_front(inside)
    kept = compacted(inside.vertices, inside.faces[seen[inside.faces].all(1)])
    if len(kept.vertices) < 100:
        raise GeometryError("too little of this scan is visible from the front", where="faces",
                            expected="at least 100 vertices", found=len(kept.vertices),
                            remedy="Check the landmarks: they turn the scan.")
    flat = kept.vertices[:, :2].double().numpy()
    triangles = Delaunay(flat).simplices
    a, b, c = (flat[triangles[:, corner]] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles = np.where(area[:, None] < 0, triangles[:, ::-1], triangles)[np.abs(area) > 1e-14]
    return compacted(kept.vertices, torch.from_numpy(np.ascontiguousarray(triangles)).long())


def in_millimetres(mesh: Mesh) -> Mesh:
    """A mesh of ImFace's space in millimetres."""
    return Mesh(mesh.vertices * UNIT, mesh.faces)


def outline_of(sheet: Mesh) -> Callable[[Tensor], Tensor]:
    """Which of points ``(N, 3)`` lie before or behind a sheet, ``(N,)``: within its outline over (x, y)."""
    bounds = torch.from_numpy(ConvexHull(sheet.vertices[:, :2].double().numpy()).equations)

    def within(points: Tensor) -> Tensor:
        return (points[:, :2].double() @ bounds[:, :2].T + bounds[:, 2] <= 1e-9).all(1)

    return within


def over_sheet(mesh: Mesh, sheet: Mesh) -> Mesh:
    """The triangles of a mesh that lie before or behind a sheet: with all corners in its outline over (x, y).

    A sheet ends at its outline, and nothing is known of the surface beyond it.

    Raises:
        GeometryError: There are none.
    """
    inside = outline_of(sheet)(mesh.vertices)
    faces = mesh.faces[inside[mesh.faces].all(1)]
    if not len(faces):
        raise GeometryError("nothing of this surface lies over the scan", where="faces", found=len(mesh.faces))
    return compacted(mesh.vertices, faces)


def sample_sheet(sheet: Mesh, landmarks: Tensor, generator: torch.Generator, *, num_surface: int = SURFACE,
                 num_free: int = FREE) -> PreparedScan:
    """Samples on a sheet and around it.

    Args:
        sheet: What ``make_sheet`` gives.
        landmarks: ``(68, 3)`` in its space.
        generator: Of the samples.
        num_surface: Points on the sheet, evenly by area.
        num_free: Points of the unit ball.

    Raises:
        MissingExtra: The package libigl is not installed.
    """
    surface, normals = sample_area(sheet, num_surface, generator)
    way = torch.randn(num_free, 3, generator=generator, dtype=torch.float64)
    reach = torch.rand(num_free, 1, generator=generator, dtype=torch.float64) ** (1 / 3)
    free = torch.nn.functional.normalize(way, dim=1) * reach
    distance, gradient = signed_distance(sheet, free)
    return PreparedScan(surface, normals, free.float(), distance.float(), gradient.float(), landmarks,
                        sheet)


def signed_distance(sheet: Mesh, points: Tensor) -> tuple[Tensor, Tensor]:
    """Signed distances ``(M,)`` and their gradients ``(M, 3)``, both float64, of points ``(M, 3)``.

    Closer than ``CLOSE`` the gradient is the normal of the nearest triangle, as in the authors' code.

    Raises:
        MissingExtra: The package libigl is not installed.
    """
    try:
        import igl
    except ImportError as error:
        raise MissingExtra("scans need the package libigl", where="libigl", remedy=EXTRA) from error
    vertices, faces = sheet.vertices.double(), sheet.faces
    squared, nearest, place = igl.point_mesh_squared_distance(points.double().numpy(), vertices.numpy(),
                                                              faces.numpy().astype(np.int64))
    distance = torch.from_numpy(np.sqrt(squared))
    away = points.double() - torch.from_numpy(np.ascontiguousarray(place))
    corner = vertices[faces[torch.from_numpy(np.asarray(nearest)).long()]]
    normal = torch.nn.functional.normalize(
        torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), dim=1)
    direction = torch.nn.functional.normalize(away, dim=1)
    near = (distance < CLOSE)[:, None]
    before = torch.where(near, (away * normal).sum(1, keepdim=True), direction[:, 2:])[:, 0] >= 0
    gradient = torch.where(near, normal, direction * torch.where(before, 1.0, -1.0)[:, None])
    gradient = torch.where(gradient[:, 2:] < 0, -gradient, gradient)
    return torch.where(before, distance, -distance), gradient


def prepare_scan(mesh: Mesh, landmarks: Tensor, generator: torch.Generator, *, unit: float | None = None,
                 num_surface: int = SURFACE, num_free: int = FREE) -> PreparedScan:
    """All of it: align, cut, make the sheet, sample.

    Raises:
        GeometryError: The scan or its landmarks are at fault.
        MissingExtra: The extra ``scans`` is not installed.
    """
    aligned, placed = align_scan(mesh, landmarks, unit)
    return sample_sheet(make_sheet(aligned), placed, generator, num_surface=num_surface, num_free=num_free)
