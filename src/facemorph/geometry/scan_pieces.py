"""Loose pieces of scans: those of the head stay, clothes, background and what floats before the face go."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph.geometry.mesh_files import Mesh
from facemorph.geometry.sheet_outlines import head_points
from facemorph.geometry.sphere_cut import compacted

WELDED = 1e-5                                   # vertices nearer than this, 0.001 mm, are one
ON_HEAD = 0.2                                   # 20 mm: half of a piece's vertices are as near to the mean head
AT_LANDMARK = 0.05                              # 5 mm: a piece that a landmark lies on


def pieces_of_head(mesh: Mesh, landmarks: Tensor) -> tuple[Mesh, int]:
    """A scan without the pieces that hang on nothing of the head, and how many these were.

    A piece stays where a landmark lies on it, or where it lies about where the embedded mean head has its skin, as
    eyeballs, ears and parts of a torn scan do. A scan in one piece stays as it is.

    Args:
        mesh: In ImFace's space; vertices at one place are taken for one.
        landmarks: ``(68, 3)`` there; rows of NaN where one is missing.
    """
    _, welded = np.unique(np.round(mesh.vertices.double().numpy() / WELDED), axis=0, return_inverse=True)
    corners = welded.reshape(-1)[mesh.faces.numpy()]
    total = int(welded.max()) + 1
    edges = (np.ones(2 * len(corners), dtype=bool), (corners[:, [0, 1]].ravel(), corners[:, [1, 2]].ravel()))
    _, piece = connected_components(coo_matrix(edges, shape=(total, total)), directed=False)
    own = piece[corners[:, 0]]                                    # of each triangle
    names, own = np.unique(own, return_inverse=True)              # vertices of no triangle are pieces of nothing
    if len(names) == 1:
        return mesh, 0
    known = landmarks[torch.isfinite(landmarks).all(1)].double().numpy()
    middle = mesh.vertices.double()[mesh.faces].mean(1).numpy()
    away, nearest = cKDTree(middle).query(known, workers=1)
    held = set(own[nearest[away < AT_LANDMARK]].tolist()) | {int(own[nearest[np.argmin(away)]])}
    inside = (np.linalg.norm(middle, axis=1) < 1)                 # only what is inside the ball can disturb
    distance = cKDTree(head_points().double().numpy()).query(middle, workers=1)[0]
    stay = np.array([number in held or not inside[own == number].any()
                     or float(np.median(distance[(own == number) & inside])) <= ON_HEAD
                     for number in range(len(names))])
    if bool(stay.all()):
        return mesh, 0
    return compacted(mesh.vertices, mesh.faces[torch.from_numpy(stay[own])]), int((~stay).sum())
