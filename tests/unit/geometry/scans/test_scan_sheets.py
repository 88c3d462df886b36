"""Scans made ready for ImFace: alignment in any unit, the cut, the sheet, exact distances, and what
is refused.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from facemorph.errors import GeometryError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.sphere_cut import cut_to_sphere
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.scans.scan_placement import align_scan, guess_unit
from facemorph.geometry.scans.scan_sheets import (
    CLOSE,
    make_sheet,
    prepare_scan,
    sample_sheet,
    signed_distance,
    visible_from_front,
)
from facemorph.ops.rotations import rotation_from_euler

pytest.importorskip("igl", reason="the extra `scans` is not installed")
pytest.importorskip("embreex", reason="the extra `scans` is not installed")


@pytest.fixture(scope="module")
def head():
    model = load_makehuman()
    skin = model.topology.face_component == model.topology.components.index("skin")
    return Mesh(model.mean, model.topology.faces[skin]), model.landmarks(model.mean[None])[0]


@pytest.fixture(scope="module")
def prepared(head):
    return prepare_scan(*head, torch.Generator().manual_seed(0), num_surface=4000, num_free=1500)


def area_of(mesh):
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    return float(torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2)


def ball(radius, steps=60):
    """A sphere around the origin as triangles, outside counter-clockwise."""
    import trimesh

    made = trimesh.creation.uv_sphere(radius=radius, count=[steps, steps])
    return Mesh(
        torch.tensor(np.asarray(made.vertices), dtype=torch.float64),
        torch.tensor(np.asarray(made.faces)),
    )


# ------------------------------------------------------------
# the cut
def test_a_plane_cut_by_a_sphere_is_a_disc():
    x = torch.linspace(-2, 2, 81, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(x, x, indexing="xy"), -1).reshape(-1, 2)
    vertices = torch.cat([grid, torch.full((len(grid), 1), 0.6, dtype=torch.float64)], 1)
    corner = torch.arange(80 * 81).view(80, 81)[:, :80].reshape(-1)
    faces = torch.cat(
        [
            torch.stack([corner, corner + 1, corner + 81], 1),
            torch.stack([corner + 1, corner + 82, corner + 81], 1),
        ]
    )
    cut = cut_to_sphere(Mesh(vertices, faces), 1.0)
    assert float(cut.vertices.norm(dim=1).max()) < 1 + 1e-12
    assert area_of(cut) == pytest.approx(math.pi * 0.64, rel=2e-3)  # chords instead of arcs
    a, b, c = cut.vertices[cut.faces].unbind(1)
    assert bool((torch.linalg.cross(b - a, c - a)[:, 2] >= 0).all())  # none is turned over
    edge = cut.vertices.norm(dim=1) > 1 - 1e-9
    assert int(edge.sum()) > 100
    edges = (
        torch.cat([cut.faces[:, [0, 1]], cut.faces[:, [1, 2]], cut.faces[:, [2, 0]]]).sort(1).values
    )
    unique, counts = edges.unique(dim=0, return_counts=True)
    assert int(counts.max()) == 2  # welded: no crack
    border = unique[counts == 1]
    assert bool(edge[border].all())


def test_what_is_inside_stays_and_what_is_outside_goes():
    small = ball(0.5)
    cut = cut_to_sphere(small, 1.0)
    assert torch.equal(cut.faces, small.faces)
    with pytest.raises(GeometryError, match="inside the sphere"):
        cut_to_sphere(ball(2.0), 1.0)


def test_edges_with_one_x_end_the_search():
    """The bisection of the authors' code goes on for ever with these."""
    vertices = torch.tensor([[0.0, 0, 0], [0, 2, 0], [0, 0, 2]], dtype=torch.float64)
    cut = cut_to_sphere(Mesh(vertices, torch.tensor([[0, 1, 2]])), 1.0)
    assert len(cut.faces) == 1
    assert sorted(cut.vertices.norm(dim=1).tolist()) == pytest.approx([0, 1, 1])


# ------------------------------------------------------------
# alignment
@pytest.mark.parametrize(("unit", "size"), [("mm", 1.0), ("cm", 0.1), ("m", 0.001)])
def test_any_unit_and_pose_comes_out_the_same(head, unit, size):
    mesh, landmarks = head
    rotation = rotation_from_euler(*torch.tensor([2.5, -0.7, 0.4]))
    shift = torch.tensor([3.0, -2.0, 9.0]) * size
    moved = Mesh(mesh.vertices @ rotation.T * size + shift, mesh.faces)
    points = landmarks @ rotation.T * size + shift
    assert guess_unit(points) == (unit, size)
    aligned, placed = align_scan(moved, points)
    expected, wanted = align_scan(mesh, landmarks)
    assert float((aligned.vertices - expected.vertices).abs().max()) < 1e-4
    assert float((placed - wanted).abs().max()) < 1e-4
    assert placed[30].tolist() == pytest.approx([0, 0, 0.4], abs=1e-6)
    assert float((placed[36] - placed[45]).norm()) == pytest.approx(0.82, abs=0.01)


def test_unknown_units_and_missing_noses(head):
    mesh, landmarks = head
    with pytest.raises(GeometryError, match="unit"):
        align_scan(Mesh(mesh.vertices * 3, mesh.faces), landmarks * 3)
    assert align_scan(Mesh(mesh.vertices * 3, mesh.faces), landmarks * 3, unit=3.0)[
        0
    ].vertices.shape == (4929, 3)
    broken = landmarks.clone()
    broken[30] = float("nan")
    # The head itself: the others have the nose where it is.
    assert (
        float(
            (align_scan(mesh, broken)[0].vertices - align_scan(mesh, landmarks)[0].vertices)
            .abs()
            .max()
        )
        < 1e-4
    )
    few = torch.full_like(landmarks, float("nan"))
    few[[30, 36, 45, 8]] = landmarks[[30, 36, 45, 8]]
    assert (
        float(
            (align_scan(mesh, few)[0].vertices - align_scan(mesh, landmarks)[0].vertices)
            .abs()
            .max()
        )
        < 1e-3
    )


