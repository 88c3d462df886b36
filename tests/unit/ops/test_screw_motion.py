"""Screw motions against the matrix exponential, and their products against autograd."""

from __future__ import annotations

import pytest
import torch

from facemorph.ops.rotations import cross_matrix
from facemorph.ops.screw_motion import move_by_screws, screw_products


@pytest.mark.parametrize("size", [0.0, 1e-8, 1e-3, 0.09, 0.11, 1.0, 3.0, 6.0])
def test_it_is_the_exponential_of_the_twist(size):
    generator = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(
        torch.randn(5, 3, generator=generator, dtype=torch.float64), dim=1
    )
    screws = torch.cat(
        [direction * size, torch.randn(5, 3, generator=generator, dtype=torch.float64)], 1
    )
    points = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    twist = torch.zeros(5, 4, 4, dtype=torch.float64)
    twist[:, :3, :3], twist[:, :3, 3] = cross_matrix(screws[:, :3]), screws[:, 3:]
    moved = (
        torch.linalg.matrix_exp(twist)
        @ torch.cat([points, torch.ones(5, 1)], 1).double()[..., None]
    )[:, :3, 0]
    assert float((move_by_screws(points, screws) - moved).abs().max()) < 1e-10


@pytest.mark.parametrize("size", [0.0, 1e-4, 0.09, 0.11, 1.0, 3.0])
def test_products_are_those_of_autograd(size):
    generator = torch.Generator().manual_seed(1)
    direction = torch.nn.functional.normalize(
        torch.randn(4, 3, generator=generator, dtype=torch.float64), dim=1
    )
    screws = torch.cat(
        [direction * max(size, 1e-9), torch.randn(4, 3, generator=generator, dtype=torch.float64)],
        1,
    )
    points, cotangent = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    _, expected = torch.func.vjp(move_by_screws, points, screws)
    for found, wanted in zip(
        screw_products(points, screws, cotangent), expected(cotangent), strict=True
    ):
        assert float((found - wanted).abs().max()) < 1e-9


def test_gradients_of_products_pass_gradcheck():
    generator = torch.Generator().manual_seed(2)
    points, cotangent = torch.randn(
        2, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True
    ).unbind(0)
    for size in (0.02, 0.8):
        screws = (
            torch.randn(3, 6, generator=generator, dtype=torch.float64) * size
        ).requires_grad_()
        assert torch.autograd.gradcheck(
            lambda *x: torch.cat(screw_products(*x), -1), (points, screws, cotangent)
        )
