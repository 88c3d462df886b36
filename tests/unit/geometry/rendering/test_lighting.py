"""Spherical-harmonics light."""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.errors import DataError, GeometryError
from facemorph.geometry.rendering.lighting import (
    ambient_light,
    fit_light,
    lamp_light,
    normalize_light,
    random_light,
    sh_basis,
    shading,
)


def sphere(count: int = 4000) -> torch.Tensor:
    """Normals evenly over the sphere, in float64."""
    index = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * index / count
    angle = index * math.pi * (3 - math.sqrt(5))
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)


def test_basis_is_orthonormal():
    basis = sh_basis(sphere())
    assert torch.allclose(
        basis.T @ basis * (4 * math.pi / len(basis)), torch.eye(9, dtype=torch.float64), atol=2e-3
    )


def test_ambient_light_is_the_same_everywhere():
    light = ambient_light(torch.tensor([0.2, 0.5, 0.9]))
    assert torch.allclose(
        shading(sphere().float(), light), torch.tensor([0.2, 0.5, 0.9]).expand(4000, 3), atol=1e-6
    )


def test_a_lamp_is_the_clamped_cosine():
    """Ramamoorthi and Hanrahan: second order leaves about 1 % of the energy; here against the
    integral itself.
    """
    normals = sphere()
    lamp = torch.nn.functional.normalize(
        torch.tensor([[0.3, 0.5, 0.8]], dtype=torch.float64), dim=-1
    )
    light = lamp_light(lamp[None], torch.ones(1, 1, 3, dtype=torch.float64))
    cosine = (normals @ lamp[0]).clamp(min=0)
    error = shading(normals, light[0])[:, 0] - cosine
    assert float(error.square().mean() / cosine.square().mean()) < 0.01
    # Best of all second-order lights: what is left is orthogonal to the basis.
    assert float((sh_basis(normals).T @ error).abs().max() / len(normals)) < 1e-3


def test_two_lamps_add():
    lamps = torch.nn.functional.normalize(torch.randn(1, 2, 3), dim=-1)
    colours = torch.rand(1, 2, 3)
    alone = sum(lamp_light(lamps[:, i:][:, :1], colours[:, i:][:, :1]) for i in range(2))
    assert torch.allclose(lamp_light(lamps, colours), alone, atol=1e-6)


def front_disc(count: int = 80) -> torch.Tensor:
    """Normals of the pixels of a sphere as a camera sees it: each with the same area in the
    picture.
    """
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, count)] * 2, indexing="ij")
    inside = x * x + y * y < 0.999
    x, y = x[inside], y[inside]
    return torch.stack([x, y, (1 - x * x - y * y).sqrt()], -1)


def test_random_light_leaves_no_face_black_or_white():
    light = random_light(300, torch.Generator().manual_seed(0))
    lit = shading(front_disc()[None], light[:, None])  # (300, P, 3)
    mean = lit.mean((1, 2))
    assert float(mean.min()) > 0.6
    assert float(mean.max()) < 1.1
    assert float((lit.amin((1, 2)) / mean).min()) > 0.3
    assert float(lit.max()) < 1.35
    contrast = lit.mean(2).std(1) / mean
    assert float(contrast.median()) > 0.1  # not flat either
    again = random_light(300, torch.Generator().manual_seed(0))
    assert torch.equal(light, again)


def test_normalising_a_light_without_light():
    light = normalize_light(torch.zeros(1, 9, 3), torch.tensor([0.8]))
    assert torch.allclose(shading(sphere().float(), light[0]), torch.tensor(0.8), atol=1e-6)


def test_fit_recovers_the_light_despite_highlights():
    generator = torch.Generator().manual_seed(1)
    normals = front_disc(40)
    light = random_light(1, generator)[0]
    albedo = 0.3 + 0.4 * torch.rand(len(normals), 3, generator=generator)
    colours = albedo * shading(normals, light)
    exact = fit_light(normals, albedo, colours, ridge=1e-9)
    assert float((shading(normals, exact) - shading(normals, light)).abs().max()) < 1e-3
    colours[::20] = 1.0  # highlights
    robust = fit_light(normals, albedo, colours)
    plain = fit_light(normals, albedo, colours, rounds=1)
    gaps = [
        float((shading(normals, one) - shading(normals, light)).abs().mean())
        for one in (robust, plain)
    ]
    assert gaps[0] < 0.02
    assert gaps[0] < gaps[1] / 2


def test_fit_listens_to_weights():
    normals = front_disc(30)
    colours = torch.full_like(normals, 0.5)
    colours[normals[:, 0] > 0] = 0.9
    weights = (normals[:, 0] <= 0).float()
    light = fit_light(normals, torch.ones_like(normals), colours, weights, ridge=1e-2)
    assert torch.allclose(shading(normals[weights > 0], light), torch.tensor(0.5), atol=0.02)


def test_fit_refuses_too_little():
    normals = front_disc(30)
    with pytest.raises(GeometryError, match="too few"):
        fit_light(normals, normals, normals, torch.zeros(len(normals)))
    with pytest.raises(GeometryError, match="not numbers"):
        fit_light(normals, torch.full_like(normals, math.nan), normals)
    with pytest.raises(DataError, match="albedo"):
        fit_light(normals, normals[:5], normals)


def test_gradients():
    normals = torch.nn.functional.normalize(
        torch.randn(4, 3, dtype=torch.float64), dim=-1
    ).requires_grad_()
    light = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(shading, (normals, light))
