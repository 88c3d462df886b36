"""Figures of a face beside a scan: exact distances, what the scan does not cover, both ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facemorph.geometry.fitting.scan_agreement import scan_agreement
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.models.makehuman import load_makehuman


@pytest.fixture(scope="module")
def model():
    return load_makehuman()


def exact_distances(points, triangles):
    """Distances of points from the nearest triangle, one point after the other."""
    a, b, c = (triangles[:, corner] for corner in range(3))
    normal = np.cross(b - a, c - a)
    square = (normal**2).sum(1).clip(1e-30)

    def from_edge(point, start, way):
        share = ((point - start) * way).sum(1) / (way**2).sum(1).clip(1e-30)
        return np.linalg.norm(point - start - share.clip(0, 1)[:, None] * way, axis=1)

    found = []
    for point in points:
        way = point - a
        v = (np.cross(way, c - a) * normal).sum(1) / square
        u = (np.cross(b - a, way) * normal).sum(1) / square
        plane = np.abs((way * normal).sum(1)) / np.sqrt(square)
        inside = np.where((v >= 0) & (u >= 0) & (u + v <= 1), plane, np.inf)
        edges = [from_edge(point, a, b - a), from_edge(point, a, c - a), from_edge(point, b, c - b)]
        found.append(min(inside.min(), *(edge.min() for edge in edges)))
    return np.array(found)


@pytest.mark.slow
def test_the_distances_are_those_of_every_triangle(model):
    """Of another person's head."""
    identity = model.sample(1, torch.Generator().manual_seed(1), 0.5)
    other = Mesh(model.vertices(identity)[0], model.topology.faces)
    found = scan_agreement(model, model.mean, other)
    face = model.topology.masks["face"]
    some = face.nonzero()[::8, 0]
    exact = exact_distances(
        model.mean[some].double().numpy(), other.vertices[other.faces].double().numpy()
    )
    assert found.mean == pytest.approx(exact.mean(), rel=0.1)
    assert found.percentile_95 == pytest.approx(np.percentile(exact, 95), rel=0.1)
    assert found.covered == 1
    assert found.scan_mean == pytest.approx(found.mean, rel=0.5)


def test_a_part_that_is_off_is_told(model):
    """A mouth pushed in by 6 mm, a twentieth of the face, of which the median says nothing."""
    mouth = model.landmarks(model.mean[None])[0, 48:].mean(0)
    near = (model.mean - mouth).norm(dim=1) < 28
    pushed = model.mean - 6.0 * near[:, None] * torch.tensor([0.0, 0.0, 1.0])
    found = scan_agreement(model, pushed, Mesh(model.mean, model.topology.faces))
    assert found.percentile_95 > 2.5
    assert found.scan_percentile_95 > 3
    assert found.explained < 0.99
    same = scan_agreement(model, model.mean, Mesh(model.mean, model.topology.faces))
    assert same.percentile_95 < 0.3
    assert same.explained == 1


def test_what_the_scan_has_not_does_not_count(model):
    """Half a face: the other half is not covered, and no distance."""
    faces = model.topology.faces[model.topology.masks["face"][model.topology.faces].all(1)]
    left = faces[(model.mean[faces][..., 0] > 0).all(1)]
    found = scan_agreement(model, model.mean, Mesh(model.mean, left))
    assert 0.35 < found.covered < 0.6
    assert found.mean < 0.2
    assert found.explained > 0.99


def test_a_scan_of_loose_triangles_is_measured_too(model):
    faces = model.topology.faces
    corners = model.mean[faces].flatten(0, 1)
    corners = corners + 1e-3 * torch.randn(
        corners.shape, generator=torch.Generator().manual_seed(0)
    )
    soup = Mesh(corners, torch.arange(len(corners)).view(-1, 3))
    found = scan_agreement(model, model.mean, soup)
    assert found.covered == 1
    assert found.mean < 0.2
