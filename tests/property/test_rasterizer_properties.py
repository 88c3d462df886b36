"""What holds for every mesh: each pixel once, weights that sum to one, and rigid motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from facemorph.geometry.rendering.camera import Camera, Projection
from facemorph.geometry.rendering.rasterizer import rasterize_torch
from facemorph.geometry.rendering.rasterizer_numba import rasterize_numba
from facemorph.ops.rotations import rotation_from_vector

BACK_ENDS = pytest.mark.parametrize("draw", [rasterize_torch, rasterize_numba])
SIZE = (14, 17)
# Halves fall on pixel centres: edges and corners exactly on them are the hard case.
PLACES = st.lists(
    st.tuples(st.integers(0, 34), st.integers(0, 28)), min_size=0, max_size=14, unique=True
)


def paved(places, shift: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A triangulation of the whole picture and a margin, with corners at halves of pixels."""
    corners = [(-4, -4), (38, -4), (-4, 32), (38, 32)]
    points = (
        np.array(corners + [place for place in places if place not in corners], float) / 2 + shift
    )
    return torch.from_numpy(points).float(), torch.from_numpy(
        Delaunay(points).simplices.astype(np.int64)
    )


def project(points: torch.Tensor) -> Projection:
    return Projection(points[None], torch.zeros(1, len(points)), torch.ones(1, len(points)))


@BACK_ENDS
@settings(max_examples=40)
@given(places=PLACES, shift=st.sampled_from([0.0, 0.25, 0.1]))
def test_each_pixel_once(draw, places, shift):
    points, faces = paved(places, shift)
    together = draw(project(points), faces, SIZE)
    assert bool(together.mask.all())  # none left out
    alone = sum(draw(project(points), face[None], SIZE).mask.int() for face in faces)
    assert int(alone.max()) == 1
    assert int(alone.min()) == 1


@BACK_ENDS
@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_weights_are_a_partition_of_unity(draw, seed):
    generator = torch.Generator().manual_seed(seed)
    points = torch.rand(2, 10, 2, generator=generator) * 30 - 6
    projection = Projection(
        points,
        torch.randn(2, 10, generator=generator),
        torch.rand(2, 10, generator=generator) + 0.05,
    )
    faces = torch.randint(0, 10, (12, 3), generator=generator)
    found = draw(projection, faces, SIZE)
    assert float(found.weights.min()) >= 0
    total = found.weights.sum(-1)
    assert torch.allclose(total[found.mask], torch.ones(()), atol=1e-6)
    for field in (total, found.face, found.depth):
        assert bool((field[~found.mask] == 0).all())
    ones = found.interpolate(torch.ones(10, 1), faces)[..., 0]
    assert torch.allclose(ones, found.mask.float(), atol=1e-6)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_turning_head_and_camera_together_changes_nothing(seed):
    """Vertices turned one way and the head's rotation turned back: the same picture."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(1, 12, 3, generator=generator, dtype=torch.float64) * 5
    faces = torch.randint(0, 12, (10, 3), generator=generator)
    turn = rotation_from_vector(torch.randn(1, 3, generator=generator, dtype=torch.float64))
    camera = Camera(
        torch.eye(3, dtype=torch.float64)[None],
        torch.tensor([[8.0, 7.0]], dtype=torch.float64),
        torch.zeros(1, dtype=torch.float64),
    )
    one = rasterize_numba(camera.project(points), faces, SIZE)
    other = rasterize_numba(
        camera.turned(turn.transpose(1, 2)).project(points @ turn.transpose(1, 2)), faces, SIZE
    )
    same = (one.mask == other.mask) & (one.face == other.face)
    assert float(same.float().mean()) > 0.98  # rounding at edges
    both = same & one.mask
    # Slivers amplify the rounding of the turned vertices.
    assert float((one.depth - other.depth)[both].abs().median() if bool(both.any()) else 0) < 1e-4


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), x=st.integers(-5, 5), y=st.integers(-5, 5))
def test_whole_pixels_move_the_picture(seed, x, y):
    generator = torch.Generator().manual_seed(seed)
    points = (torch.rand(8, 2, generator=generator) * 4096).round() / 256  # exact after the move
    faces = torch.randint(0, 8, (6, 3), generator=generator)
    here = rasterize_torch(project(points + 8), faces, (32, 32))
    there = rasterize_torch(project(points + 8 + torch.tensor([x, y])), faces, (32, 32))
    assert torch.equal(here.mask.roll((y, x), (1, 2)), there.mask)
    assert torch.allclose(here.weights.roll((y, x), (1, 2)), there.weights, atol=1e-5)
