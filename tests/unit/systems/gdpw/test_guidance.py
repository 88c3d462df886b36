"""Renders of pairs of meshes: places by hand, culling picture by picture, holes, gradients."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import DataError
from facemorph.geometry.rendering.rasterizer import rasterize_torch
from facemorph.systems.gdpw.guidance import MeshGuidance, facing_away
from facemorph.systems.gdpw.warping import warp

# Two triangles that fill the middle of the picture, seen from outside: with y down,
# counter-clockwise is clockwise in numbers.
SQUARE = torch.tensor([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]])
FACES = torch.tensor([[0, 2, 1], [0, 3, 2]])


def renderer(faces=FACES):
    return MeshGuidance(faces, rasterize_torch)


def test_flow_points_from_target_to_source():
    source = SQUARE[None] + torch.tensor([0.25, -0.125, 3.0])
    guidance = renderer()(source, SQUARE[None], (16, 16))
    flow = guidance.flow[0]
    assert flow.shape == (2, 16, 16)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 4:12] = True
    torch.testing.assert_close(flow[0, inside], torch.full((64,), 0.25))
    torch.testing.assert_close(flow[1, inside], torch.full((64,), -0.125))
    assert float(flow[:, ~inside].abs().max()) == 0
    assert guidance.target_codes is None
    assert guidance.source_codes is None


def test_flow_moves_the_source_into_place():
    """A ramp drawn on the source's mesh stands on the target's mesh afterwards."""
    codes = torch.tensor([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    source = SQUARE[None] + torch.tensor([0.25, 0.125, 0.0])
    guidance = renderer()(source, SQUARE[None], (32, 32), codes)
    moved = warp(guidance.source_codes, guidance.flow)
    torch.testing.assert_close(
        moved[..., 8:24, 8:24], guidance.target_codes[..., 8:24, 8:24], atol=1e-5, rtol=0
    )


def test_codes_are_linear_on_triangles():
    codes = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])  # x and y
    guidance = renderer()(SQUARE[None], SQUARE[None], (16, 8), codes)
    x = (2 * torch.arange(8) + 1) / 8 - 1
    y = (2 * torch.arange(16) + 1) / 16 - 1
    found = guidance.target_codes[0, :, 4:12, 2:6]
    torch.testing.assert_close(found[0], x[2:6].expand(8, 4))
    torch.testing.assert_close(found[1], y[4:12, None].expand(8, 4))


def test_gradients_reach_seen_codes_alone():
    vertices = torch.cat([SQUARE, torch.full((1, 3), 0.9)])[None].requires_grad_()
    codes = torch.rand(5, 3, requires_grad=True)
    guidance = renderer()(vertices, vertices, (16, 16), codes)
    (guidance.source_codes + guidance.target_codes).sum().backward()
    assert bool((codes.grad[:4] > 0).all())
    assert float(codes.grad[4].abs().sum()) == 0
    assert vertices.grad is None


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_culling_of_each_picture(batch):
    """Regression: the released code's cross product took a batch of three for x, y and z."""
    generator = torch.Generator().manual_seed(batch)
    vertices = torch.rand(batch, 9, 3, generator=generator) * 2 - 1
    faces = torch.stack([torch.randperm(9, generator=generator)[:3] for _ in range(20)])
    corners = vertices[:, faces]
    normals = torch.linalg.cross(
        corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0], dim=-1
    )
    assert torch.equal(facing_away(vertices, faces), normals[..., 2] > 0)
    one_by_one = torch.cat([facing_away(one[None], faces) for one in vertices])
    assert torch.equal(facing_away(vertices, faces), one_by_one)


def test_a_near_back_face_leaves_a_hole():
    """As published: it wins the depth test, and is taken out afterwards."""
    near = torch.tensor([[-0.5, -0.5, -1.0], [0.5, -0.5, -1.0], [0.5, 0.5, -1.0]])
    vertices = torch.cat([SQUARE, near])[None]
    faces = torch.cat([FACES, torch.tensor([[4, 5, 6]])])  # seen from inside
    codes = torch.ones(7, 1)
    found = renderer(faces)(vertices, vertices, (16, 16), codes).target_codes[0, 0]
    assert float(found[5, 10]) == 0
    assert float(found[10, 5]) == pytest.approx(1)
    behind = vertices + torch.tensor([0.0, 0.0, 2.0]) * (torch.arange(7) > 3)[:, None]
    found = renderer(faces)(behind, behind, (16, 16), codes).target_codes[0, 0]
    assert float(found[5, 10]) == pytest.approx(1)


def test_small_depth_is_near():
    vertices = torch.cat([SQUARE, SQUARE - torch.tensor([0.0, 0.0, 1.0])])[None]
    faces = torch.cat([FACES, FACES + 4])
    codes = torch.tensor([[1.0]] * 4 + [[2.0]] * 4)
    found = renderer(faces)(vertices, vertices, (8, 8), codes).target_codes
    assert float(found.max()) == pytest.approx(2)
    assert set(found.round().unique().tolist()) == {0, 2}


def test_rasterisers_agree_and_nothing_is_stored():
    vertices = SQUARE.expand(2, -1, -1)
    codes = torch.rand(4, 2)
    mine = renderer()(vertices, vertices, (16, 16), codes)
    chosen = MeshGuidance(FACES)
    other = chosen(vertices, vertices, (16, 16), codes)
    assert torch.equal(mine.target_codes, other.target_codes)
    assert not chosen.state_dict()


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="faces"):
        MeshGuidance(torch.zeros(3, 4))
    with pytest.raises(DataError, match="target"):
        renderer()(SQUARE[None], SQUARE[None, :3], (8, 8))
    with pytest.raises(DataError, match="codes"):
        renderer()(SQUARE[None], SQUARE[None], (8, 8), torch.zeros(5, 2))
