"""The rasterisers' contract: coverage, depth, weights, what is left out, the nvdiffrast adapter."""

from __future__ import annotations

import math
import sys
import types

import pytest
import torch

from facemorph.errors import ConfigError, DataError, GeometryError, MissingExtra
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera, Projection
from facemorph.geometry.rendering.fragments import Fragments
from facemorph.geometry.rendering.rasterizer import choose_rasterizer, rasterize_torch
from facemorph.geometry.rendering.rasterizer_numba import rasterize_numba
from facemorph.geometry.rendering.rasterizer_nvdiffrast import (
    NvdiffrastRasterizer,
    clip_coordinates,
)
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler

BACK_ENDS = pytest.mark.parametrize("draw", [rasterize_torch, rasterize_numba])


def flat(pixels, depth=None, inverse=None) -> Projection:
    pixels = torch.as_tensor(pixels, dtype=torch.float32)
    pixels = pixels if pixels.ndim == 3 else pixels[None]
    shape = pixels.shape[:2]
    depth = (
        torch.zeros(shape)
        if depth is None
        else torch.as_tensor(depth, dtype=torch.float32).expand(shape)
    )
    inverse = (
        torch.ones(shape)
        if inverse is None
        else torch.as_tensor(inverse, dtype=torch.float32).expand(shape)
    )
    return Projection(pixels, depth, inverse)


TRIANGLE = torch.tensor([[0, 2, 1]])  # counter-clockwise as the viewer sees it: y points down
CORNERS = [[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]]


@BACK_ENDS
def test_one_triangle_by_hand(draw):
    found = draw(flat(CORNERS, depth=[1.0, 2.0, 3.0]), TRIANGLE, (8, 8))
    y, x = torch.meshgrid(torch.arange(8) + 0.5, torch.arange(8) + 0.5, indexing="ij")
    u, v = x / 8, y / 8
    inside = u + v < 1  # the diagonal belongs to below
    assert torch.equal(found.mask[0], inside)
    expected = torch.stack([1 - u - v, v, u], -1) * inside[..., None]
    assert torch.allclose(found.weights[0], expected, atol=1e-6)
    assert torch.allclose(found.depth[0], (1 - u - v + 2 * u + 3 * v) * inside, atol=1e-6)
    assert found.size == (8, 8)
    assert found.face.dtype == torch.long
    assert found.mask.dtype == torch.bool


@BACK_ENDS
def test_the_nearest_triangle_wins_and_of_equals_the_first(draw):
    pixels = [*CORNERS, *CORNERS, *CORNERS]
    faces = torch.cat([TRIANGLE, TRIANGLE + 3, TRIANGLE + 6])
    found = draw(flat(pixels, depth=[1.0] * 3 + [5.0] * 3 + [5.0] * 3), faces, (8, 8))
    assert bool((found.face[found.mask] == 1).all())
    negative = draw(flat(pixels, depth=[-1.0] * 3 + [-5.0] * 3 + [-0.5] * 3), faces, (8, 8))
    assert bool((negative.face[negative.mask] == 2).all())


@BACK_ENDS
def test_a_batch_is_its_pictures(draw):
    pixels = torch.tensor([CORNERS, [[2.0, 1], [9, 3], [1, 7.5]], [[50.0, 50], [60, 50], [50, 60]]])
    depth = torch.tensor([[1.0, 2, 3], [0, -1, 4], [0, 0, 0]])
    together = draw(Projection(pixels, depth, torch.ones(3, 3)), TRIANGLE, (8, 10))
    for index in range(3):
        alone = draw(
            Projection(pixels[index:][:1], depth[index:][:1], torch.ones(1, 3)), TRIANGLE, (8, 10)
        )
        for name in ("mask", "face", "weights", "depth"):
            assert torch.equal(getattr(together, name)[index], getattr(alone, name)[0])
    assert not bool(together.mask[2].any())


@BACK_ENDS
def test_perspective_correct_weights(draw):
    """A road towards the horizon: half way along it in the picture is not half way along it."""
    near, far = 1.0, 4.0
    pixels = [[0.0, 8.0], [8.0, 8.0], [8.0, 0.0], [0.0, 0.0]]
    inverse = [1 / near, 1 / near, 1 / far, 1 / far]
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    found = draw(flat(pixels, inverse=inverse), faces, (8, 8))
    along = found.interpolate(torch.tensor([[near], [near], [far], [far]]), faces)[0, ..., 0]
    y = (torch.arange(8) + 0.5) / 8  # 1 / distance is linear in y
    expected = 1 / (1 / far + (1 / near - 1 / far) * y)
    assert torch.allclose(along, expected[:, None].expand(8, 8), rtol=1e-5)


