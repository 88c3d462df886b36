"""Adversarial losses and their regularisations against sums written out, linear networks whose
gradients are known, and finite differences.
"""

from __future__ import annotations

import math

import pytest
import torch

from facemorph.errors import DataError
from facemorph.losses.adversarial import (
    feature_matching,
    hinge_discriminator,
    hinge_generator,
    least_squares_discriminator,
    least_squares_generator,
    logistic_discriminator,
    logistic_generator,
    path_lengths,
    r1_penalty,
)

REAL, FAKE = [0.5, -1.5, 3.0], [-0.25, 2.0]


def mean(values):
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("discriminator", "generator", "of_real", "of_fake", "of_generator"),
    [
        (
            logistic_discriminator,
            logistic_generator,
            lambda s: math.log(1 + math.exp(-s)),
            lambda s: math.log(1 + math.exp(s)),
            lambda s: -math.log(1 / (1 + math.exp(-s))),
        ),
        (
            hinge_discriminator,
            hinge_generator,
            lambda s: max(0, 1 - s),
            lambda s: max(0, 1 + s),
            lambda s: -s,
        ),
        (
            least_squares_discriminator,
            least_squares_generator,
            lambda s: (s - 1) ** 2 / 2,
            lambda s: s**2 / 2,
            lambda s: (s - 1) ** 2 / 2,
        ),
    ],
)
def test_forms(discriminator, generator, of_real, of_fake, of_generator):
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    expected = mean([of_real(s) for s in REAL]) + mean([of_fake(s) for s in FAKE])
    assert float(discriminator(real, fake)) == pytest.approx(expected, rel=1e-6)
    assert float(generator(fake)) == pytest.approx(mean([of_generator(s) for s in FAKE]), rel=1e-6)


def test_logistic_losses_do_not_overflow_or_saturate():
    sure = torch.tensor([-200.0, 200.0], requires_grad=True)
    assert float(logistic_generator(sure.detach())) == pytest.approx(100.0)
    logistic_generator(sure).backward()
    assert sure.grad.tolist() == pytest.approx([-0.5, 0.0])


def test_r1_of_a_linear_discriminator():
    images = torch.randn(3, 2, 4, 4, requires_grad=True)
    weight = torch.randn(2, 4, 4, requires_grad=True)
    scores = (images * weight).sum((1, 2, 3))
    penalty = r1_penalty(scores, images)
    assert float(penalty.detach()) == pytest.approx(float(weight.detach().square().sum()), rel=1e-6)
    penalty.backward()
    torch.testing.assert_close(weight.grad, 2 * weight)


def test_r1_of_samples_of_different_length_and_of_sums():
    images = torch.randn(2, 1, 2, 2, requires_grad=True)
    factors = torch.tensor([1.0, 3.0])
    scores = factors * images.sum((1, 2, 3))
    expected = (4 * 1 + 4 * 9) / 2
    assert float(r1_penalty(scores, images)) == pytest.approx(expected)
    assert float(r1_penalty((factors * images.sum((1, 2, 3))).sum(), images)) == pytest.approx(
        expected
    )


def test_r1_looks_at_the_images_only():
    images, conditions = torch.randn(2, 2, 1, 4, 4).requires_grad_()
    images = images.detach().requires_grad_()
    both = torch.cat([images, conditions], 1)
    scores = both[:, 0].sum((1, 2)) + 100 * both[:, 1].sum((1, 2))
    assert float(r1_penalty(scores, images)) == pytest.approx(16.0)


def test_r1_by_finite_differences():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.Softplus(), torch.nn.Flatten(), torch.nn.Linear(12, 1)
    ).double()
    images = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    step, squares = 1e-5, 0.0
    for sample in range(2):
        for pixel in range(16):
            scores = []
            for sign in (1, -1):
                moved = images.detach().clone()
                moved[sample].view(-1)[pixel] += sign * step
                scores.append(float(network(moved)[sample].detach()))
            squares += ((scores[0] - scores[1]) / (2 * step)) ** 2
    assert float(r1_penalty(network(images), images).detach()) == pytest.approx(
        squares / 2, rel=1e-6
    )
    weight = network[0].weight
    (gradient,) = torch.autograd.grad(r1_penalty(network(images), images), weight)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0, 0, 0] += sign * step
        values.append(float(r1_penalty(network(images), images)))
        with torch.no_grad():
            weight[0, 0, 0, 0] -= sign * step
    assert float(gradient[0, 0, 0, 0]) == pytest.approx(
        (values[0] - values[1]) / (2 * step), rel=1e-6
    )


