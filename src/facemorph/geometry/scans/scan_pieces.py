"""Loose pieces of scans: those of the head stay, clothes, background and what floats before the
face go.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import median
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.sphere_cut import compacted
from facemorph.geometry.scans.sheet_outlines import head_points

WELDED = 1e-5  # vertices nearer than this, 0.001 mm, are one
ON_HEAD = 0.2  # 20 mm: half of a piece's vertices are as near to the mean head


def pieces_of_head(mesh: Mesh, landmarks: Tensor) -> tuple[Mesh, int]:
    """A scan without the pieces that hang on nothing of the head, and how many these were.

    A piece stays where it is the nearest one to a landmark, or where it lies about where the
    embedded mean head has its skin, as eyeballs, ears and parts of a torn scan do. A scan in one
    piece stays as it is.

    Args:
        mesh: In ImFace's space; vertices at one place are taken for one.
        landmarks: ``(68, 3)`` there; rows of NaN where one is missing.
    """
    _, welded = np.unique(
        np.round(mesh.vertices.double().numpy() / WELDED), axis=0, return_inverse=True
    )
    corners = welded.reshape(-1)[mesh.faces.numpy()]
    total = int(welded.max()) + 1
    edges = (
        np.ones(2 * len(corners), dtype=bool),
        (corners[:, [0, 1]].ravel(), corners[:, [1, 2]].ravel()),
    )
    _, piece = connected_components(coo_matrix(edges, shape=(total, total)), directed=False)
    used = mesh.faces.unique().numpy()  # vertices of no triangle are pieces of nothing
    names, own = np.unique(piece[welded.reshape(-1)[used]], return_inverse=True)
    if len(names) == 1:
        return mesh, 0
    points = mesh.vertices.double().numpy()[used]
    known = landmarks[torch.isfinite(landmarks).all(1)].double().numpy()
    stay = np.ones(len(names), dtype=bool)
    inside = np.linalg.norm(points, axis=1) < 1  # only what is inside the ball can disturb
    if not inside.any():
        return mesh, 0
    distance = cKDTree(head_points().double().numpy()).query(points, workers=1)[0]
    present = np.unique(own[inside])
    stay[present] = np.asarray(median(distance[inside], own[inside], present)) <= ON_HEAD
    stay[own[cKDTree(points).query(known, workers=1)[1]]] = True
    if bool(stay.all()):
        return mesh, 0
    kept = torch.zeros(len(mesh.vertices), dtype=torch.bool)
    kept[torch.from_numpy(used[stay[own]])] = True
    return compacted(mesh.vertices, mesh.faces[kept[mesh.faces[:, 0]]]), int((~stay).sum())
