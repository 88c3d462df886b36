"""Cutting a mesh to the inside of a sphere, with new vertices exactly on it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import GeometryError
from facemorph.geometry.meshes.extraction import Distance, Extraction, extract_surface
from facemorph.geometry.meshes.mesh_files import Mesh

EVALUATED = 50_000  # points at a time: 26 MB for each layer of 128


def cut_to_sphere(mesh: Mesh, radius: float) -> Mesh:
    """The part of a mesh inside a sphere around the origin.

    Triangles with all corners inside stay; one or two corners inside give one or two triangles
    whose new corners lie on the sphere, where the edges cross it. New vertices are shared between
    neighbours.

    Args:
        mesh: Any triangles.
        radius: In the mesh's unit.

    Returns:
        Vertices and triangles alone: those inside, in their order, then the new ones.

    Raises:
        GeometryError: Nothing of the mesh is inside.

    Source: Zheng et al., ImFace (CVPR 2022), preprocessing; there the crossing is searched by
    bisection along x, which never ends on an edge with one x. Here it is the root of a quadratic
    equation.
    """
    vertices, faces = mesh.vertices.double(), mesh.faces
    inside = vertices.square().sum(1) <= radius**2
    count = inside[faces].sum(1)
    if not bool((count > 0).any()):
        raise GeometryError(
            "nothing of this mesh lies inside the sphere",
            where="radius",
            found=radius,
            remedy="Check its landmarks and its unit.",
        )
    partial = faces[(count == 1) | (count == 2)]
    # Turned so that the corner that differs from the other two is the first.
    odd = inside[partial] == (inside[partial].sum(1, keepdim=True) == 1)
    first = odd.int().argmax(1)
    turned = partial.gather(1, (first[:, None] + torch.arange(3)) % 3)
    edges = torch.cat([turned[:, [0, 1]], turned[:, [0, 2]]])
    unique, which = np.unique(np.sort(edges.numpy(), axis=1), axis=0, return_inverse=True)
    crossing = _crossings(vertices, torch.from_numpy(unique), radius)
    new = len(vertices) + torch.from_numpy(which.reshape(-1)).view(2, -1)
    alone = inside[turned[:, 0]]  # only the first corner is inside
    one = torch.stack([turned[alone, 0], new[0, alone], new[1, alone]], 1)
    two = torch.stack([turned[~alone, 1], turned[~alone, 2], new[1, ~alone]], 1)
    three = torch.stack([turned[~alone, 1], new[1, ~alone], new[0, ~alone]], 1)
    joined = torch.cat([faces[count == 3], one, two, three])
    return compacted(torch.cat([vertices, crossing]).to(mesh.vertices.dtype), joined)


def _crossings(vertices: Tensor, edges: Tensor, radius: float) -> Tensor:
    """Where edges ``(E, 2)``, one end inside and one outside, cross the sphere: ``(E, 3)``."""
    start, way = vertices[edges[:, 0]], vertices[edges[:, 1]] - vertices[edges[:, 0]]
    a, b, c = way.square().sum(1), (start * way).sum(1), start.square().sum(1) - radius**2
    root = (b * b - a * c).clamp(min=0).sqrt()
    # c < 0: the start is inside and the crossing is the larger root; else the smaller one. Each
    # without cancellation.
    share = torch.where(
        c <= 0, -c / (b + root).clamp(min=1e-300), c / (-b + root).clamp(min=1e-300)
    )
    stable = torch.where((c <= 0) & (b < 0), (root - b) / a, share)
    return start + stable.clamp(0, 1)[:, None] * way


@torch.no_grad()
def surface_in_ball(
    distance: Distance, resolution: int, *, dense: bool = False, device: torch.device | None = None
) -> Extraction:
    """The surface of a signed distance in the unit ball.

    Args:
        distance: Points ``(N, 3)`` to distances ``(N,)``.
        resolution: See ``extract_surface``, here and below.
        dense: See there.
        device: Where the distance is evaluated.

    Raises:
        ConfigError: The resolution is none of the possible ones.
        GeometryError: The field has no surface.
    """

    def evaluated(points: Tensor) -> Tensor:
        return torch.cat([distance(part.to(device)) for part in points.split(EVALUATED)])

    found = extract_surface(evaluated, resolution, dense=dense)
    return Extraction(cut_to_sphere(found.mesh, 1.0), found.evaluations)


def compacted(vertices: Tensor, faces: Tensor) -> Mesh:
    """A mesh without the vertices that no triangle has."""
    used = torch.zeros(len(vertices), dtype=torch.bool)
    used[faces.flatten()] = True
    number = torch.cumsum(used, 0) - 1
    return Mesh(vertices[used], number[faces])