@BACK_ENDS
def test_what_is_left_out(draw):
    """Not a number, without area, or behind the pinhole; the rest is drawn."""
    pixels = [*CORNERS, [math.nan, 1], [math.inf, 3], [4, 4], [8, 8]]
    inverse = [1.0, 1, 1, 1, 1, 1, -1]
    bad = torch.tensor([[0, 1, 3], [0, 1, 4], [0, 5, 6], [1, 1, 2], [1, 2, 6]])
    assert not bool(draw(flat(pixels, inverse=inverse), bad, (8, 8)).mask.any())
    found = draw(flat(pixels, inverse=inverse), torch.cat([bad, TRIANGLE]), (8, 8))
    assert bool((found.face[found.mask] == 5).all())
    assert int(found.mask.sum()) == 28
    for field in (found.weights, found.depth):
        assert bool(torch.isfinite(field).all())


@BACK_ENDS
def test_back_faces(draw):
    inside_out = TRIANGLE.flip(1)
    assert bool(draw(flat(CORNERS), inside_out, (8, 8)).mask.any())
    assert not bool(draw(flat(CORNERS), inside_out, (8, 8), cull_back_faces=True).mask.any())
    assert bool(draw(flat(CORNERS), TRIANGLE, (8, 8), cull_back_faces=True).mask.any())


@BACK_ENDS
def test_culled_head_is_right_side_out(draw):
    """From the front nothing of the skin is lost with culling: the mesh is not inside out."""
    model = load_makehuman()
    camera = Camera(torch.eye(3)[None], torch.tensor([[64.0, 55.0]]), torch.tensor([-0.8]))
    projection = camera.project(model.mean[None])
    full = draw(projection, model.topology.faces, (128, 128))
    culled = draw(projection, model.topology.faces, (128, 128), cull_back_faces=True)
    assert float((full.mask & ~culled.mask).sum() / full.mask.sum()) < 0.02


@BACK_ENDS
def test_bad_input(draw):
    with pytest.raises(GeometryError, match="not there"):
        draw(flat(CORNERS), torch.tensor([[0, 1, 3]]), (8, 8))
    with pytest.raises(GeometryError, match="size"):
        draw(flat(CORNERS), TRIANGLE, (0, 8))
    with pytest.raises(DataError, match="faces"):
        draw(flat(CORNERS), torch.zeros(4, dtype=torch.long), (8, 8))
    with pytest.raises(DataError, match="depth"):
        draw(
            Projection(torch.zeros(1, 3, 2), torch.zeros(1, 2), torch.ones(1, 3)), TRIANGLE, (8, 8)
        )


@BACK_ENDS
def test_no_triangles_and_far_away_corners(draw):
    assert not bool(draw(flat(CORNERS), torch.zeros(0, 3, dtype=torch.long), (4, 4)).mask.any())
    huge = flat([[-1e6, -1e6], [1e6, -1e6], [0, 1e6]])
    assert bool(draw(huge, TRIANGLE, (6, 5)).mask.all())


def test_gradients_to_attributes():
    found = rasterize_numba(flat([CORNERS, [[1.0, 1], [8, 2], [2, 8]]]), TRIANGLE, (8, 8))
    values = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: found.interpolate(v, TRIANGLE), values)
    shared = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: found.interpolate(v, TRIANGLE), shared)


def test_interpolation_with_and_without_gradients_is_the_same():
    found = rasterize_numba(flat([CORNERS, [[1.0, 1], [8, 2], [2, 8]]]), TRIANGLE, (8, 8))
    values = torch.randn(2, 3, 4)
    plain = found.interpolate(values, TRIANGLE)
    assert torch.allclose(
        found.interpolate(values.clone().requires_grad_(), TRIANGLE), plain, atol=1e-6
    )
    for picture in range(2):
        corners = values[picture][TRIANGLE[found.face[picture]]]
        expected = (corners * found.weights[picture][..., None]).sum(-2)
        assert torch.allclose(plain[picture], expected, atol=1e-6)
    assert bool((plain[~found.mask] == 0).all())


def test_interpolate_checks_its_triangles():
    found = Fragments(
        torch.ones(1, 1, 1, dtype=torch.bool),
        torch.full((1, 1, 1), 5),
        torch.ones(1, 1, 1, 3) / 3,
        torch.zeros(1, 1, 1),
    )
    with pytest.raises(GeometryError, match="not those that were drawn"):
        found.interpolate(torch.zeros(3, 1), TRIANGLE)


