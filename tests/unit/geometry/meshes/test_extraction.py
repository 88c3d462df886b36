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
    assert found.evaluations * 25 < 256**3


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


def waves(amplitude, points, seed=1):
    """A ball's distance with details of every direction and length down to two coarse cells."""
    generator = torch.Generator().manual_seed(seed)
    directions, phases = (
        torch.randn(40, 3, generator=generator) * 20,
        torch.rand(40, generator=generator) * 2 * math.pi,
    )
    swell = (points @ directions.T + phases).sin().mean(1) * 40**0.5
    return points.norm(dim=1) - 0.5 + amplitude * swell


def missing(dense, sparse):
    """Vertices of one mesh that the other does not have."""
    rounded = [
        {tuple(row) for row in (found.mesh.vertices * 1e5).round().long().tolist()}
        for found in (dense, sparse)
    ]
    return rounded[0] - rounded[1]


@pytest.mark.slow
@pytest.mark.parametrize("amplitude", [0.028, 0.056, 0.084])
def test_nothing_of_a_crude_field_is_dropped(amplitude):
    """Up to 6 times steeper than a distance: holes and lost vertices before steepness was
    measured and surfaces were followed (the larger ones 9 % and 25 % of the triangles).
    """

    def field(points):
        return waves(amplitude, points)

    sparse, dense = extract_surface(field, 128), extract_surface(field, 128, dense=True)
    assert sparse.evaluations < 0.3 * dense.evaluations
    assert len(sparse.mesh.faces) == len(dense.mesh.faces)
    assert len(missing(dense, sparse)) <= 2  # one that is rounded elsewhere


@pytest.mark.slow
def test_a_surface_is_followed_where_the_octree_loses_it():
    """A sheet with a dent whose slope no cell's centre shows: narrower than the coarse cells."""

    def field(points):
        x, y, z = points.unbind(1)
        return z - 0.3 * torch.exp(-((x - 0.031) ** 2 + (y - 0.031) ** 2) / 0.02**2)

    sparse = extract_surface(field, 128, radius=None)
    dense = extract_surface(field, 128, radius=None, dense=True)
    assert float(sparse.mesh.vertices[:, 2].max()) > 0.25
    assert len(sparse.mesh.faces) == len(dense.mesh.faces)
    assert not missing(dense, sparse)


def test_steep_fields_are_measured():
    steep = ball((0.1, 0.0, 0.0), 0.4)
    for times in (3, 50):
        found, dense = (
            extract_surface(lambda points, times=times: times * steep(points), 64, dense=whole)
            for whole in (False, True)
        )
        off = (found.mesh.vertices - torch.tensor([0.1, 0, 0])).norm(dim=1) - 0.4
        assert float(off.abs().max()) < 1e-3
        assert len(found.mesh.faces) == len(dense.mesh.faces)
        assert found.evaluations < 0.4 * dense.evaluations


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
