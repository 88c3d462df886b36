"""How well a fitted face agrees with a scan: over all of the face, not only where a fit met it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.mesh_sampling import distances_from_samples, sample_area
from facemorph.geometry.meshes.orientation import welded
from facemorph.geometry.models.morphable_model import MorphableModel

EXPLAINED = 2.0  # mm within which a scan's point is explained by the face
MARGIN = 30.0  # mm around the face that still belong to its scan: hair, a beard
SAMPLES = 100_000
FEWEST_COVERED = 0.1  # less than this share of the face: the scan is all border, as a triangle soup


@dataclass(frozen=True)
class ScanAgreement:
    """Figures of a face beside its scan, in millimetres and shares.

    Attributes:
        mean: Distance from the face's vertices to the scan, over all that the scan covers.
        percentile_95: What 95 % of them stay below.
        covered: Share of the face that the scan covers: its nearest place is not the scan's border.
        scan_mean: Distance the other way, from the scan's face to the fitted one.
        scan_percentile_95: What 95 % of it stay below.
        explained: Share of the scan's face that is nearer than ``EXPLAINED``.
    """

    mean: float
    percentile_95: float
    covered: float
    scan_mean: float
    scan_percentile_95: float
    explained: float


def scan_agreement(model: MorphableModel, vertices: Tensor, scan: Mesh) -> ScanAgreement:
    """How far a face of a model is from a scan, both ways.

    Args:
        model: Its ``face`` mask says what the face is.
        vertices: ``(V, 3)`` millimetres.
        scan: In the model's frame and millimetres.

    Raises:
        GeometryError: The scan has no area near the face.
    """
    mask, faces = model.topology.masks["face"], model.topology.faces
    low, high = vertices[mask].amin(0) - MARGIN, vertices[mask].amax(0) + MARGIN
    corners = scan.vertices[scan.faces]
    inside = ((corners > low) & (corners < high)).all(-1).all(-1)
    near = Mesh(scan.vertices, scan.faces[inside])
    generator = torch.Generator().manual_seed(0)
    points, normals = sample_area(near, SAMPLES, generator)
    there, index = distances_from_samples(vertices[mask], points, normals)
    covered = ~_at_border(points[index], scan)
    if float(covered.float().mean()) < FEWEST_COVERED:
        covered = torch.ones_like(covered)
    to_scan = there[covered].numpy()

    of_face = mask[faces].all(1)
    own, own_normals = sample_area(Mesh(vertices, faces[of_face]), SAMPLES, generator)
    other, other_normals = sample_area(Mesh(vertices, faces[~of_face]), SAMPLES, generator)
    back, nearest = distances_from_samples(
        points, torch.cat([own, other]), torch.cat([own_normals, other_normals])
    )
    of_scan = back[(nearest < SAMPLES) & (back < MARGIN)].numpy()
    if not len(of_scan):
        of_scan = back.numpy()
    return ScanAgreement(
        float(to_scan.mean()),
        float(np.percentile(to_scan, 95)),
        float(covered.float().mean()),
        float(of_scan.mean()),
        float(np.percentile(of_scan, 95)),
        float((of_scan < EXPLAINED).mean()),
    )


def _at_border(points: Tensor, scan: Mesh) -> Tensor:
    """Whether the scan's vertex nearest to each point ``(N, 3)`` is on its border ``(N,)``."""
    places = welded(scan)
    edges = torch.cat([places[:, [0, 1]], places[:, [1, 2]], places[:, [2, 0]]]).sort(1).values
    unique, count = edges.unique(dim=0, return_counts=True)
    border = torch.zeros(int(places.max()) + 1, dtype=torch.bool)
    border[unique[count == 1].flatten()] = True
    used = torch.zeros(len(scan.vertices), dtype=torch.bool)
    used[scan.faces.flatten()] = True
    flags = torch.zeros(len(scan.vertices), dtype=torch.bool)
    flags[scan.faces.flatten()] = border[places.flatten()]
    _, nearest = cKDTree(scan.vertices[used].numpy()).query(points.numpy(), workers=1)
    return flags[used][torch.from_numpy(nearest)]
