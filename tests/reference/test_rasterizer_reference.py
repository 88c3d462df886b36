"""The rasterisers against a loop over pixels in exact fractions, one another, and shapes that rays
are met with.
"""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from facemorph.bench.raster import cylinder_error, sphere_error
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera, Projection
from facemorph.geometry.rendering.rasterizer import rasterize_torch
from facemorph.geometry.rendering.rasterizer_numba import rasterize_numba
from facemorph.geometry.rendering.renders import MeshView
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler

BACK_ENDS = pytest.mark.parametrize("draw", [rasterize_torch, rasterize_numba])


def exact(projection: Projection, faces, size):
    """Nearest triangle of every pixel and its perspective-correct weights, in exact arithmetic."""
    pixels, depth, inverse = (
        [[Fraction(float(v)) for v in row] for row in part[0].reshape(-1, width).tolist()]
        for part, width in (
            (projection.pixels, 2),
            (projection.depth, 1),
            (projection.inverse_distance, 1),
        )
    )
    found = {}
    for y in range(size[0]):
        for x in range(size[1]):
            p = (Fraction(2 * x + 1, 2), Fraction(2 * y + 1, 2))
            for number, (i, j, k) in enumerate(faces.tolist()):
                corners = [pixels[i], pixels[j], pixels[k]]

                def edge(a, b, c):
                    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

                area = edge(*corners)
                if area == 0:
                    continue
                shares = [
                    edge(p, corners[(n + 1) % 3], corners[(n + 2) % 3]) / area for n in range(3)
                ]
                if min(shares) <= 0:  # centres on edges: see elsewhere
                    continue
                shares = [share * inverse[v][0] for share, v in zip(shares, (i, j, k), strict=True)]
                total = sum(shares)
                shares = [share / total for share in shares]
                z = sum(share * depth[v][0] for share, v in zip(shares, (i, j, k), strict=True))
                if (y, x) not in found or z > found[y, x][0]:
                    found[y, x] = (z, number, [float(share) for share in shares])
    return found


@BACK_ENDS
@pytest.mark.parametrize("seed", range(4))
def test_random_triangles_in_exact_arithmetic(draw, seed):
    generator = torch.Generator().manual_seed(seed)
    vertices = 12
    projection = Projection(
        torch.rand(1, vertices, 2, generator=generator) * 14 - 1,
        torch.randn(1, vertices, generator=generator),
        torch.rand(1, vertices, generator=generator) + 0.2,
    )
    faces = torch.randint(0, vertices, (15, 3), generator=generator)
    size = (12, 11)
    found, expected = draw(projection, faces, size), exact(projection, faces, size)
    assert {tuple(place) for place in found.mask[0].nonzero().tolist()} == set(expected)
    for (y, x), (z, number, weights) in expected.items():
        assert int(found.face[0, y, x]) == number
        assert float(found.depth[0, y, x]) == pytest.approx(float(z), abs=1e-5)
        assert found.weights[0, y, x].tolist() == pytest.approx(weights, abs=1e-6)


@pytest.mark.parametrize("pinhole", [False, True])
@pytest.mark.parametrize("cull", [False, True])
def test_twins_agree_bit_for_bit(pinhole, cull):
    model = load_makehuman()
    camera = Camera(
        rotation_from_euler(*torch.tensor([[0.4, -0.8], [0.1, -0.2], [0.05, 0.3]])),
        torch.tensor([[64.0, 50.0], [70.0, 60.0]]),
        torch.tensor([-0.8, -0.3]),
    )
    camera = camera.as_pinhole(Frame(120, 130), 30.0) if pinhole else camera
    projection = camera.project(model.mean.expand(2, -1, -1))
    one, other = (
        draw(projection, model.topology.faces, (120, 130), cull_back_faces=cull)
        for draw in (rasterize_torch, rasterize_numba)
    )
    for name in ("mask", "face", "weights", "depth"):
        assert torch.equal(getattr(one, name), getattr(other, name))


@BACK_ENDS
def test_sphere_and_cylinder_of_a_pinhole(draw):
    assert sphere_error(draw, 128) < 0.5
    assert cylinder_error(draw, 128) < 0.5


@BACK_ENDS
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_disc_of_a_sphere_in_weak_perspective(draw, shift):
    """Independent of the benchmark's sphere: an icosphere-like grid, its area and its outline."""
    radius, size, steps = 40.0, 100, 200
    polar = (torch.arange(steps + 1) / steps * math.pi)[:, None]
    around = (torch.arange(2 * steps) / steps * math.pi)[None]
    points = radius * torch.stack(
        [polar.sin() * around.cos(), polar.cos().expand(-1, 2 * steps), polar.sin() * around.sin()],
        -1,
    )
    grid = torch.arange((steps + 1) * 2 * steps).view(steps + 1, 2 * steps)
    a, b, c, d = (
        part.flatten()
        for part in (grid[:-1], grid[:-1].roll(-1, 1), grid[1:], grid[1:].roll(-1, 1))
    )
    faces = torch.cat([torch.stack([a, b, c], 1), torch.stack([b, d, c], 1)])
    camera = Camera(torch.eye(3)[None], torch.tensor([[50 + shift, 50.0]]), torch.zeros(1))
    view = MeshView.of(points.view(1, -1, 3), faces, camera, (size, size), rasterizer=draw)
    y, x = torch.meshgrid(
        torch.arange(size) + 0.5 - 50, torch.arange(size) + 0.5 - 50 - shift, indexing="ij"
    )
    distance = (x * x + y * y).sqrt()
    wrong = view.mask[0, 0] != (distance < radius)
    assert float((distance - radius).abs()[wrong].max() if bool(wrong.any()) else 0) < 0.05
    inside = distance < radius - 1
    depth = (radius**2 - distance**2).clamp(min=0).sqrt()
    assert float((view.depth[0, 0] - depth)[inside].abs().max()) < 0.1
    normal = torch.stack([x, -y, depth], 0) / radius
    assert float((view.normals()[0] - normal)[:, inside].abs().max()) < 0.02
