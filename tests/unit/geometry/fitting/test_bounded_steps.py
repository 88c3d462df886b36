"""Bounded steps: the dense system, the fast path against its twin, and the bounds."""

from __future__ import annotations

import pytest
import torch

from facemorph.geometry.fitting.bounded_steps import bounded_steps, bounded_steps_alone


def problem(count=5, local=7, shared=4, people=None, seed=0, width=0.3):
    generator = torch.Generator().manual_seed(seed)
    person = torch.arange(count) if people is None else torch.tensor(people)
    groups = int(person.max()) + 1
    rows = torch.randn(count, 40, local + shared, generator=generator, dtype=torch.float64)
    normal = rows.transpose(1, 2) @ rows
    own, mixed = normal[:, :local, :local], normal[:, :local, local:]
    common = (
        torch.eye(shared, dtype=torch.float64)
        .repeat(groups, 1, 1)
        .index_add(0, person, normal[:, local:, local:])
    )
    gradients = (
        torch.randn(count, local, generator=generator, dtype=torch.float64) * 20,
        torch.randn(groups, shared, generator=generator, dtype=torch.float64) * 20,
    )
    low = -torch.rand(count, local, generator=generator, dtype=torch.float64) * width
    high = torch.rand(count, local, generator=generator, dtype=torch.float64) * width
    low[:, ::3] = 0
    return own, mixed, common, *gradients, low, high, person


@pytest.mark.parametrize("people", [None, [0, 0, 1, 1, 1]])
def test_without_bounds_it_is_the_dense_system(people):
    own, mixed, shared, own_gradient, shared_gradient, low, _, person = problem(people=people)
    wide = torch.full_like(low, torch.inf)
    step, identity = bounded_steps(
        own, mixed, shared, own_gradient, shared_gradient, -wide, wide, person
    )
    count, local = own_gradient.shape
    size = count * local
    dense = torch.zeros(
        size + shared_gradient.numel(), size + shared_gradient.numel(), dtype=torch.float64
    )
    dense[:size, :size] = torch.block_diag(*own)
    dense[size:, size:] = torch.block_diag(*shared)
    width = shared.shape[1]
    for picture, who in enumerate(person.tolist()):
        rows = slice(picture * local, (picture + 1) * local)
        columns = slice(size + who * width, size + (who + 1) * width)
        dense[rows, columns] = mixed[picture]
        dense[columns, rows] = mixed[picture].T
    expected = -torch.linalg.solve(
        dense, torch.cat([own_gradient.flatten(), shared_gradient.flatten()])
    )
    assert torch.allclose(step.flatten(), expected[:size], atol=1e-9)
    assert torch.allclose(identity.flatten(), expected[size:], atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 0, 4, 1, 2]])
def test_alone_is_the_same_with_bounds(seed, order):
    own, mixed, shared, own_gradient, shared_gradient, low, high, person = problem(
        people=order, seed=seed
    )
    plain = bounded_steps(own, mixed, shared, own_gradient, shared_gradient, low, high, person)
    fast = bounded_steps_alone(
        own, mixed, shared[person], own_gradient, shared_gradient[person], low, high, person
    )
    for one, other in zip(fast, plain, strict=True):
        assert torch.allclose(one, other, atol=1e-9)
    step = fast[0]
    assert bool(((step >= low) & (step <= high)).all())
    assert bool(((step == low) | (step == high)).any())  # bounds do bind
