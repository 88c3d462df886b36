"""Triangle meshes: normals, and values filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    import numpy as np


def face_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Normals of triangles, as long as twice their area.

    Args:
        vertices: ``(B, V, 3)``.
        faces: ``(F, 3)``, counter-clockwise as seen from outside.

    Returns:
        ``(B, F, 3)``, pointing outwards.
    """
    a, b, c = (vertices.index_select(1, faces[:, corner]) for corner in range(3))
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals at the vertices: mean of the triangles around each, weighted with their areas.

    Differentiable, on a CPU once. A vertex without a triangle, or only with degenerate ones, has
    the normal 0.

    Args:
        vertices: ``(B, V, 3)``.
        faces: ``(F, 3)``, counter-clockwise as seen from outside.

    Returns:
        ``(B, V, 3)``.
    """
    if vertices.device.type != "cpu":
        return vertex_normals_torch(vertices, faces)
    if torch.is_grad_enabled() and vertices.requires_grad:
        total: Tensor = _SummedNormals.apply(vertices, faces)
        return torch.nn.functional.normalize(total, dim=-1)
    from facemorph.ops.meshes_numba import make_unit, sum_normals

    normals = torch.zeros_like(vertices, memory_format=torch.contiguous_format).detach()
    sum_normals(*_arrays(vertices, faces, normals))
    make_unit(normals.numpy())
    return normals


class _SummedNormals(torch.autograd.Function):
    """Sums of the normals of the triangles around vertices, in compiled loops both ways."""

    @staticmethod
    def forward(vertices: Tensor, faces: Tensor) -> Tensor:
        """The sums ``(B, V, 3)``."""
        from facemorph.ops.meshes_numba import sum_normals

        total = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
        sum_normals(*_arrays(vertices, faces, total))
        return total

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Keep vertices and triangles."""
        context.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(context: Any, wanted: Tensor) -> tuple[Tensor, None]:
        """The gradient of the vertices."""
        from facemorph.ops.meshes_numba import pull_normals

        vertices, faces = context.saved_tensors
        moved = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
        pull_normals(*_arrays(vertices, faces, wanted, moved))
        return moved, None


def _arrays(*tensors: Tensor) -> list[np.ndarray[Any, Any]]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def vertex_normals_torch(vertices: Tensor, faces: Tensor) -> Tensor:
    """``vertex_normals`` in plain torch: for gradients, other devices, and as the other's test."""
    flat = face_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(1, faces[:, corner], flat)
    return torch.nn.functional.normalize(total, dim=-1)


def filled_values(faces: Tensor, values: Tensor, known: Tensor) -> Tensor:
    """Values of some vertices from those of the others: each unknown one is the mean of its
    neighbours.

    A part of the mesh without any known vertex gets the mean of all known values.

    Args:
        faces: ``(F, 3)``.
        values: ``(V, C)``.
        known: ``(V,)`` bool; values elsewhere are not looked at.

    Returns:
        ``(V, C)``; zeros where nothing is known.

    Source: the discrete Laplace equation with the graph's weights.
    """
    filled = torch.where(known[:, None], values, torch.zeros_like(values))
    if bool(known.all()) or not bool(known.any()):
        return filled
    import numpy as np
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import splu

    count, corners, held = len(values), faces.cpu().numpy(), known.cpu().numpy()
    edges = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    links = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count)).tocsr()
    links = ((links + links.T) > 0).astype(np.float64)
    parts, part = connected_components(links, directed=False)
    reached = np.zeros(parts, dtype=bool)
    reached[part[held]] = True
    open_, lost = ~held & reached[part], ~held & ~reached[part]
    table = filled.detach().cpu().double().numpy().copy()
    if open_.any():
        inner = (diags(np.asarray(links.sum(1)).ravel()) - links)[open_]
        table[open_] = splu(inner[:, open_].tocsc()).solve(-(inner[:, held] @ table[held]))
    table[lost] = table[held].mean(0)
    return torch.from_numpy(table).to(values)
