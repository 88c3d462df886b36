"""Unfolding a surface: a known map comes back, no folds, symmetry, and its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from facemorph.errors import GeometryError
from facemorph.geometry.models.morphable_model import SurfacePoints
from facemorph.geometry.models.regions import (
    cylinder_chart,
    face_region,
    grow,
    head_parts,
    mirror_map,
    pair_up,
)
from facemorph.geometry.textures.charts import (
    boundary_loops,
    cut_open,
    fill_holes,
    islands,
    stretch,
    superellipse,
    tutte,
    unfold,
)


def dome(rings=8, spokes=24, hole=False):
    """A cap of a sphere around the z axis, symmetrical about x = 0; with a hole its middle is
    missing.
    """
    angle = np.linspace(0, np.pi / 2.2, rings + 1)[1:]
    turn = 2 * np.pi * np.arange(spokes) / spokes + np.pi / spokes
    points = [[0, 0, 1]] + [
        [np.sin(a) * np.sin(t), np.sin(a) * np.cos(t), np.cos(a)] for a in angle for t in turn
    ]
    faces = [[0, 1 + (k + 1) % spokes, 1 + k] for k in range(spokes)]
    for ring in range(rings - 1):
        inner, outer = 1 + ring * spokes, 1 + (ring + 1) * spokes
        for k in range(spokes):
            nxt = (k + 1) % spokes
            faces += [[inner + k, inner + nxt, outer + k], [inner + nxt, outer + nxt, outer + k]]
    points, faces = np.array(points), np.array(faces)
    if hole:
        points, faces = points[1:], faces[spokes:] - 1
    return points, faces


def orient(points, faces):
    corners = points[faces]
    outward = (
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) * corners.mean(1)
    ).sum(1)
    faces = faces.copy()
    faces[outward < 0] = faces[outward < 0][:, ::-1]
    return faces


def determinants(places, faces):
    first, second = (
        places[faces[:, 1]] - places[faces[:, 0]],
        places[faces[:, 2]] - places[faces[:, 0]],
    )
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


@pytest.mark.parametrize("hole", [False, True])
def test_unfolding_a_dome(hole):
    points, faces = dome(hole=hole)
    faces = orient(points, faces)
    loops = boundary_loops(faces)
    outline = max(loops, key=lambda loop: np.linalg.norm(points[loop][:, :2], axis=1).mean())
    filling = fill_holes([loop for loop in loops if loop is not outline], len(points))
    places = points[outline][:, :2] / np.linalg.norm(points[outline][:, :2], axis=1, keepdims=True)
    whole = np.concatenate([faces, filling])
    start = tutte(whole, outline, places)
    assert determinants(start, whole).min() > 0
    mirror = np.array(
        [np.linalg.norm(points - one * [-1, 1, 1], axis=1).argmin() for one in points]
    )
    mirror = np.concatenate([mirror, np.arange(len(points), len(start))])
    start = (start + start[mirror] * [-1, 1]) / 2
    found = unfold(points, faces, filling, start, outline, np.ones(len(faces)), mirror)
    assert determinants(found, whole).min() > 0
    np.testing.assert_allclose(found[mirror] * [-1, 1], found, atol=1e-9)
    np.testing.assert_array_equal(found[outline], start[outline])

    def worst(chart):
        values = stretch(points, faces, chart * [1, -1], faces)
        return values[:, 0].max() / values[:, 1].min()

    assert worst(found) < 0.6 * worst(start)
    radius = np.linalg.norm(found[: len(points)], axis=1)
    rings = radius.reshape(-1, 24) if hole else radius[1:].reshape(-1, 24)
    np.testing.assert_allclose(rings.std(1), 0, atol=0.02)  # a dome is round, and so is its chart


def test_a_flat_piece_stays_as_it_is():
    """Where a chart without stretch exists, it is found, from a disturbed start."""
    points, faces = dome()
    flat = points * [1, 1, 0]
    faces = orient(points, faces)
    outline = boundary_loops(faces)[0]
    start = tutte(faces, outline, flat[outline][:, :2])
    mirror = np.array(
        [np.linalg.norm(points - one * [-1, 1, 1], axis=1).argmin() for one in points]
    )
    none = np.zeros((0, 3), int)
    found = unfold(
        flat,
        faces,
        none,
        (start + start[mirror] * [-1, 1]) / 2,
        outline,
        np.ones(len(faces)),
        mirror,
        200,
    )
    np.testing.assert_allclose(found, flat[:, :2], atol=2e-3)
    with pytest.raises(GeometryError, match="folds"):
        unfold(flat, faces, none, start[:, ::-1].copy(), outline, np.ones(len(faces)), mirror)


def test_loops_and_cuts():
    points, faces = dome(hole=True)
    faces = orient(points, faces)
    assert [len(loop) for loop in boundary_loops(faces)] == [24, 24]
    with pytest.raises(GeometryError, match="outlines"):
        boundary_loops(np.array([[0, 1, 2], [2, 3, 4]]))
    with pytest.raises(GeometryError, match="outlines"):
        boundary_loops(np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]]))
    path = [0, 24, 48]
    opened, old = cut_open(faces[:96], path, points[faces[:96]].mean(1)[:, 0] > points[0, 0])
    assert len(old) == len(np.unique(faces[:96])) + 2
    np.testing.assert_array_equal(old[opened], faces[:96])


def test_superellipse_lies_on_its_curve():
    points = superellipse(20, 6.0)
    np.testing.assert_allclose((points**6).sum(1), 1, atol=1e-3)
    np.testing.assert_allclose(points[[0, -1]], [[1, 0], [0, 1]], atol=1e-12)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert steps.std() / steps.mean() < 0.03


def test_islands_share_no_corner():
    number = islands(np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6]]))
    assert number[0] == number[1] != number[2]


def test_regions():
    points, faces = dome()
    faces = torch.from_numpy(orient(points, faces))
    mean = torch.from_numpy(points)
    mirror = mirror_map(mean, 1e-6)
    torch.testing.assert_close(mean[mirror] * torch.tensor([-1, 1, 1]), mean)
    torch.testing.assert_close(pair_up(mean, torch.ones(len(mean), dtype=torch.bool)), mirror)
    moved = mean.clone()
    moved[5] += 0.3
    assert mirror_map(moved, 1e-3) is None
    partner = pair_up(moved, torch.ones(len(mean), dtype=torch.bool))
    assert torch.equal(partner[partner], torch.arange(len(mean)))
    tip = torch.zeros(len(mean), dtype=torch.bool)
    tip[0] = True
    assert [int(grow(tip, faces, rings).sum()) for rings in (0, 1, 2)] == [1, 25, 49]
    eyes = [mean * 0.1 + torch.tensor([side, 0, 1.0]) for side in (-0.3, 0.3)]
    both = torch.cat([faces, faces[:60] + len(mean), faces[:60] + 2 * len(mean)])
    names, number = head_parts(torch.cat([mean, *eyes]), both)
    assert names[int(number[0])] == "skin"
    assert names[int(number[len(faces)])] == "eye_right"
    assert names[int(number[-1])] == "eye_left"
    marks = torch.tensor([[0.0, 0, 1]]).repeat(68, 1)
    marks[:17, 1], marks[:17, 2], marks[:17, 0] = -0.5, 0.4, torch.linspace(-0.6, 0.6, 17)
    marks[17:27, 1], marks[33, 1] = 0.3, 0.0
    nearest = torch.cdist(marks.double(), mean).argmin(1)
    region = face_region(
        mean, SurfacePoints(nearest[:, None].repeat(1, 3), torch.eye(3)[:1].repeat(68, 1))
    )
    assert region[0]
    assert not region[-24:].any()


def test_cylinder_chart_of_a_ball():
    points = np.random.default_rng(0).normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    from scipy.spatial import ConvexHull

    faces = ConvexHull(points).simplices
    uv, faces_uv = cylinder_chart(
        torch.from_numpy(points), torch.from_numpy(orient(points, faces)).long()
    )
    assert uv.min() >= 0
    assert uv.max() <= 1
    corners = uv[faces_uv]
    middle = np.linalg.norm(points[faces][..., [0, 2]], axis=2).min(1) > 0.3  # away from the poles
    # none lies across the picture
    assert (corners[..., 0].amax(1) - corners[..., 0].amin(1))[middle].max() < 0.5
    front = points[:, 2].argmax()
    np.testing.assert_allclose(uv[front, 0], 0.5, atol=0.1)
