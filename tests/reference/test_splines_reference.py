"""Cubic splines against scipy: coefficients, values, derivatives; the fast sampler against its
plain twin.
"""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.interpolate import CubicSpline

from facemorph.ops.splines import (
    evaluate_spline,
    interpolation_matrix,
    sample_spline,
    spline_coefficients,
)

SIZES = [(13, 17), (6, 5), (2, 9), (1, 8), (3, 3), (2, 2), (1, 1), (1, 2)]


def picture(height, width, channels=2, dtype=torch.float64):
    return torch.rand(1, channels, height, width, dtype=dtype)


def inner_points(height, width, count=200):
    """Pixels (0 at the edge) between the outermost centres, as ``(N, 2)``."""
    size = torch.tensor([width, height], dtype=torch.float64)
    return torch.rand(count, 2, dtype=torch.float64) * (size - 1) + 0.5


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_coefficients_are_those_of_scipy(height, width):
    image = picture(height, width)
    expected = np.stack(
        [ndimage.spline_filter(channel, 3, mode="mirror") for channel in image[0].numpy()]
    )
    if height == 1 or width == 1:  # scipy leaves an axis of one pixel as it is
        expected = expected * 1.0
    np.testing.assert_allclose(spline_coefficients(image)[0], expected, atol=1e-11)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_values_are_those_of_scipy(height, width):
    image, points = picture(height, width), inner_points(height, width)
    ours = evaluate_spline(spline_coefficients(image)[0], points)
    places = (points - 0.5).numpy().T[::-1]
    expected = np.stack(
        [
            ndimage.map_coordinates(channel, places, order=3, mode="mirror")
            for channel in image[0].numpy()
        ],
        1,
    )
    np.testing.assert_allclose(ours, expected, atol=1e-11)


def test_single_precision():
    image, points = picture(40, 30), inner_points(40, 30)
    exact = evaluate_spline(spline_coefficients(image)[0], points)
    rough = evaluate_spline(spline_coefficients(image.float())[0], points.float())
    assert float((exact - rough).abs().max()) < 1e-5
    assert rough.dtype == torch.float32


@pytest.mark.parametrize("derivatives", [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2)])
def test_derivatives_by_finite_differences(derivatives):
    coefficients = spline_coefficients(picture(9, 11))[0]
    points = inner_points(9, 11).clamp(1.2, 7.8)
    # Not across a centre, where the third derivative jumps.
    fraction = (points - 0.5) % 1
    points = points[((fraction > 0.05) & (fraction < 0.95)).all(1)]
    step = 1e-4

    def central(order, shift, value):
        if order == 0:
            return value(points)
        if order == 1:
            return (value(points + shift) - value(points - shift)) / (2 * step)
        return (value(points + shift) - 2 * value(points) + value(points - shift)) / step**2

    one = torch.eye(2, dtype=torch.float64) * step
    if derivatives == (1, 1):

        def slope(p):
            return evaluate_spline(coefficients, p, (0, 1))

        expected = central(1, one[0], slope)
    else:
        axis = 0 if derivatives[0] else 1
        expected = central(max(derivatives), one[axis], lambda p: evaluate_spline(coefficients, p))
    torch.testing.assert_close(
        evaluate_spline(coefficients, points, derivatives), expected, rtol=0, atol=1e-5
    )


def test_derivatives_by_autograd():
    coefficients = spline_coefficients(picture(9, 11, 1))[0]
    points = inner_points(9, 11).requires_grad_()
    (gradient,) = torch.autograd.grad(
        evaluate_spline(coefficients, points).sum(), points, create_graph=True
    )
    for axis, orders in enumerate([(1, 0), (0, 1)]):
        torch.testing.assert_close(
            gradient[:, axis],
            evaluate_spline(coefficients, points, orders)[:, 0],
            rtol=0,
            atol=1e-12,
        )
    (second,) = torch.autograd.grad(gradient[:, 0].sum(), points)
    torch.testing.assert_close(
        second[:, 0], evaluate_spline(coefficients, points, (2, 0))[:, 0], rtol=0, atol=1e-12
    )
    torch.testing.assert_close(
        second[:, 1], evaluate_spline(coefficients, points, (1, 1))[:, 0], rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_fast_sampler_is_the_sixteen_taps(height, width):
    coefficients = spline_coefficients(picture(height, width, 3))
    size = torch.tensor([width, height], dtype=torch.float64)
    points = torch.rand(1, 21, 19, 2, dtype=torch.float64) * (size + 4) - 2  # also far outside
    fast = sample_spline(coefficients, points)
    plain = evaluate_spline(coefficients[0], points.reshape(-1, 2)).t().reshape(3, 21, 19)
    torch.testing.assert_close(fast[0], plain, rtol=0, atol=1e-12)


def test_the_fast_sampler_takes_batches():
    coefficients = spline_coefficients(torch.rand(3, 2, 8, 9, dtype=torch.float64))
    points = torch.rand(3, 4, 5, 2, dtype=torch.float64) * 9
    together = sample_spline(coefficients, points)
    for index in range(3):
        alone = sample_spline(coefficients[index : index + 1], points[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-14)


@pytest.mark.parametrize("count", [5, 8, 33])
def test_interpolation_matrix_is_the_not_a_knot_spline_of_scipy(count):
    nodes = torch.linspace(-1.3, 0.9, count, dtype=torch.float64)
    queries = torch.linspace(-1.3, 0.9, 77, dtype=torch.float64)
    values = torch.rand(count, 2, dtype=torch.float64)
    expected = CubicSpline(nodes.numpy(), values.numpy(), bc_type="not-a-knot")(queries.numpy())
    np.testing.assert_allclose(interpolation_matrix(nodes, queries) @ values, expected, atol=1e-11)
