"""Triangles that face inwards: turned over, whole meshes and parts, and never taken for a mirror
image.
"""

from __future__ import annotations

import pytest
import torch

from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.meshes.orientation import facing_outwards, welded
from facemorph.geometry.models.makehuman import load_makehuman


@pytest.fixture(scope="module")
def head():
    model = load_makehuman()
    return Mesh(model.mean, model.topology.faces, model.topology.uv, model.topology.faces_uv)


def sorted_rows(faces):
    """Triangles that begin with their lowest corner: the same turn, the same row."""
    first = faces.argmin(1, keepdim=True)
    return faces.gather(1, (first + torch.arange(3)) % 3)


def test_a_scan_turned_inside_out_is_turned_over(head):
    inside_out = Mesh(head.vertices + 1000, head.faces.flip(1), head.uv, head.faces_uv.flip(1))
    assert facing_outwards(head) is head
    turned = facing_outwards(inside_out)
    assert torch.equal(turned.faces, head.faces)
    assert torch.equal(turned.faces_uv, head.faces_uv)
    # a face without the back of the head
    front = head.faces[head.vertices[head.faces].mean(1)[:, 2] > 0]
    assert torch.equal(facing_outwards(Mesh(head.vertices, front.flip(1))).faces, front)


def test_some_triangles_that_face_the_other_way_are_turned_over(head):
    chosen = torch.rand(len(head.faces), generator=torch.Generator().manual_seed(0)) < 0.4
    faces = torch.where(chosen[:, None], head.faces.flip(1), head.faces)
    turned = facing_outwards(Mesh(head.vertices, faces))
    assert torch.equal(sorted_rows(turned.faces), sorted_rows(head.faces))
    # ... of a mesh whose triangles share no vertices, as in STL
    soup = Mesh(head.vertices[faces.flatten()], torch.arange(faces.numel()).view(-1, 3))
    found = facing_outwards(soup)
    assert torch.equal((found.faces != soup.faces).any(1), chosen)


def test_a_mirror_image_stays_one(head):
    """Mirrored vertices turn triangles inwards; they are turned over, the face stays mirrored."""
    flipped = head.vertices * torch.tensor([-1.0, 1, 1])
    turned = facing_outwards(Mesh(flipped, head.faces))
    assert torch.equal(turned.faces, head.faces.flip(1))
    assert torch.equal(turned.vertices, flipped)
    whole = Mesh(flipped, head.faces.flip(1))
    assert facing_outwards(whole) is whole


def test_what_has_no_two_sides_and_no_neighbours_stays():
    angle = torch.linspace(0, 2 * torch.pi, 13)[:-1]
    ring = torch.stack([10 * angle.cos(), 10 * angle.sin(), torch.zeros(12)], 1)
    across = torch.stack(
        [(angle / 2).cos() * angle.cos(), (angle / 2).cos() * angle.sin(), (angle / 2).sin()], 1
    )
    vertices = torch.cat([ring + across, ring - across])
    band = []
    for index in range(12):
        a, b = index, index + 12
        c, d = ((index + 1), (index + 13)) if index < 11 else (12, 0)  # the twist of Moebius
        band += [[a, b, c], [c, b, d]]
    moebius = Mesh(vertices, torch.tensor(band))
    assert sorted(map(sorted, facing_outwards(moebius).faces.tolist())) == sorted(map(sorted, band))
    loose = Mesh(torch.randn(9, 3), torch.arange(9).view(3, 3))
    assert facing_outwards(loose).faces.shape == (3, 3)


def test_vertices_at_one_place_are_one():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [-0.0, 0, 0], [1, 0, 0], [0, 0, 1]])
    faces = welded(Mesh(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]])))
    assert faces[0, :2].tolist() == faces[1, :2].tolist()
    assert faces[0, 2] != faces[1, 2]
