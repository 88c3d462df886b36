"""ImFace's field: published counts, gradients against autograd, and what its parts do."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import ConfigError
from facemorph.systems.imface.field import FIVE, DeformationField, ImFaceField, TemplateField

# Weights that the released code keeps beside those that its hyper-networks make, and never uses.
UNUSED = {"se3": 55_454 + 56_099, "translation": 53_519 + 54_164}
PUBLISHED = {"se3": 16_234_526, "translation": 15_731_426}
CODES = 355 * 128 + 355 * 15 * 128
FIXED_LANDMARKS = 68 * 3


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture
def landmarks():
    return torch.randn(68, 3, generator=torch.Generator().manual_seed(0)) * 0.3


@pytest.mark.parametrize("motion", ["se3", "translation"])
def test_published_parameter_counts(landmarks, motion):
    """Module by module: deformation 7.56 M, reference 7.64 M, template 70 k, landmark networks 0.24
    M.
    """
    field = ImFaceField(landmarks, motion=motion)
    assert count(field.template) == 70_420
    assert count(field.expression_landmarks) + count(field.identity_landmarks) == 238_110
    if motion == "se3":
        assert count(field.expression) + 55_454 == 7_557_451
        assert count(field.identity) + 56_099 == 7_641_301
    assert count(field) + UNUSED[motion] + CODES + FIXED_LANDMARKS == PUBLISHED[motion]


@pytest.mark.parametrize("motion", ["se3", "translation"])
@pytest.mark.parametrize("local", ["shared", "separate"])
@pytest.mark.parametrize("hyper", ["per_tensor", "fused"])
def test_gradients_are_those_of_autograd(landmarks, motion, local, hyper):
    torch.manual_seed(0)
    field = ImFaceField(
        landmarks, motion=motion, local=local, hyper=hyper, code=8, hidden=16, layers=1
    ).double()
    torch.nn.init.normal_(field.template.tensors[-2], std=0.1)
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(2, 7, 3, generator=generator, dtype=torch.float64) - 0.5).requires_grad_()
    identity, expression = torch.randn(2, 2, 8, generator=generator, dtype=torch.float64)
    for shown in (expression, None):
        values = field(x, identity, shown)
        expected = torch.autograd.grad(values.distance.sum(), x, create_graph=True)[0]
        assert float((values.gradient - expected).abs().max()) < 1e-8
        inner = (
            torch.autograd.grad(values.distance.sum(), values.neutral)[0]
            if shown is not None
            else expected
        )
        assert float((values.reference_gradient - inner).abs().max()) < 1e-8
        plain = field(x, identity, shown, gradient=False)
        assert plain.gradient is None
        assert torch.equal(plain.distance, values.distance)


def test_training_on_gradients_takes_one_backward_pass(landmarks):
    """The eikonal loss's gradient for every parameter, against autograd's double backward."""
    torch.manual_seed(0)
    field = ImFaceField(landmarks, code=8, hidden=12, layers=1).double()
    torch.nn.init.normal_(field.template.tensors[-2], std=0.1)
    x = torch.rand(1, 5, 3, dtype=torch.float64) - 0.5
    identity, expression = torch.randn(2, 1, 8, dtype=torch.float64)
    names = [name for name, _ in field.named_parameters()]
    ours = torch.autograd.grad(
        (field(x, identity, expression).gradient.norm(dim=-1) - 1).abs().mean(),
        list(field.parameters()),
        allow_unused=True,
    )
    again = x.clone().requires_grad_()
    distance = field(again, identity, expression, gradient=False).distance
    along = torch.autograd.grad(distance.sum(), again, create_graph=True)[0]
    plain = torch.autograd.grad(
        (along.norm(dim=-1) - 1).abs().mean(), list(field.parameters()), allow_unused=True
    )
    for name, *pair in zip(names, ours, plain, strict=True):
        one, other = (torch.zeros(1) if item is None else item for item in pair)
        assert float((one - other).abs().max()) < 1e-7 * max(1.0, float(other.abs().max())), name


def test_without_expression_the_face_is_neutral(landmarks):
    field = ImFaceField(landmarks, code=8, hidden=16, layers=1)
    x = torch.rand(2, 5, 3)
    values = field(x, torch.randn(2, 8), None)
    assert torch.equal(values.neutral, x)
    assert values.distance.shape == (2, 5)
    shown, still = field.landmarks(torch.randn(2, 8), torch.randn(2, 8))
    assert shown.shape == still.shape == (2, len(FIVE), 3)


def test_68_local_networks(landmarks):
    field = ImFaceField(
        landmarks, sparse=range(68), code=4, local="separate", hyper="fused", hidden=8, layers=1
    )
    assert field(torch.rand(1, 3, 3), torch.randn(1, 4), torch.randn(1, 4)).gradient.shape == (
        1,
        3,
        3,
    )


def test_the_template_starts_flat(landmarks):
    template = TemplateField(landmarks[list(FIVE)])
    assert not bool(template(torch.rand(1, 4, 3))[0].any())  # zero last layer, as published


def test_choices_that_are_none(landmarks):
    for key in ("motion", "local", "hyper"):
        with pytest.raises(ConfigError, match=key):
            DeformationField(**{key: "nothing"})
    with pytest.raises(ConfigError, match="local"):
        TemplateField(landmarks, local="nothing")
