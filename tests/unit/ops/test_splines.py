"""Cubic splines: what must hold exactly, at the borders, and for pictures of a few pixels. Thin
plates against SciPy's.
"""

import pytest
import torch
from scipy.interpolate import RBFInterpolator

from facemorph.ops.splines import (
    basis,
    evaluate_spline,
    evaluate_thin_plate,
    interpolation_matrix,
    kernel_sum,
    sample_spline,
    solve_thin_plate,
    spline_coefficients,
    thin_plate_kernel,
)


def centres(height, width):
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).double()


@pytest.mark.parametrize(("height", "width"), [(7, 9), (1, 1), (1, 5), (2, 2), (3, 1), (3, 4)])
def test_the_samples_are_met(height, width):
    image = torch.rand(1, 3, height, width, dtype=torch.float64)
    coefficients = spline_coefficients(image)
    plain = evaluate_spline(coefficients[0], centres(height, width).reshape(-1, 2))
    torch.testing.assert_close(plain.t().reshape(image.shape), image, rtol=0, atol=1e-11)
    torch.testing.assert_close(
        sample_spline(coefficients, centres(height, width)[None]), image, rtol=0, atol=1e-11
    )


def test_a_constant_stays_constant():
    coefficients = spline_coefficients(torch.full((1, 1, 5, 6), 0.37, dtype=torch.float64))
    torch.testing.assert_close(
        coefficients, torch.full_like(coefficients, 0.37), rtol=0, atol=1e-12
    )
    points = torch.rand(50, 2, dtype=torch.float64) * 12 - 3
    assert float((evaluate_spline(coefficients[0], points) - 0.37).abs().max()) < 1e-12


@pytest.mark.parametrize("derivative", [0, 1, 2])
def test_the_basis_sums_to_one_and_its_derivatives_to_zero(derivative):
    fraction = torch.linspace(0, 1, 21, dtype=torch.float64)
    total = basis(fraction, derivative).sum(-1)
    torch.testing.assert_close(
        total, torch.full_like(total, float(derivative == 0)), rtol=0, atol=1e-14
    )


def test_the_basis_is_twice_continuous_across_a_knot():
    for derivative in (0, 1, 2):
        before = basis(torch.tensor([1.0], dtype=torch.float64), derivative)[0]
        after = basis(torch.tensor([0.0], dtype=torch.float64), derivative)[0]
        torch.testing.assert_close(before[1:], after[:3], rtol=0, atol=1e-14)
        assert float(before[0]) == pytest.approx(0.0, abs=1e-14)
        assert float(after[3]) == pytest.approx(0.0, abs=1e-14)


def test_outside_the_border_goes_on_and_has_no_slope_across():
    coefficients = spline_coefficients(torch.rand(1, 2, 6, 7, dtype=torch.float64))[0]
    inside = torch.tensor([[0.5, 2.3], [6.5, 2.3], [3.1, 0.5], [3.1, 5.5]], dtype=torch.float64)
    outside = torch.tensor([[-4.0, 2.3], [9.0, 2.3], [3.1, -1.0], [3.1, 8.0]], dtype=torch.float64)
    assert torch.equal(
        evaluate_spline(coefficients, inside), evaluate_spline(coefficients, outside)
    )
    across_x = evaluate_spline(coefficients, outside[:2], (1, 0))
    along_y = evaluate_spline(coefficients, outside[:2], (0, 1))
    assert not across_x.any()
    torch.testing.assert_close(along_y, evaluate_spline(coefficients, inside[:2], (0, 1)))
    points = outside.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(evaluate_spline(coefficients, points)[:, 0].sum(), points)
    expected = torch.stack(
        [evaluate_spline(coefficients, outside, orders)[:, 0] for orders in ((1, 0), (0, 1))], 1
    )
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


def test_gradcheck():
    image = torch.rand(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    points = (torch.rand(3, 2, dtype=torch.float64) * 3 + 0.7).requires_grad_()
    assert torch.autograd.gradcheck(spline_coefficients, image)
    assert torch.autograd.gradcheck(
        lambda i, p: evaluate_spline(spline_coefficients(i)[0], p), (image, points)
    )
    dense = points[None, None].detach().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda i, p: sample_spline(spline_coefficients(i), p), (image, dense)
    )


@pytest.mark.parametrize("count", [5, 6, 21])
def test_interpolation_matrix_reproduces_cubics(count):
    nodes = torch.linspace(-1.2, 1.2, count, dtype=torch.float64)
    queries = torch.linspace(-1.2, 1.2, 50, dtype=torch.float64)
    matrix = interpolation_matrix(nodes, queries)
    for power in range(4):
        torch.testing.assert_close(matrix @ nodes**power, queries**power, rtol=0, atol=1e-11)
    quartic = (matrix @ nodes**4 - queries**4).abs().max()
    assert float(quartic) > 1e-6  # the test can tell
    torch.testing.assert_close(
        interpolation_matrix(nodes, nodes),
        torch.eye(count, dtype=torch.float64),
        rtol=0,
        atol=1e-12,
    )


# ------------------------------------------------------------
# thin plates
def places(count):
    return torch.rand(count, 2, dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("smoothing", [0.0, 1e-3])
def test_thin_plates_against_scipy(smoothing):
    knots, values, points = places(200), torch.randn(200, 2, dtype=torch.float64), places(3000)
    found = evaluate_thin_plate(points, knots, solve_thin_plate(knots, values, smoothing))
    expected = RBFInterpolator(
        knots.numpy(), values.numpy(), kernel="thin_plate_spline", smoothing=smoothing
    )(points.numpy())
    assert float((found - torch.from_numpy(expected)).abs().max()) < 2e-5 * abs(expected).max()


def test_the_in_place_kernel_sum_is_the_plain_one():
    points, knots, weights = (
        places(5000),
        places(7),
        torch.randn(7, 2, dtype=torch.float64),
    )
    fast = kernel_sum(points, knots, weights)
    plain = kernel_sum(points.clone().requires_grad_(), knots, weights)
    torch.testing.assert_close(fast, plain.detach(), rtol=0, atol=1e-13)


def test_the_kernel_is_finite_with_its_gradient_at_zero():
    squared = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    value = thin_plate_kernel(squared)
    value.backward()
    assert float(value.detach()) == 0
    assert bool(squared.grad.isfinite().all())


def test_thin_plate_meets_its_values_and_reproduces_affine_maps():
    knots = places(40)
    values = torch.randn(len(knots), 3, dtype=torch.float64)
    weights = solve_thin_plate(knots, values)
    met = evaluate_thin_plate(knots, knots, weights)
    torch.testing.assert_close(met, values, rtol=0, atol=1e-6)
    # Side conditions of the thin plate: no net force, no torque.
    assert float(weights[:-3].sum(0).abs().max()) < 1e-6
    assert float((knots.T @ weights[:-3]).abs().max()) < 1e-6
    affine = solve_thin_plate(
        knots, knots @ torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64) + 3
    )
    assert float(affine[:-3].abs().max()) < 1e-6
