"""Normals of meshes."""

from __future__ import annotations

import torch

from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.ops.meshes import face_normals, filled_values, vertex_normals, vertex_normals_torch
from facemorph.ops.rotations import rotation_from_vector

SQUARE = torch.tensor([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_counter_clockwise_looks_at_the_viewer():
    assert torch.equal(face_normals(SQUARE[None], FACES), torch.tensor([[[0.0, 0, 4], [0, 0, 4]]]))
    assert torch.equal(
        vertex_normals(SQUARE[None], FACES), torch.tensor([0.0, 0, 1]).expand(1, 4, 3)
    )


def test_fast_path_is_its_twin():
    model = load_makehuman()
    vertices = torch.stack([model.mean, model.mean * torch.tensor([1.0, 2.0, 0.5])])
    fast = vertex_normals(vertices, model.topology.faces)
    assert torch.allclose(fast, vertex_normals_torch(vertices, model.topology.faces), atol=1e-6)
    assert vertex_normals(vertices.double(), model.topology.faces).dtype == torch.float64


def test_normals_turn_with_the_mesh():
    model = load_makehuman()
    turn = rotation_from_vector(torch.tensor([0.3, 0.7, -0.2]))
    normals = vertex_normals(model.mean[None], model.topology.faces)
    turned = vertex_normals((model.mean @ turn.T)[None], model.topology.faces)
    assert torch.allclose(turned, normals @ turn.T, atol=1e-5)
    assert float((normals[0].norm(dim=1) - 1).abs().max()) < 1e-5


def test_gradients():
    vertices = (SQUARE.double() + 0.1 * torch.randn(4, 3, dtype=torch.float64))[
        None
    ].requires_grad_()
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, FACES), vertices)


def test_gradients_of_a_head_are_those_of_the_twin():
    model = load_makehuman()
    vertices = torch.stack([model.mean, model.mean * torch.tensor([1.0, 2.0, 0.5])]).double()
    weight = torch.randn(vertices.shape, generator=torch.Generator().manual_seed(0)).double()
    found = []
    for normals in (vertex_normals, vertex_normals_torch):
        moved = vertices.clone().requires_grad_()
        (normals(moved, model.topology.faces) * weight).sum().backward()
        found.append(moved.grad)
    torch.testing.assert_close(*found)


def test_a_vertex_without_a_triangle_has_no_normal():
    vertices = torch.cat([SQUARE, torch.ones(1, 3)])[None]
    for normals in (vertex_normals(vertices, FACES), vertex_normals_torch(vertices, FACES)):
        assert torch.equal(normals[0, 4], torch.zeros(3))
    flat = vertex_normals(torch.zeros(1, 4, 3), FACES)
    assert torch.equal(flat, torch.zeros(1, 4, 3))


def test_values_are_filled_in_by_the_mean_of_neighbours():
    """A grid with a hole in its values: a linear function is its own solution of Laplace's
    equation.
    """
    side = 7
    row = torch.arange(side)
    number = row[:, None] * side + row
    quads = torch.stack(
        [number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], -1
    ).view(-1, 4)
    faces = torch.cat([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    place = torch.stack(torch.meshgrid(row, row, indexing="ij"), -1).view(-1, 2).double()
    values = torch.stack([place[:, 0] * 2 - place[:, 1], place[:, 1] + 5], 1)
    known = ~((place > 0) & (place < side - 1)).all(1)
    filled = filled_values(
        faces, torch.where(known[:, None], values, torch.full_like(values, torch.nan)), known
    )
    assert torch.allclose(filled, values)
    assert torch.equal(
        filled_values(faces, values, torch.ones(len(values), dtype=torch.bool)), values
    )
    assert not bool(filled_values(faces, values, torch.zeros(len(values), dtype=torch.bool)).any())


def test_a_part_without_any_value_gets_the_mean():
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    values = torch.tensor([[1.0], [2], [0], [9], [9], [9]])
    filled = filled_values(faces, values, torch.tensor([True, True, False, False, False, False]))
    assert torch.allclose(filled, torch.tensor([[1.0], [2], [1.5], [1.5], [1.5], [1.5]]))
