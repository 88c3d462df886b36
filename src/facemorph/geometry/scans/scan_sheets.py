"""Scans made ready for ImFace: aligned, cut to the unit sphere, one sheet, with samples on it and
around it.

``scan_placement`` aligns them; the face is what then lies inside the unit sphere. The visible
surface becomes a *sheet*: a height z over (x, y), nostrils and mouth closed. The signed distance is
positive before it and negative behind it, by the rule of the authors' code: where the direction
away from the surface points backwards, both it and the distance change sign. So every gradient has
z >= 0.

Source: Zheng et al., ImFace (CVPR 2022), and its released preprocessing. Departures: exact
distances to the triangles instead of the nearest of some million scan points (error there up to 0.3
mm); samples spread evenly over the area instead of with the density of renderings; any mesh with
landmarks instead of FaceScape's topology.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import Delaunay
from torch import Tensor

from facemorph.errors import ConfigError, GeometryError, MissingExtra
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.mesh_sampling import sample_area
from facemorph.geometry.meshes.sphere_cut import compacted, cut_to_sphere
from facemorph.geometry.scans.scan_pieces import pieces_of_head
from facemorph.geometry.scans.scan_placement import Placement, place_scan
from facemorph.geometry.scans.sheet_outlines import (
    EXTRA,
    known_distances,
    share_of_face,
    without_bridges,
)

CLOSE = 3 * math.sqrt(3) * 0.0025  # 3 voxel diagonals: nearer than this the normal is the direction
SURFACE, FREE = 235_000, 15_000
PARTIAL = ("auto", "yes", "no")
WHOLE = 0.93  # of the mean face that a whole scan shows at least


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
        placement: How the scan came here; None is not known, or not kept.
        partial: Parts of the face are missing, and ``free`` holds only points whose distance is
            known all the same.
        loose_pieces: How many pieces of the scan have been left out, since they hang on nothing of
            the head.
    """

    surface: Tensor
    normals: Tensor
    free: Tensor
    distance: Tensor
    gradient: Tensor
    landmarks: Tensor
    sheet: Mesh
    placement: Placement | None = None
    partial: bool = False
    loose_pieces: int = 0


def visible_from_front(mesh: Mesh) -> Tensor:
    """``(V,)`` whether nothing lies before a vertex towards +z.

    Raises:
        MissingExtra: The package embreex is not installed.
    """
    try:
        from embreex import rtcore_scene
        from embreex.mesh_construction import TriangleMesh
    except ImportError as error:
        raise MissingExtra(
            "scans need the package embreex", where="embreex", remedy=EXTRA
        ) from error
    scene = rtcore_scene.EmbreeScene()
    # Kept alive with the scene: the mesh's memory is read while rays are cast.
    triangles = TriangleMesh(
        scene, mesh.vertices.numpy().astype(np.float32), mesh.faces.numpy().astype(np.int32)
    )
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
        raise GeometryError(
            "too little of this scan is visible from the front",
            where="faces",
            expected="at least 100 vertices",
            found=len(kept.vertices),
            remedy="Check the landmarks: they turn the scan.",
        )
    flat = kept.vertices[:, :2].double().numpy()
    triangles = Delaunay(flat).simplices
    a, b, c = (flat[triangles[:, corner]] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles = np.where(area[:, None] < 0, triangles[:, ::-1], triangles)[np.abs(area) > 1e-14]
    return compacted(kept.vertices, torch.from_numpy(np.ascontiguousarray(triangles)).long())


def sample_sheet(
    sheet: Mesh,
    landmarks: Tensor,
    generator: torch.Generator,
    *,
    num_surface: int = SURFACE,
    num_free: int = FREE,
) -> PreparedScan:
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
    return PreparedScan(
        surface, normals, free.float(), distance.float(), gradient.float(), landmarks, sheet
    )


def signed_distance(sheet: Mesh, points: Tensor) -> tuple[Tensor, Tensor]:
    """Signed distances ``(M,)`` and their gradients ``(M, 3)``, both float64, of points ``(M, 3)``.

    Closer than ``CLOSE`` the gradient is the normal of the nearest triangle, as in the authors'
    code.

    Raises:
        MissingExtra: The package libigl is not installed.
    """
    try:
        import igl
    except ImportError as error:
        raise MissingExtra("scans need the package libigl", where="libigl", remedy=EXTRA) from error
    vertices, faces = sheet.vertices.double(), sheet.faces
    squared, nearest, place = igl.point_mesh_squared_distance(
        points.double().numpy(), vertices.numpy(), faces.numpy().astype(np.int64)
    )
    distance = torch.from_numpy(np.sqrt(squared))
    away = points.double() - torch.from_numpy(np.ascontiguousarray(place))
    corner = vertices[faces[torch.from_numpy(np.asarray(nearest)).long()]]
    normal = torch.nn.functional.normalize(
        torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), dim=1
    )
    direction = torch.nn.functional.normalize(away, dim=1)
    near = (distance < CLOSE)[:, None]
    before = torch.where(near, (away * normal).sum(1, keepdim=True), direction[:, 2:])[:, 0] >= 0
    gradient = torch.where(near, normal, direction * torch.where(before, 1.0, -1.0)[:, None])
    gradient = torch.where(gradient[:, 2:] < 0, -gradient, gradient)
    return torch.where(before, distance, -distance), gradient


def prepare_scan(
    mesh: Mesh,
    landmarks: Tensor,
    generator: torch.Generator,
    *,
    unit: float | None = None,
    num_surface: int = SURFACE,
    num_free: int = FREE,
    partial: str = "no",
) -> PreparedScan:
    """All of it: align, leave loose pieces out, cut, make the sheet, sample.

    Args:
        mesh: The scan.
        landmarks: ``(68, 3)`` in its unit; rows of NaN where one is missing.
        generator: Of the samples.
        unit: How many of the scan's units a millimetre is; None guesses.
        num_surface: Points on the sheet.
        num_free: Points of the unit ball; of a partial scan those of them whose distance is known.
        partial: ``no``: gaps are bridged, and distances are those from the sheet. ``yes``: neither.
            ``auto``: ``yes`` where less than ``WHOLE`` of the embedded mean face lies over what is
            there.

    Raises:
        ConfigError: ``partial`` is none of the possible ones.
        GeometryError: The scan or its landmarks are at fault.
        MissingExtra: The extra ``scans`` is not installed.
    """
    if partial not in PARTIAL:
        raise ConfigError(
            "no such choice", where="partial", expected=" | ".join(PARTIAL), found=partial
        )
    placement = place_scan(landmarks, unit)
    placed = placement.into(landmarks)
    head, loose = pieces_of_head(Mesh(placement.into(mesh.vertices), mesh.faces), placed)
    sheet, is_partial = make_sheet(head), False
    if partial != "no":
        seen = without_bridges(sheet)
        is_partial = partial == "yes" or share_of_face(seen) < WHOLE
        sheet = seen if is_partial else sheet
    scan = sample_sheet(sheet, placed, generator, num_surface=num_surface, num_free=num_free)
    if is_partial:
        known = known_distances(sheet, scan.free, scan.distance)
        scan = replace(
            scan,
            free=scan.free[known],
            distance=scan.distance[known],
            gradient=scan.gradient[known],
        )
    return replace(scan, placement=placement, partial=is_partial, loose_pieces=loose)
