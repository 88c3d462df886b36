"""Which way triangles face: a scan whose triangles face inwards would show its face from behind,
through the head, as a mirror image.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from facemorph.geometry.meshes.mesh_files import Mesh


def facing_outwards(mesh: Mesh) -> Mesh:
    """The mesh with the triangles turned over that face inwards; itself where none does.

    First those that face another way than most of the piece that they belong to, then all if most
    of the surface faces its own middle. Where the middle lies does not matter for a closed
    surface, by the divergence theorem; an open one is thought to bulge outwards, as faces do.
    """
    wrong = _against_neighbours(mesh)
    corners = mesh.vertices[mesh.faces].double()
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normal = torch.where(wrong[:, None], -normal, normal)
    middle, area = corners.mean(1), normal.norm(dim=1, keepdim=True)
    centre = (middle * area).sum(0) / area.sum().clamp(min=1e-30)
    if float(((middle - centre) * normal).sum()) < 0:
        wrong = ~wrong
    return _turned_over(mesh, wrong) if bool(wrong.any()) else mesh


def _turned_over(mesh: Mesh, chosen: Tensor) -> Mesh:
    """The mesh with some triangles ``(F,)`` turned over."""
    faces = torch.where(chosen[:, None], mesh.faces.flip(1), mesh.faces)
    if mesh.faces_uv is None:
        return replace(mesh, faces=faces)
    corners = torch.where(chosen[:, None], mesh.faces_uv.flip(1), mesh.faces_uv)
    return replace(mesh, faces=faces, faces_uv=corners)


def welded(mesh: Mesh) -> Tensor:
    """Triangles ``(F, 3)`` of places instead of vertices: those at one place are one, as on the two
    sides of a seam of the texture.
    """
    rows = np.ascontiguousarray(mesh.vertices.numpy() + 0.0)  # -0 and 0 are one number
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * 3))).ravel()
    place = np.unique(keys, return_inverse=True)[1].reshape(-1)
    return torch.from_numpy(place.astype(np.int64))[mesh.faces]


def _against_neighbours(mesh: Mesh) -> Tensor:
    """Triangles ``(F,)`` that face another way than most of the area of their piece.

    Each triangle is two nodes of a graph: as it is, and turned over. Neighbours link the nodes in
    which they agree, so that each piece becomes two components, of which one is turned over.
    """
    faces, count = welded(mesh).numpy(), len(mesh.faces)
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    owner = np.tile(np.arange(count), 3)
    forward = edges[:, 0] < edges[:, 1]
    low, high = edges.min(1), edges.max(1)
    order = np.lexsort((high, low))
    low, high, owner, forward = low[order], high[order], owner[order], forward[order]
    start = np.r_[True, (low[1:] != low[:-1]) | (high[1:] != high[:-1])].nonzero()[0]
    # An edge with one or three triangles tells nothing.
    first = start[np.diff(np.r_[start, len(low)]) == 2]
    one, other = owner[first], owner[first + 1]
    same = forward[first] != forward[first + 1]
    links = np.concatenate(
        [
            np.stack([one, np.where(same, other, other + count)]),
            np.stack([one + count, np.where(same, other + count, other)]),
        ],
        1,
    )
    graph = coo_matrix((np.ones(links.shape[1], bool), (links[0], links[1])), (2 * count,) * 2)
    label = connected_components(graph, directed=False)[1]
    as_is, over = label[:count], label[count:]
    side, piece = as_is > over, np.minimum(as_is, over)
    corners = mesh.vertices.double().numpy()[mesh.faces.numpy()]
    area = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    on_side, on_other = (
        np.bincount(piece, area * chosen, minlength=2 * count) for chosen in (side, ~side)
    )
    turn = np.where(side, (on_side < on_other)[piece], (on_other < on_side)[piece])
    # A band with a twist (as_is == over) has no two sides.
    return torch.from_numpy(turn & (as_is != over))
