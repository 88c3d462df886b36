"""Where a sheet ends: its outline over (x, y), parts that a triangulation has bridged, and what is
known beyond.

A sheet is a height z over (x, y), so whatever a scan has missed lies over (x, y) outside of the
sheet's outline.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy.spatial import ConvexHull
from torch import Tensor

from facemorph.errors import GeometryError, MissingExtra
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.sphere_cut import compacted
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.scans.scan_placement import NOSE, NOSE_PLACE, UNIT, mean_landmarks

EXTRA = "pip install 'facemorph-torch[scans]'"
SMALLEST_GAP = 0.05  # radius of an empty circle that is a gap: 5 mm
GAP_OF_SAMPLING = 3.0  # or so many times the usual one, where a scan is coarse
CONVEX = 1e-5  # of the hull's area that may be missing


def without_bridges(sheet: Mesh) -> Mesh:
    """A sheet without the triangles that bridge gaps: those whose circumcircle over (x, y) is
    large.

    No vertex lies in the circumcircle of a Delaunay triangle, so a gap is where an empty circle of
    more than 5 mm, and of three times the scan's own sampling (nine tenths of its circles are
    smaller than that), fits.

    Raises:
        GeometryError: Nothing is left.

    Source: Edelsbrunner, Kirkpatrick and Seidel 1983 (alpha shapes).
    """
    corners = sheet.vertices[:, :2].double()[sheet.faces]
    sides = (corners - corners.roll(1, 1)).norm(dim=2)
    radius = sides.prod(1) / (2 * _double_area(corners)).clamp(min=1e-300)
    kept = radius <= max(SMALLEST_GAP, GAP_OF_SAMPLING * float(np.quantile(radius.numpy(), 0.9)))
    if not bool(kept.any()):
        raise GeometryError("nothing is left of this scan", where="faces", found=len(sheet.faces))
    return compacted(sheet.vertices, sheet.faces[kept])


def _double_area(corners: Tensor) -> Tensor:
    """Twice the area ``(F,)`` of triangles ``(F, 3, 2)``."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs()


def outline_of(sheet: Mesh) -> Callable[[Tensor], Tensor]:
    """Which of points ``(N, 3)`` lie before or behind a sheet, ``(N,)``: within its outline over
    (x, y).

    Raises:
        MissingExtra: The sheet is not convex over (x, y), and the package libigl is not installed.
    """
    flat = sheet.vertices[:, :2].double()
    hull = ConvexHull(flat.numpy())
    bounds = torch.from_numpy(hull.equations)
    whole = float(_double_area(flat[sheet.faces]).sum()) / 2 >= (1 - CONVEX) * hull.volume

    def within(points: Tensor) -> Tensor:
        place = points[:, :2].double()
        inside = (place @ bounds[:, :2].T + bounds[:, 2] <= 1e-9).all(1)
        if not whole and bool(inside.any()):
            inside[inside.clone()] = _flat_distance(place[inside], flat, sheet.faces) <= 1e-9
        return inside

    return within


def _flat_distance(points: Tensor, vertices: Tensor, simplices: Tensor) -> Tensor:
    """Distances ``(N,)`` of points ``(N, 2)`` from triangles or edges ``(F, 3 or 2)`` of vertices
    ``(V, 2)``.
    """
    try:
        import igl
    except ImportError as error:
        raise MissingExtra("scans need the package libigl", where="libigl", remedy=EXTRA) from error
    pad = torch.nn.functional.pad
    squared, _, _ = igl.point_mesh_squared_distance(
        pad(points, (0, 1)).numpy(),
        pad(vertices, (0, 1)).numpy(),
        simplices.numpy().astype(np.int64),
    )
    return torch.from_numpy(np.sqrt(np.asarray(squared))).reshape(-1)


def over_sheet(mesh: Mesh, sheet: Mesh) -> Mesh:
    """The triangles of a mesh that lie before or behind a sheet: with all corners in its outline
    over (x, y).

    A sheet ends at its outline, and nothing is known of the surface beyond it.

    Raises:
        GeometryError: There are none.
        MissingExtra: The package libigl is not installed.
    """
    return _within(mesh, outline_of(sheet)(mesh.vertices))


def over_face(mesh: Mesh, sheet: Mesh) -> Mesh:
    """The triangles of a mesh that lie before or behind a sheet's convex outline or the embedded
    head's.

    Raises:
        GeometryError: There are none.
    """
    hull = torch.cat([sheet.vertices[:, :2], _head_outline()]).double()
    bounds = torch.from_numpy(ConvexHull(hull.numpy()).equations)
    place = mesh.vertices[:, :2].double()
    return _within(mesh, (place @ bounds[:, :2].T + bounds[:, 2] <= 1e-9).all(1))


def _within(mesh: Mesh, inside: Tensor) -> Mesh:
    faces = mesh.faces[inside[mesh.faces].all(1)]
    if not len(faces):
        raise GeometryError(
            "nothing of this surface lies over the scan", where="faces", found=len(mesh.faces)
        )
    return compacted(mesh.vertices, faces)


def known_distances(sheet: Mesh, points: Tensor, distance: Tensor) -> Tensor:
    """Where the distance to a part of a surface is that to the whole of it, ``(N,)`` bool.

    What is missing lies over (x, y) outside of the outline. So a point over the sheet that is
    nearer to it than to the outline over (x, y) has no missing part that is nearer; of any other
    point it is not known.

    Args:
        sheet: The part that is there.
        points: ``(N, 3)``.
        distance: ``(N,)`` of the points from the sheet, signed or not.

    Raises:
        MissingExtra: The package libigl is not installed.
    """
    over = outline_of(sheet)(points)
    edges = (
        torch.cat([sheet.faces[:, [0, 1]], sheet.faces[:, [1, 2]], sheet.faces[:, [2, 0]]])
        .sort(1)
        .values
    )
    unique, count = edges.unique(dim=0, return_counts=True)
    aside = _flat_distance(
        points[:, :2].double(), sheet.vertices[:, :2].double(), unique[count == 1]
    )
    return over & (distance.double().abs() <= aside)


@cache
def head_points() -> Tensor:
    """Vertices ``(V, 3)`` of the embedded mean head's skin in ImFace's space."""
    model = load_makehuman()
    skin = model.topology.faces[
        model.topology.face_component == model.topology.components.index("skin")
    ].unique()
    return _placed(model.mean[skin])


@cache
def _face_points() -> Tensor:
    """Those of its face that are well within the unit ball."""
    model = load_makehuman()
    points = _placed(model.mean[model.topology.masks["face"]])
    return points[points.norm(dim=1) < 0.9]


def _placed(points: Tensor) -> Tensor:
    return (points - mean_landmarks()[NOSE]) / UNIT + points.new_tensor(NOSE_PLACE)


@cache
def _head_outline() -> Tensor:
    """Corners ``(C, 2)`` of the outline over (x, y) of the embedded head inside the unit ball."""
    points = head_points()
    flat = points[points.norm(dim=1) <= 1][:, :2]
    return flat[torch.from_numpy(ConvexHull(flat.double().numpy()).vertices).long()]


def share_of_face(sheet: Mesh) -> float:
    """The share of the embedded mean head's face that lies before or behind a sheet, 0 to 1.

    Raises:
        MissingExtra: The package libigl is not installed.
    """
    return float(outline_of(sheet)(_face_points()).float().mean())
