"""Agreement of surfaces with known distances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import trimesh

from facemorph.errors import ConfigError, GeometryError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.mesh_sampling import sample_area
from facemorph.metrics.surface_agreement import rigid_alignment, surface_agreement
from facemorph.ops.rotations import angle_between, rotation_from_euler

SAMPLES = 20_000


def square(height=0.0, size=10.0, steps=2):
    x = torch.linspace(0, size, steps)
    grid = torch.stack(torch.meshgrid(x, x, indexing="xy"), -1).reshape(-1, 2)
    corner = torch.arange(steps * (steps - 1)).view(-1, steps)[:, :-1].reshape(-1)
    faces = torch.cat(
        [
            torch.stack([corner, corner + 1, corner + steps], 1),
            torch.stack([corner + 1, corner + steps + 1, corner + steps], 1),
        ]
    )
    return Mesh(torch.cat([grid, torch.full((len(grid), 1), height)], 1), faces)


def bumpy(seed=0):
    made = trimesh.creation.icosphere(subdivisions=3, radius=10.0)
    place = torch.tensor(np.asarray(made.vertices), dtype=torch.float32)
    wave = (place * torch.tensor([0.5, 0.3, 0.4]) + seed).sin().sum(1, keepdim=True)
    return Mesh(place * (1 + 0.08 * wave), torch.tensor(np.asarray(made.faces)))


def test_parallel_planes_are_as_far_as_they_are():
    found = surface_agreement(square(0.0), square(0.5), thresholds=(0.4, 0.6), samples=SAMPLES)
    # Nearest samples are a little farther than the planes: half a spacing to the side.
    assert found["chamfer"] == pytest.approx(0.5, abs=0.01)
    assert found["accuracy"] == pytest.approx(0.5, abs=0.01)
    for name in ("mean", "percentile_95", "true_mean", "true_percentile_95"):
        assert found[name] == pytest.approx(0.5, abs=1e-3)
    assert found["normal_consistency"] == pytest.approx(1)
    assert found["f_score_0.4"] == 0
    assert found["f_score_0.6"] == pytest.approx(100)


def test_the_mean_is_without_the_points_own_distance():
    found = surface_agreement(bumpy(), bumpy(), samples=SAMPLES)
    assert found["mean"] < 0.1 * found["accuracy"]
    assert found["true_percentile_95"] < 0.3 * found["completeness"]


def test_the_mean_is_that_of_exact_distances():
    igl = pytest.importorskip("igl", reason="the extra `scans` is not installed")
    moved, mesh = bumpy(0.3), bumpy()
    points = sample_area(moved, 5000, torch.Generator().manual_seed(7))[0]
    squared = igl.point_mesh_squared_distance(
        points.double().numpy(), mesh.vertices.double().numpy(), mesh.faces.numpy()
    )[0]
    exact = np.sqrt(squared)
    found = surface_agreement(moved, mesh, samples=SAMPLES)
    assert found["mean"] == pytest.approx(exact.mean(), rel=0.03)
    assert found["percentile_95"] == pytest.approx(np.percentile(exact, 95), rel=0.05)


def test_half_a_surface_is_accurate_and_not_complete():
    half = square(size=10.0)
    half = Mesh(half.vertices * torch.tensor([0.5, 1.0, 1.0]), half.faces)
    found = surface_agreement(half, square(size=10.0), thresholds=(1.0,), samples=SAMPLES)
    assert found["accuracy"] < 0.05
    assert found["completeness"] == pytest.approx(1.25, rel=0.05)  # half 0, half 2.5 in the mean
    assert found["precision_1"] == pytest.approx(100)
    assert found["recall_1"] == pytest.approx(60, abs=1.5)
    assert found["f_score_1"] == pytest.approx(75, abs=1.5)


def test_normals_of_a_turned_plane():
    plane = square(size=1.0)
    turned = plane.vertices @ rotation_from_euler(*torch.tensor([0.0, math.pi / 3, 0.0])).T
    far = Mesh(turned + torch.tensor([0.0, 0.0, 100.0]), plane.faces)
    assert surface_agreement(far, plane, samples=500)["normal_consistency"] == pytest.approx(
        0.5, abs=1e-3
    )


def test_alignment_takes_a_rigid_motion_back():
    mesh = bumpy()
    rotation = rotation_from_euler(*torch.tensor([0.05, -0.04, 0.06]))
    moved = Mesh(mesh.vertices @ rotation.T + torch.tensor([0.3, -0.2, 0.1]), mesh.faces)
    plain = surface_agreement(moved, mesh, samples=SAMPLES)
    aligned = surface_agreement(moved, mesh, samples=SAMPLES, rigid=True)
    floor = surface_agreement(mesh, mesh, samples=SAMPLES)
    assert aligned["chamfer"] < 0.6 * plain["chamfer"]
    assert aligned["chamfer"] < 1.2 * floor["chamfer"]
    points, _ = sample_area(moved, SAMPLES, torch.Generator().manual_seed(0))
    goal, _ = sample_area(mesh, SAMPLES, torch.Generator().manual_seed(1))
    turn, _ = rigid_alignment(points, goal)
    assert float(angle_between(turn.T, rotation)) < 0.6 * float(
        angle_between(torch.eye(3), rotation)
    )


def test_figures_follow_from_the_seed():
    one, two, three = (
        surface_agreement(bumpy(), bumpy(1), samples=1000, seed=seed) for seed in (1, 1, 2)
    )
    assert one == two
    assert one != three


def test_samples_are_even_by_area():
    mesh = Mesh(
        torch.tensor(
            [[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 3, 5], [1, 1, 1]]
        ),
        torch.tensor([[0, 1, 2], [3, 4, 5], [6, 6, 6]]),
    )
    points, normals = sample_area(mesh, 20_000, torch.Generator().manual_seed(0))
    assert float((points[:, 2] == 0).double().mean()) == pytest.approx(0.1, abs=0.01)
    low = points[points[:, 2] == 0]
    assert low[:, :2].mean(0).tolist() == pytest.approx([1 / 3, 1 / 3], abs=0.02)
    assert float(low[:, :2].sum(1).max()) <= 1 + 1e-6
    assert torch.equal(normals, torch.tensor([0.0, 0, 1]).expand_as(normals))


def test_what_cannot_be_compared():
    flat = Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))
    with pytest.raises(GeometryError, match="area"):
        surface_agreement(flat, square())
    for options in ({"thresholds": (0.0,)}, {"samples": 0}):
        with pytest.raises(ConfigError):
            surface_agreement(square(), square(), **options)
