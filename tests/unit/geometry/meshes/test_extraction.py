"""Surfaces out of distances: exact placement, octree against the whole grid, and what is
refused.
"""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.errors import ConfigError, GeometryError
from facemorph.geometry.meshes.extraction import extract_surface

pytest.importorskip("igl", reason="the extra `scans` is not installed")


def ball(centre=(0.0, 0.0, 0.0), radius=0.5):
    place = torch.tensor(centre)
    return lambda points: (points - place).norm(dim=1) - radius


def test_vertices_of_a_sphere_are_where_the_sphere_is():
    """To a hundredth of a millimetre (1 is 100 mm); the released code is off by half of one."""
    centre = (0.21, -0.13, 0.07)
    found = extract_surface(ball(centre, 0.6), 256)
    distance = (found.mesh.vertices - torch.tensor(centre)).norm(dim=1) - 0.6
    assert float(distance.abs().max()) < 1e-4
    assert float((found.mesh.vertices - torch.tensor(centre)).mean(0).abs().max()) < 2e-4
    a, b, c = found.mesh.vertices.double()[found.mesh.faces].unbind(1)
    cross = torch.linalg.cross(b - a, c - a)
    assert float(cross.norm(dim=1).sum() / 2) == pytest.approx(4 * math.pi * 0.36, rel=1e-3)
    outwards = (cross * (a - torch.tensor(centre))).sum(1)
    assert bool((outwards >= 0).all())
    assert found.evaluations * 15 < 256**3


def test_a_plane_is_flat():
    found = extract_surface(lambda points: points[:, 2] - 0.1234, 64, radius=None)
    assert float((found.mesh.vertices[:, 2] - 0.1234).abs().max()) < 1e-6
    assert float(found.mesh.vertices[:, 0].min()) == pytest.approx(-1, abs=1e-6)
    assert float(found.mesh.vertices[:, 0].max()) == pytest.approx(1, abs=1e-6)


def test_octree_and_whole_grid_make_the_same_mesh():
    def field(points):
        """Two balls and a wavy sheet."""
        one, two = ball((0.3, 0.2, 0.1), 0.3)(points), ball((-0.4, -0.1, 0.0), 0.25)(points)
        sheet = (points[:, 2] + 0.5 + 0.05 * (6 * points[:, 0]).sin()) / 1.1
        return torch.minimum(torch.minimum(one, two), sheet)

    sparse, dense = extract_surface(field, 64), extract_surface(field, 64, dense=True)
    assert sparse.evaluations < 0.5 * dense.evaluations
    assert len(sparse.mesh.faces) == len(dense.mesh.faces)
    key = [
        mesh.vertices[torch.argsort((mesh.vertices * torch.tensor([1e6, 1e3, 1.0])).round().sum(1))]
        for mesh in (sparse.mesh, dense.mesh)
    ]
    assert float((key[0].mean(0) - key[1].mean(0)).abs().max()) < 1e-6
    area = [
        float(
            torch.linalg.cross(
                *(mesh.vertices[mesh.faces[:, k]] - mesh.vertices[mesh.faces[:, 0]] for k in (1, 2))
            )
            .norm(dim=1)
            .sum()
        )
        for mesh in (sparse.mesh, dense.mesh)
    ]
    assert area[0] == pytest.approx(area[1], rel=1e-5)


def test_steep_fields_need_more_safety():
    steep = ball((0.1, 0.0, 0.0), 0.4)
    with pytest.raises(GeometryError, match="no surface"):
        extract_surface(lambda points: 50 * steep(points) + 0.0, 64, safety=1.0)
    found = extract_surface(lambda points: 3 * steep(points), 64, safety=3.0)
    assert (
        float(((found.mesh.vertices - torch.tensor([0.1, 0, 0])).norm(dim=1) - 0.4).abs().max())
        < 1e-3
    )
    assert len(extract_surface(lambda points: 50 * steep(points), 64, dense=True).mesh.faces) > 1000


def test_only_the_ball_is_looked_at():
    found = extract_surface(lambda points: points[:, 2], 64, radius=0.5)
    assert float(found.mesh.vertices.norm(dim=1).max()) < 0.5 + 2 / 64 * math.sqrt(3)


def test_what_cannot_be_extracted():
    for resolution in (16, 100, 2048):
        with pytest.raises(ConfigError, match="resolution"):
            extract_surface(ball(), resolution)
    with pytest.raises(ConfigError, match="safety"):
        extract_surface(ball(), 64, safety=0.5)
    with pytest.raises(GeometryError, match="no surface"):
        extract_surface(lambda points: torch.ones(len(points)), 64)
    with pytest.raises(GeometryError, match="both signs"):
        extract_surface(lambda points: torch.full((len(points),), 0.001), 32, dense=True)
    with pytest.raises(GeometryError, match="not numbers"):
        extract_surface(lambda points: points[:, 0] / 0, 32)
