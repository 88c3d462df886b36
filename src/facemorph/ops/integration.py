"""Points carried along a velocity field."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def runge_kutta(
    velocity: Callable[[Tensor, float], Tensor], points: Tensor, t0: float, t1: float, steps: int
) -> Tensor:
    """``points`` at time ``t0`` carried to ``t1`` by the classical Runge-Kutta method of order 4.

    Args:
        velocity: Velocity of points ``(..., 2)`` at a time.
        points: ``(..., 2)``.
        t0: Time of the points.
        t1: Time to reach, before or after ``t0``.
        steps: Number of equal steps.
    """
    step = (t1 - t0) / steps
    for index in range(steps):
        now = t0 + index * step
        k1 = velocity(points, now)
        k2 = velocity(points + 0.5 * step * k1, now + 0.5 * step)
        k3 = velocity(points + 0.5 * step * k2, now + 0.5 * step)
        k4 = velocity(points + step * k3, now + step)
        points = points + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return points


def midpoint(
    velocity: Callable[[Tensor, float], Tensor],
    points: Tensor,
    t0: float,
    t1: float,
    first: Tensor | None = None,
) -> Tensor:
    """``points`` at time ``t0`` carried to ``t1`` by one step of the midpoint method, of order 2.

    Args:
        velocity: Velocity of points ``(..., 2)`` at a time.
        points: ``(..., 2)``.
        t0: Time of the points.
        t1: Time to reach, before or after ``t0``.
        first: ``velocity(points, t0)``, where it is known.
    """
    step = t1 - t0
    first = velocity(points, t0) if first is None else first
    return points + step * velocity(points + 0.5 * step * first, t0 + 0.5 * step)