def test_choice():
    assert choose_rasterizer("cpu") is rasterize_numba
    assert choose_rasterizer("cpu", "torch") is rasterize_torch
    assert choose_rasterizer("cuda") is rasterize_torch
    for device, name in (("cuda", "numba"), ("cpu", "nvdiffrast"), ("cpu", "opengl")):
        with pytest.raises(ConfigError, match="does not run"):
            choose_rasterizer(device, name)


def test_nvdiffrast_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "nvdiffrast", None)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", None)
    with pytest.raises(MissingExtra, match="nvdiffrast"):
        choose_rasterizer("cuda", "nvdiffrast")


@pytest.fixture
def stand_in(monkeypatch):
    """A module with nvdiffrast's interface that rasterises from the clip coordinates as OpenGL
    defines them.
    """
    module = types.ModuleType("nvdiffrast.torch")
    module.calls = []
    module.RasterizeCudaContext = lambda device: device

    def rasterize(context, clip, faces, resolution, grad_db):
        module.calls.append(clip)
        height, width = resolution
        w = clip[..., 3]
        plane = (clip[..., :2] / w[..., None] + 1) / 2 * torch.tensor([width, height])
        nearer = -clip[..., 2] / w  # OpenGL: smaller is nearer
        found = rasterize_torch(Projection(plane, nearer, 1 / w), faces.long(), (height, width))
        number = torch.where(found.mask, found.face + 1, 0)
        return torch.cat(
            [found.weights[..., :2], -found.depth[..., None], number[..., None]], -1
        ), None

    module.rasterize = rasterize
    package = types.ModuleType("nvdiffrast")
    package.torch = module
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    return module


@pytest.mark.parametrize("pinhole", [False, True])
@pytest.mark.parametrize("cull", [False, True])
def test_nvdiffrast_gets_clip_coordinates(stand_in, pinhole, cull):
    model = load_makehuman()
    camera = Camera(
        rotation_from_euler(*torch.tensor([[0.4, -0.3], [0.1, 0.0], [0.05, 0.2]])),
        torch.tensor([[48.0, 40.0], [50.0, 44.0]]),
        torch.tensor([-1.1, -1.0]),
    )
    camera = camera.as_pinhole(Frame(96, 80), 25.0) if pinhole else camera
    projection = camera.project(model.mean.expand(2, -1, -1))
    faces = model.topology.faces
    found = NvdiffrastRasterizer()(projection, faces, (96, 80), cull_back_faces=cull)
    expected = rasterize_torch(projection, faces, (96, 80), cull_back_faces=cull)
    assert float((found.mask ^ expected.mask).sum()) <= 2
    both = found.mask & expected.mask
    same = (found.face == expected.face) & both
    assert float(same.sum() / both.sum()) > 0.998  # the stand-in's depth is rounded
    assert torch.allclose(found.weights[same], expected.weights[same], atol=2e-2)
    assert float((found.depth - expected.depth)[same].abs().max()) < 0.05
    clip = torch.cat(stand_in.calls)
    assert float((clip[..., 2] / clip[..., 3]).abs().max()) <= 1
    assert torch.allclose(1 / clip[..., 3], projection.inverse_distance, rtol=1e-5)


def test_clip_coordinates_by_hand():
    projection = Projection(
        torch.tensor([[[0.0, 0], [20, 10], [10, 5]]]),
        torch.tensor([[0.0, 50, 90]]),
        1 / torch.tensor([[100.0, 50, 10]]),
    )
    clip = clip_coordinates(projection, (10, 20))
    plane = clip[..., :2] / clip[..., 3:]
    assert torch.allclose(plane, torch.tensor([[[-1.0, -1], [1, 1], [0, 0]]]), atol=1e-6)
    z = (clip[..., 2] / clip[..., 3])[0]
    assert -1 <= float(z[2]) < float(z[1]) < float(z[0]) <= 1  # nearer is smaller
    # Linear in the picture: z / w = a + b / w.
    slope = (z[1] - z[0]) / (1 / 50 - 1 / 100)
    assert float(z[2]) == pytest.approx(float(z[0] + slope * (1 / 10 - 1 / 100)), abs=1e-4)


def test_nvdiffrast_with_nothing_to_draw(stand_in):
    found = NvdiffrastRasterizer()(flat(CORNERS), TRIANGLE.flip(1), (8, 8), cull_back_faces=True)
    assert not bool(found.mask.any())
    assert found.weights.shape == (1, 8, 8, 3)