def test_r1_is_of_float32():
    images = torch.full((2, 1, 64, 64), 1.0, dtype=torch.bfloat16, requires_grad=True)
    penalty = r1_penalty(images.sum((1, 2, 3)), images)
    assert penalty.dtype == torch.float32
    assert float(penalty) == 4096.0


def test_r1_explains_missing_gradients():
    images = torch.zeros(1, 1, 2, 2)
    with pytest.raises(DataError, match="requires_grad_"):
        r1_penalty(images.sum(), images)
    other = torch.zeros(1, requires_grad=True)
    with pytest.raises(DataError, match="does not depend on these images"):
        r1_penalty(other.sum(), images.requires_grad_())


def test_path_length_of_a_linear_generator():
    """Images ``A w``: the length is that of ``A^T y``."""
    matrix = torch.randn(12, 5, dtype=torch.float64, requires_grad=True)
    styles = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(3, 3, 2, 2, dtype=torch.float64)
    images = (styles @ matrix.t()).view(3, 3, 2, 2)
    lengths = path_lengths(images, styles, noise)
    y = noise.flatten(1) / 2  # the root of 2 x 2 pixels
    torch.testing.assert_close(lengths, (y @ matrix).norm(dim=1))
    (gradient,) = torch.autograd.grad((lengths - 0.7).square().mean(), matrix)
    # by hand: d mean((l - a)^2) / dA = mean 2 (l - a) y (A^T y)^T / l
    product = y @ matrix
    length = product.norm(dim=1, keepdim=True)
    by_hand = (2 * (length - 0.7) / length * product / 3).t() @ y
    torch.testing.assert_close(gradient, by_hand.t())


def test_path_length_of_styles_for_each_layer():
    styles = torch.zeros(2, 4, 3, requires_grad=True)
    noise = torch.randn(2, 1, 8, 8)
    factors = torch.tensor([1.0, 2.0, 3.0, 4.0])
    images = (styles.sum(2) @ factors)[:, None, None, None].expand(2, 1, 8, 8)
    found = path_lengths(images, styles, noise)
    sums = noise.sum((1, 2, 3)).abs() / 8
    torch.testing.assert_close(found, sums * math.sqrt(3 * (1 + 4 + 9 + 16) / 4))


def test_path_length_of_nothing_has_finite_gradients():
    weight = torch.zeros(4, 3, requires_grad=True)
    styles = torch.randn(2, 3, requires_grad=True)
    images = (styles @ weight.t()).view(2, 1, 2, 2)
    lengths = path_lengths(images, styles, torch.randn_like(images.detach()))
    (lengths - 1).square().mean().backward()
    assert weight.grad.isfinite().all()


def test_path_length_checks_its_noise():
    styles = torch.zeros(2, 3, requires_grad=True)
    images = styles.sum() * torch.ones(2, 1, 4, 4)
    with pytest.raises(DataError, match="noise has the wrong shape"):
        path_lengths(images, styles, torch.zeros(2, 1, 2, 2))


def test_feature_matching():
    real = [torch.zeros(1, 2, 2, requires_grad=True), torch.ones(1, 4, requires_grad=True)]
    fake = [torch.full((1, 2, 2), 3.0, requires_grad=True), torch.zeros(1, 4, requires_grad=True)]
    loss = feature_matching(real, fake)
    assert float(loss.detach()) == pytest.approx((3 + 1) / 2)
    loss.backward()
    assert real[0].grad is None
    assert fake[0].grad.unique().tolist() == [0.125]
    with pytest.raises(DataError, match="do not belong together"):
        feature_matching(real, fake[:1])
