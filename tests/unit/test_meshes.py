"""Normals of meshes."""

from __future__ import annotations

import torch

from facemorph.geometry.makehuman import load_makehuman
from facemorph.ops.meshes import face_normals, vertex_normals, vertex_normals_torch
from facemorph.ops.rotations import rotation_from_vector

SQUARE = torch.tensor([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def test_counter_clockwise_looks_at_the_viewer():
    assert torch.equal(face_normals(SQUARE[None], FACES), torch.tensor([[[0.0, 0, 4], [0, 0, 4]]]))
    assert torch.equal(vertex_normals(SQUARE[None], FACES), torch.tensor([0.0, 0, 1]).expand(1, 4, 3))


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
    vertices = (SQUARE.double() + 0.1 * torch.randn(4, 3, dtype=torch.float64))[None].requires_grad_()
    assert torch.autograd.gradcheck(lambda v: vertex_normals(v, FACES), vertices)


def test_a_vertex_without_a_triangle_has_no_normal():
    vertices = torch.cat([SQUARE, torch.ones(1, 3)])[None]
    for normals in (vertex_normals(vertices, FACES), vertex_normals_torch(vertices, FACES)):
        assert torch.equal(normals[0, 4], torch.zeros(3))
    flat = vertex_normals(torch.zeros(1, 4, 3), FACES)
    assert torch.equal(flat, torch.zeros(1, 4, 3))
