"""Rigid motions of points by screws, with their vector-Jacobian product in closed form.

A screw (w, v) moves x to ``R x + V v``, with t = |w| and, by Rodrigues' formula,

    R = 1 + a [w] + b [w]^2,   V = 1 + b [w] + c [w]^2,   a = sin t / t,  b = (1 - cos t) / t^2,  c
    = (t - sin t) / t^3

as ImFace's SE(3) deformations do (Zheng et al. 2022; Park et al., Nerfies, 2021). Departure: series
near t = 0, where their division by t has no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALL = 1e-2  # of t^2: below, the series of four terms is exact to float32


def _ratios(square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """a, b, c for squares of the angle."""
    small = square < SMALL
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    sine, cosine = angle.sin(), angle.cos()
    s = square
    a = torch.where(small, 1 - s / 6 * (1 - s / 20 * (1 - s / 42)), sine / angle)
    b = torch.where(small, (1 - s / 12 * (1 - s / 30 * (1 - s / 56))) / 2, (1 - cosine) / safe)
    c = torch.where(
        small, (1 - s / 20 * (1 - s / 42 * (1 - s / 72))) / 6, (angle - sine) / (safe * angle)
    )
    return a, b, c


def _slopes(square: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of a, b, c along the square of the angle: ``a' = (c - b) / 2``, and so on by
    their definitions.
    """
    small = square < SMALL
    safe = torch.where(small, torch.ones_like(square), square)
    s = square
    of_a = torch.where(small, -1 / 6 + s / 60 - s * s / 1680, (1 - b * s - a) / (2 * safe))
    of_b = torch.where(small, -1 / 24 + s / 360 - s * s / 13440, (a - 2 * b) / (2 * safe))
    of_c = torch.where(small, -1 / 120 + s / 2520 - s * s / 120960, (b - 3 * c) / (2 * safe))
    return of_a, of_b, of_c


def _cross(first: Tensor, second: Tensor) -> Tensor:
    # By components: torch.linalg.cross is slow on a CPU.
    ax, ay, az = first.unbind(-1)
    bx, by, bz = second.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(-1, keepdim=True)


def move_by_screws(points: Tensor, screws: Tensor) -> Tensor:
    """Points ``(..., 3)`` moved by screws ``(..., 6)``: rotation, then translation part."""
    w, v = screws.split(3, -1)
    a, b, c = _ratios(_dot(w, w))
    turned, drawn = _cross(w, points), _cross(w, v)
    return points + a * turned + b * _cross(w, turned) + v + b * drawn + c * _cross(w, drawn)


def screw_products(points: Tensor, screws: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """``cotangent^T d(moved)`` along the points ``(..., 3)`` and along the screws ``(..., 6)``."""
    w, v = screws.split(3, -1)
    g, square = cotangent, _dot(w, w)
    a, b, c = _ratios(square)
    of_a, of_b, of_c = _slopes(square, a, b, c)
    back = _cross(w, g)
    twice = _cross(w, back)
    along_points = g - a * back + b * twice
    along_v = g - b * back + c * twice

    def bent(x: Tensor) -> tuple[Tensor, Tensor]:
        """``g . w x (w x x)`` and its derivative along w."""
        wx, wg, xg = _dot(w, x), _dot(w, g), _dot(x, g)
        return wx * wg - square * xg, x * wg + g * wx - 2 * w * xg

    bent_x, bent_x_w = bent(points)
    bent_v, bent_v_w = bent(v)
    turn_x, turn_v = _dot(g, _cross(w, points)), _dot(g, _cross(w, v))
    along_w = (
        a * _cross(points, g)
        + b * (bent_x_w + _cross(v, g))
        + c * bent_v_w
        + 2 * w * (of_a * turn_x + of_b * (bent_x + turn_v) + of_c * bent_v)
    )
    return along_points, torch.cat([along_w, along_v], -1)
