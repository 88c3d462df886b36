"""Frames: both coordinate systems, their centres, anchors, and pictures that are not square."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facemorph.errors import ConfigError
from facemorph.ops.frames import Frame, edge_grid

sides = st.integers(1, 5000)


@given(height=sides, width=sides, seed=st.integers(0, 1000))
def test_round_trip(height, width, seed):
    frame = Frame(height, width)
    pixels = (
        torch.rand(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 6000
        - 500
    )
    torch.testing.assert_close(
        frame.to_pixels(frame.from_pixels(pixels)), pixels, rtol=0, atol=1e-9
    )


@given(height=sides, width=sides)
def test_isotropic_with_the_longer_side_from_minus_one_to_one(height, width):
    frame = Frame(height, width)
    corners = frame.from_pixels(torch.tensor([[0.0, 0.0], [width, height]], dtype=torch.float64))
    assert float(corners.abs().max()) == 1.0
    torch.testing.assert_close(corners[0], -corners[1])
    one = frame.from_pixels(torch.tensor([[3.0, 4.0], [4.0, 5.0]], dtype=torch.float64))
    step = one[1] - one[0]
    assert float(step[0]) == pytest.approx(float(step[1]), abs=1e-12)
    assert float(step[0]) == pytest.approx(2 / max(height, width), rel=1e-9)


@pytest.mark.parametrize("size", [1, 2, 5, 512])
def test_pixel_centres_of_a_square(size):
    centres = Frame(size, size).pixel_centres(torch.float64)
    expected = (2 * torch.arange(size, dtype=torch.float64) + 1) / size - 1
    for row in range(min(size, 3)):
        torch.testing.assert_close(centres[row, :, 0], expected, rtol=0, atol=1e-15)
        torch.testing.assert_close(centres[:, row, 1], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("size", [(3, 5), (6, 2), (1, 7), (300, 512)])
def test_pixel_centres_lie_at_halves(size):
    frame = Frame(*size)
    pixels = frame.to_pixels(frame.pixel_centres(torch.float64))
    assert pixels.shape == (*size, 2)
    torch.testing.assert_close(
        pixels[..., 0], (torch.arange(size[1]) + 0.5).double().expand(size), rtol=0, atol=1e-9
    )
    torch.testing.assert_close(
        pixels[..., 1],
        (torch.arange(size[0]) + 0.5).double()[:, None].expand(size),
        rtol=0,
        atol=1e-9,
    )


def test_centres_are_those_of_grid_sample():
    image = torch.rand(1, 2, 6, 6)
    again = torch.nn.functional.grid_sample(
        image, Frame(6, 6).pixel_centres()[None], align_corners=False
    )
    torch.testing.assert_close(again, image)


@pytest.mark.parametrize("size", [(4, 8), (8, 4), (5, 5)])
@pytest.mark.parametrize("per_side", [1, 2, 4])
def test_anchors_lie_on_the_border_once(size, per_side):
    frame = Frame(*size)
    pixels = frame.to_pixels(frame.border_anchors(per_side))
    assert pixels.shape == (4 * per_side, 2)
    on_border = (
        (pixels[:, 0] == 0)
        | (pixels[:, 0] == size[1])
        | (pixels[:, 1] == 0)
        | (pixels[:, 1] == size[0])
    )
    assert bool(on_border.all())
    assert len(torch.unique(pixels, dim=0)) == 4 * per_side
    corners = {(0.0, 0.0), (size[1], 0.0), (size[1], size[0]), (0.0, size[0])}
    assert corners <= {tuple(row) for row in pixels.tolist()}


def test_of_an_image_and_value_semantics():
    assert Frame.of(torch.zeros(2, 3, 6, 9)) == Frame(6, 9)
    assert hash(Frame(6, 9)) == hash(Frame(6, 9))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Frame(1, 2).height = 3


def test_dtype_is_that_of_the_points():
    for dtype in (torch.float32, torch.float64):
        assert Frame(3, 4).from_pixels(torch.ones(1, 2, dtype=dtype)).dtype == dtype
        assert Frame(3, 4).to_pixels(torch.ones(1, 2, dtype=dtype)).dtype == dtype
        assert Frame(3, 4).pixel_centres(dtype).dtype == dtype


def test_scaled_frames_keep_their_shape_and_refuse_odd_sizes():
    assert Frame(300, 400).scaled_to(200) == Frame(150, 200)
    assert Frame(400, 300).scaled_to(800) == Frame(800, 600)
    assert Frame(1, 1000).scaled_to(10) == Frame(1, 10)
    for size in (0, -5, 70000):
        with pytest.raises(ConfigError, match="unusable size"):
            Frame(300, 400).scaled_to(size)


def test_the_grid_from_edge_to_edge_samples_a_picture_itself():
    picture = torch.rand(1, 2, 3, 5, dtype=torch.float64)
    grid = edge_grid(3, 5, picture)
    assert grid.shape == (1, 3, 5, 2)
    torch.testing.assert_close(
        grid[0, 0, :, 0], torch.tensor([-0.8, -0.4, 0.0, 0.4, 0.8], dtype=torch.float64)
    )
    sampled = torch.nn.functional.grid_sample(picture, grid, align_corners=False)
    torch.testing.assert_close(sampled, picture)