# ------------------------------------------------------------
# the sheet
def test_only_the_front_of_a_ball_is_seen():
    mesh = ball(0.7)
    seen = visible_from_front(mesh)
    sure = mesh.vertices[:, 2].abs() > 0.05
    assert torch.equal(seen[sure], (mesh.vertices[:, 2] > 0)[sure])


def test_a_sheet_is_a_height_over_the_plane(prepared):
    sheet = prepared.sheet
    a, b, c = sheet.vertices.double()[sheet.faces].unbind(1)
    assert bool((torch.linalg.cross(b - a, c - a)[:, 2] > 0).all())
    flat = sheet.vertices[:, :2]
    assert len(flat.unique(dim=0)) == len(flat)
    hull = area_of(Mesh(torch.cat([flat, torch.zeros(len(flat), 1)], 1), sheet.faces))
    from scipy.spatial import ConvexHull

    assert hull == pytest.approx(ConvexHull(flat.double().numpy()).volume, rel=1e-4)  # no hole
    assert float(sheet.vertices.norm(dim=1).max()) < 1 + 1e-5


def test_samples_lie_on_the_sheet_evenly(prepared):
    sheet = prepared.sheet
    distance, _ = signed_distance(sheet, prepared.surface)
    assert float(distance.abs().max()) < 1e-5
    assert float(prepared.normals[:, 2].min()) > 0
    assert torch.allclose(prepared.normals.norm(dim=1), torch.ones(4000), atol=1e-5)
    corners = sheet.vertices.double()[sheet.faces]
    share = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).norm(
        dim=1
    )
    upper = corners.mean(1)[:, 1] > 0
    expected = float(share[upper].sum() / share.sum())
    assert float((prepared.surface[:, 1] > 0).double().mean()) == pytest.approx(expected, abs=0.04)
    assert float(prepared.free.norm(dim=1).max()) <= 1
    # even in the ball
    assert float(prepared.free.norm(dim=1).pow(3).mean()) == pytest.approx(0.5, abs=0.03)


def test_distances_are_those_of_brute_force(prepared):
    """Every triangle in turn: the nearest of its plane, edges and corners (Ericson, Real-Time
    Collision Detection).
    """
    points = prepared.free[:60].double()
    corners = prepared.sheet.vertices.double()[prepared.sheet.faces]

    def to_segment(point, a, b):
        share = (
            ((point - a) * (b - a)).sum(-1) / (b - a).square().sum(-1).clamp(min=1e-300)
        ).clamp(0, 1)
        return (a + share[:, None] * (b - a) - point).norm(dim=1)

    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    unit = torch.nn.functional.normalize(normal, dim=1)
    for index, point in enumerate(points):
        height = ((point - corners[:, 0]) * unit).sum(1)
        foot = point - height[:, None] * unit
        sides = torch.stack(
            [
                (
                    torch.linalg.cross(
                        corners[:, (k + 1) % 3] - corners[:, k], foot - corners[:, k]
                    )
                    * unit
                ).sum(1)
                for k in range(3)
            ],
            1,
        )
        edges = torch.stack(
            [to_segment(point, corners[:, k], corners[:, (k + 1) % 3]) for k in range(3)], 1
        ).amin(1)
        nearest = torch.where((sides >= 0).all(1), height.abs(), edges).min()
        assert abs(float(prepared.distance[index].abs()) - float(nearest)) < 1e-6


def test_signs_and_gradients_follow_the_rule(prepared):
    assert float(prepared.gradient[:, 2].min()) >= 0
    assert torch.allclose(prepared.gradient.norm(dim=1), torch.ones(1500), atol=1e-5)
    far = prepared.distance.abs() > 2 * CLOSE
    step = (
        prepared.free[far].double()
        - prepared.distance[far, None].double() * prepared.gradient[far].double()
    )
    on_sheet, _ = signed_distance(prepared.sheet, step)
    assert float(on_sheet.abs().max()) < 1e-5  # the gradient leads to the surface
    ahead, _ = signed_distance(
        prepared.sheet, torch.tensor([[0.0, 0, 0.9], [0, 0, -0.3]], dtype=torch.float64)
    )
    assert float(ahead[0]) > 0 > float(ahead[1])
    near = prepared.surface[:200].double() + 0.004 * prepared.normals[:200].double()
    behind = prepared.surface[:200].double() - 0.004 * prepared.normals[:200].double()
    # folds may be nearer
    assert float((signed_distance(prepared.sheet, near)[0] > 0).double().mean()) > 0.95
    assert float((signed_distance(prepared.sheet, behind)[0] < 0).double().mean()) > 0.95


def test_samples_follow_from_the_seed(head):
    one, two, three = (
        prepare_scan(*head, torch.Generator().manual_seed(seed), num_surface=50, num_free=50)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one.surface, two.surface)
    assert torch.equal(one.free, two.free)
    assert not torch.equal(one.surface, three.surface)
    assert sample_sheet(
        one.sheet, one.landmarks, torch.Generator(), num_surface=7, num_free=5
    ).surface.shape == (7, 3)


def test_scans_that_look_away_are_refused(head):
    mesh, _ = head
    back = Mesh(mesh.vertices[:, [0, 1, 2]] * torch.tensor([0.001, 0.001, 0.001]), mesh.faces[:20])
    with pytest.raises(GeometryError, match="too little"):
        make_sheet(back)
