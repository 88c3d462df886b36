"""Parts of face models: the same points, normals and landmarks as the whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.edit_models import flame_like

from facemorph.errors import GeometryError
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_part import around, part_of
from facemorph.ops.meshes import vertex_normals


def test_a_part_is_where_the_whole_is():
    model = load_makehuman()
    mask = model.topology.masks["face"]
    near = around(model, mask)
    part = part_of(model, near)
    assert int(mask.sum()) < len(near) < model.num_vertices // 2
    draw = torch.Generator().manual_seed(0)
    identity = torch.randn(2, model.num_identity, generator=draw)
    expression = torch.rand(2, model.num_expression, generator=draw) / 4
    whole, found = (one.vertices(identity, expression) for one in (model, part))
    torch.testing.assert_close(found, whole[:, near])
    torch.testing.assert_close(part.landmarks(found), model.landmarks(whole))
    expected = vertex_normals(whole, model.topology.faces)[:, mask]
    face = part.topology.masks["face"]
    torch.testing.assert_close(vertex_normals(found, part.topology.faces)[:, face], expected)


def test_joints_move_a_part_as_they_move_the_whole():
    model = flame_like()
    draw = torch.Generator().manual_seed(0)
    correctives = torch.randn(9 * len(model.joint_names), *model.mean.shape, generator=draw)
    model.skeleton = replace(model.skeleton, correctives=correctives)
    chosen = torch.tensor([2, 0, 1])
    part = part_of(model, chosen)
    assert part.topology.faces.tolist() == [[1, 2, 0]]
    values = [torch.randn(2, count, generator=draw) for count in (5, model.num_expression)]
    joints = torch.randn(2, len(model.joint_names), 3, generator=draw)
    found, whole = (one.vertices(*values, joints) for one in (part, model))
    torch.testing.assert_close(found, whole[:, chosen])


def test_a_part_without_a_landmark_is_refused():
    with pytest.raises(GeometryError, match="needs its landmarks"):
        part_of(flame_like(), torch.tensor([1, 2, 3]))
