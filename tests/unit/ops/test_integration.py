"""Runge-Kutta against a solution in closed form and against SciPy."""

from __future__ import annotations

import pytest
import torch
from scipy.integrate import solve_ivp

from facemorph.ops.integration import midpoint, runge_kutta


def swirl(points, time):
    """Rotation about the origin, faster with time."""
    return (1 + time) * torch.stack([-points[..., 1], points[..., 0]], -1)


@pytest.mark.parametrize(("t0", "t1"), [(0.0, 1.0), (1.0, 0.2), (0.3, 0.9)])
def test_against_the_closed_form(t0, t1):
    points = torch.rand(3, 5, 2, dtype=torch.float64) * 2 - 1
    angle = torch.tensor((t1 + t1**2 / 2) - (t0 + t0**2 / 2), dtype=torch.float64)
    turn = torch.stack(
        [torch.stack([angle.cos(), angle.sin()]), torch.stack([-angle.sin(), angle.cos()])]
    )
    assert float((runge_kutta(swirl, points, t0, t1, 40) - points @ turn).abs().max()) < 1e-6


def test_the_order_is_four():
    points = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    found = solve_ivp(
        lambda t, y: swirl(torch.tensor(y)[None], t)[0].numpy(),
        (0, 1),
        [1.0, 0.0],
        rtol=1e-12,
        atol=1e-12,
    )
    exact = torch.tensor(found.y[:, -1])[None]
    errors = [
        float((runge_kutta(swirl, points, 0.0, 1.0, steps) - exact).norm()) for steps in (4, 8, 16)
    ]
    assert 12 < errors[0] / errors[1] < 20
    assert 12 < errors[1] / errors[2] < 20


def test_the_order_of_the_midpoint_rule_is_two():
    points = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    errors = []
    for end in (0.1, 0.05, 0.025):
        exact = runge_kutta(swirl, points, 0.0, end, 20)
        assert torch.equal(
            midpoint(swirl, points, 0.0, end),
            midpoint(swirl, points, 0.0, end, swirl(points, 0.0)),
        )
        errors.append(float((midpoint(swirl, points, 0.0, end) - exact).norm()))
    assert 7 < errors[0] / errors[1] < 9  # of one step: the third power of its length
    assert 7 < errors[1] / errors[2] < 9
