"""Depth maps: planes and balls come back where they were, jumps and masks cut, landmarks are read
off.
"""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.errors import ConfigError, DataError
from facemorph.geometry.meshes.depth_maps import DepthCamera, depth_mesh, landmarks_from_depth
from facemorph.geometry.meshes.mesh_files import Mesh

CAMERA = DepthCamera(100.0, (32.0, 24.0))


def plane(depth=500.0, height=48, width=64):
    return torch.full((height, width), depth, dtype=torch.float64)


def area_of(mesh: Mesh):
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    return torch.linalg.cross(b - a, c - a)


def test_a_wall_comes_back_in_its_place_and_faces_the_camera():
    mesh = depth_mesh(plane(), CAMERA)
    step = 500.0 / 100.0  # a pixel on the wall
    assert mesh.vertices[:, 2].unique().tolist() == [-500.0]
    assert mesh.vertices.amin(0)[:2].tolist() == pytest.approx([-31.5 * step, -23.5 * step])
    assert mesh.vertices.amax(0)[:2].tolist() == pytest.approx([31.5 * step, 23.5 * step])
    twice = area_of(mesh)
    assert bool((twice[:, 2] > 0).all())  # counter-clockwise as seen
    assert float(twice[:, 2].sum() / 2) == pytest.approx(63 * 47 * step**2)


def test_a_ball_comes_back_round():
    """Depth by the root of the ray's quadratic equation; every vertex lies on the ball again."""
    row, column = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    ray = torch.stack(
        [(column + 0.5 - 32) / 100, -(row + 0.5 - 24) / 100, -torch.ones(48, 64)], -1
    ).double()
    centre, radius = torch.tensor([5.0, -8.0, -600.0], dtype=torch.float64), 80.0
    half, rest = (ray @ centre) / ray.square().sum(-1), centre.square().sum() - radius**2
    # NaN beside the ball: no measurement
    root = (half.square() - rest / ray.square().sum(-1)).sqrt()
    mesh = depth_mesh(half - root, CAMERA)
    assert len(mesh.vertices) > 300
    assert float(((mesh.vertices.double() - centre).norm(dim=1) - radius).abs().max()) < 1e-3


def test_jumps_cut_and_slopes_do_not():
    jump = plane()
    jump[:, 32:] = 560  # 60 for a step of 5: more than eight times
    mesh = depth_mesh(jump, CAMERA)
    assert set(mesh.vertices[mesh.faces][..., 2].unique().tolist()) == {-500.0, -560.0}
    assert bool(
        (
            mesh.vertices[mesh.faces][..., 2].amax(1) == mesh.vertices[mesh.faces][..., 2].amin(1)
        ).all()
    )
    assert len(mesh.faces) == 2 * 47 * (31 + 31)
    # six times the step at first
    slope = 500 + 30 * torch.arange(64.0, dtype=torch.float64).expand(48, 64)
    assert len(depth_mesh(slope, CAMERA).faces) == 2 * 47 * 63


@pytest.mark.parametrize("nothing", [0.0, -1.0, math.nan, math.inf])
def test_a_missing_pixel_takes_its_corner_of_four_quads(nothing):
    depth = plane()
    depth[10, 20] = nothing
    mesh = depth_mesh(depth, CAMERA)
    assert len(mesh.faces) == 2 * 47 * 63 - 4  # of each of four quads one triangle is left
    assert len(mesh.vertices) == 48 * 64 - 1
    assert bool(torch.isfinite(mesh.vertices).all())


def test_masks_and_what_is_refused():
    mask = torch.zeros(48, 64, dtype=torch.bool)
    mask[5:10, 7:20] = True
    assert len(depth_mesh(plane(), CAMERA, mask).vertices) == 5 * 13
    with pytest.raises(DataError, match="no surface"):
        depth_mesh(plane(0.0), CAMERA)
    with pytest.raises(DataError):
        depth_mesh(plane(), CAMERA, mask[:10])
    with pytest.raises(ConfigError, match="focal"):
        DepthCamera(0.0, (1.0, 1.0))


def test_landmarks_are_read_off_without_the_background():
    depth = plane(500.0)
    depth[:, 50:] = 3000.0  # the wall behind
    depth[20, 30] = 0.0
    points = torch.full((68, 2), torch.nan, dtype=torch.float64)
    points[0], points[1], points[2], points[3] = (
        torch.tensor(place, dtype=torch.float64)
        for place in ((10.5, 10.5), (40.5, 30.5), (60.5, 10.5), (30.5, 20.5))
    )
    points[4] = torch.tensor([-9.0, 5.0])
    marks = landmarks_from_depth(points, depth, CAMERA)
    assert marks[0].tolist() == pytest.approx([(10.5 - 32) * 5, -(10.5 - 24) * 5, -500])
    assert marks[3].tolist() == pytest.approx([-1.5 * 5, 3.5 * 5, -500])  # the neighbour's depth
    assert torch.isfinite(marks).all(1).nonzero()[:, 0].tolist() == [0, 1, 3]
