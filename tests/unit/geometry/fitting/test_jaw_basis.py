"""Landmarks of a model whose jaw is a joint: against the model itself, autograd, and a fit of
made-up faces.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from facemorph.errors import GeometryError
from facemorph.geometry.fitting.jaw_basis import LARGEST, JawBasis
from facemorph.geometry.fitting.landmark_fit import LandmarkFitter
from facemorph.geometry.fitting.landmark_solver import FitOptions
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.morphable_model import MorphableModel, Skeleton
from facemorph.ops.rotations import angle_between, rotation_from_euler

JAW = 2


@pytest.fixture(scope="module")
def model():
    """The embedded head with FLAME's kind of skeleton: a jaw that turns, statistical expressions,
    correctives.
    """
    head = load_makehuman()
    generator = torch.Generator().manual_seed(0)
    below = torch.sigmoid((-35 - head.mean[:, 1]) / 6) * torch.sigmoid((head.mean[:, 2] - 5) / 10)
    neck = (1 - below) * torch.sigmoid((-100 - head.mean[:, 1]) / 10)
    weights = torch.stack([neck, torch.zeros_like(neck), below], 1)
    joints = torch.tensor([[0.0, -100, -40], [0, -60, -30], [0, -25, -10]])
    skeleton = Skeleton(
        ("neck", "head", "jaw"),
        (-1, 0, 0),
        joints,
        torch.randn(80, 3, 3, generator=generator) * 0.5,
        weights,
        torch.randn(12, 3, 3, generator=generator) * 0.2,
        torch.randn(27, head.num_vertices, 3, generator=generator) * 0.05,
    )
    chosen = head.expression_index(
        "mouthSmile", "browDown", "browOuterUp", "eyeBlink", "eyeSquint", "mouthFrown"
    )
    return MorphableModel(
        "jawed",
        head.mean,
        head.identity_basis,
        head.expression_basis[chosen] * 0.4,
        [f"expression_{index}" for index in range(12)],
        replace(head.topology),
        skeleton=skeleton,
        expression_range=(-torch.inf, torch.inf),
    )


def coefficients(basis, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    identity = torch.randn(count, basis.num_identity, generator=generator)
    local = torch.randn(count, basis.num_local, generator=generator)
    local[:, -3:] = torch.rand(count, 3, generator=generator) * torch.tensor(LARGEST)
    return identity, local


def test_points_are_those_of_the_model(model):
    basis = JawBasis(model, None, True)
    identity, local = coefficients(basis, 3)
    joints = torch.zeros(3, 3, 3)
    joints[:, JAW] = local[:, -3:]
    vertices = model.vertices(identity, local[:, :-3], joints)
    assert (
        float((basis.points(identity, local)[:, :68] - model.landmarks(vertices)).abs().max())
        < 1e-3
    )
    found = basis.points(identity, local)[:, 68:].view(3, 17, -1, 3)
    assert float((found - model.topology.contour.of(vertices)).abs().max()) < 1e-3
    everyone, expression, full = basis.full(identity, local)
    assert torch.equal(full[:, JAW], local[:, -3:])
    assert not bool(full[:, :JAW].any())
    assert torch.equal(everyone, identity)
    assert torch.equal(expression, local[:, :-3])


def test_derivatives_are_those_of_autograd(model):
    basis = JawBasis(model, 5, True)
    identity, local = coefficients(basis, 2)
    chosen = torch.arange(68).repeat(2, 1)
    chosen[1, 3] = 68 + 3 * basis.num_candidates + 4  # one that has slid
    points, derivative = basis.points_and_derivative(identity, local, chosen)
    for picture in range(2):

        def one(values, picture=picture):
            return basis.points(
                values[None, basis.num_local :],
                values[None, : basis.num_local],
                chosen[picture : picture + 1],
            )[0]

        expected = torch.func.jacfwd(one)(torch.cat([local[picture], identity[picture]]))
        assert float((derivative[picture] - expected).abs().max()) < 2e-3 * float(
            expected.abs().max()
        )
        assert torch.allclose(
            points[picture], one(torch.cat([local[picture], identity[picture]])), atol=1e-4
        )


def test_open_mouths_are_found(model):
    generator = torch.Generator().manual_seed(3)
    basis = JawBasis(model, None, True)
    identity, local = coefficients(basis, 6)
    identity, local = identity * 0.5, local * 0.3
    local[:, -3:] = torch.tensor(
        [[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0], [0.3, 0, 0], [0.4, 0, 0], [0.5, 0, 0]]
    )
    from facemorph.geometry.rendering.camera import Camera

    camera = Camera(
        rotation_from_euler(torch.linspace(-0.2, 0.2, 6), torch.full((6,), 0.1), torch.zeros(6)),
        torch.full((6, 2), 128.0),
        torch.zeros(6),
    )
    marks = camera.project(basis.points(identity, local, torch.arange(68).repeat(6, 1))).pixels
    marks = marks + 0.2 * torch.randn(marks.shape, generator=generator)
    fit = LandmarkFitter(model, FitOptions(noise=0.01, slide_above=180.0))(marks)
    opened = fit.joints[:, JAW, 0]
    assert float((opened - local[:, -3]).abs().mean()) < 0.06
    assert bool((opened.diff() > 0).all())
    assert float(fit.error.max()) < 0.02
    assert float(angle_between(fit.camera.rotation, camera.rotation).mean()) < 0.05
    closed = LandmarkFitter(model, FitOptions(expression=False))(marks)
    assert not bool(closed.joints.any())


def test_statistical_expressions_are_in_standard_deviations(model):
    prior = JawBasis(model, None, True).local_prior(0.3)
    assert torch.equal(prior[:12, :12], torch.eye(12))
    assert float(prior[12, 12]) == pytest.approx(25.0)
    assert torch.equal(prior, torch.diag(prior.diagonal()))
    low, high = JawBasis(model, None, True).local_range()
    assert low[12:].tolist() == pytest.approx([0.0, -0.15, -0.15])
    assert bool(torch.isinf(high[:12]).all())


def test_models_without_a_jaw_joint():
    with pytest.raises(GeometryError, match="no joint"):
        JawBasis(load_makehuman(), None, True)
