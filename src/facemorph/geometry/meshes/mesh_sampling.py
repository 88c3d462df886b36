"""Points on meshes, evenly by area, and distances from surfaces that are known by such points."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.meshes.mesh_files import Mesh


def sample_area(mesh: Mesh, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points ``(count, 3)`` and the unit normals ``(count, 3)`` of their triangles, float32.

    Args:
        mesh: Triangles; those without area get no point.
        count: Number of points.
        generator: Of the choice.

    Raises:
        GeometryError: No triangle has an area.

    Source: Osada et al., Shape Distributions (2002), for points of a triangle.
    """
    corners = mesh.vertices.double()[mesh.faces]
    cross = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    double_area = cross.norm(dim=1)
    if not len(double_area) or not float(double_area.sum()) > 0:
        raise GeometryError(
            "no triangle of this mesh has an area", where="faces", found=len(double_area)
        )
    # By the running sum: torch.multinomial takes no more than 2^24 triangles.
    place = torch.rand(count, generator=generator, dtype=torch.float64) * double_area.sum()
    chosen = torch.searchsorted(double_area.cumsum(0), place).clamp(max=len(double_area) - 1)
    u, v = torch.rand(2, count, generator=generator, dtype=torch.float64)
    root = u.sqrt()
    weights = torch.stack([1 - root, root * (1 - v), root * v], 1)
    points = (corners[chosen] * weights[..., None]).sum(1)
    return points.float(), (cross[chosen] / double_area[chosen, None].clamp(min=1e-300)).float()


def distances_from_samples(
    points: Tensor, surface: Tensor, normals: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances ``(N,)`` of points from a sampled surface, and the nearest samples.

    Beside the nearest sample, up to the samples' own distance, the surface is its plane.
    """
    tree = cKDTree(surface.numpy())
    gap, nearest = tree.query(points.numpy(), workers=1)
    apart = float(np.percentile(tree.query(surface[::100].numpy(), 3)[0][:, -1], 95))
    index, distance = torch.from_numpy(nearest), torch.from_numpy(gap).float()
    across = ((points - surface[index]) * normals[index]).sum(1).abs()
    along = (distance.square() - across.square()).clamp(min=0).sqrt()
    return torch.where(along < apart, across, distance), index
