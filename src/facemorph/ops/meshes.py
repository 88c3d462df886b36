"""Triangle meshes: normals."""

from __future__ import annotations

import torch
from torch import Tensor


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

    Differentiable. A vertex without a triangle, or only with degenerate ones, has the normal 0.

    Args:
        vertices: ``(B, V, 3)``.
        faces: ``(F, 3)``, counter-clockwise as seen from outside.

    Returns:
        ``(B, V, 3)``.
    """
    with_gradient = torch.is_grad_enabled() and vertices.requires_grad
    if vertices.device.type == "cpu" and not with_gradient:
        from facemorph.ops.meshes_numba import sum_normals

        normals = torch.zeros_like(vertices, memory_format=torch.contiguous_format).detach()
        sum_normals(vertices.detach().contiguous().numpy(), faces.contiguous().numpy(), normals.numpy())
        return normals
    return vertex_normals_torch(vertices, faces)


def vertex_normals_torch(vertices: Tensor, faces: Tensor) -> Tensor:
    """``vertex_normals`` in plain torch: for gradients, other devices, and as the other's test."""
    flat = face_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(1, faces[:, corner], flat)
    return torch.nn.functional.normalize(total, dim=-1)
