"""Steps of a damped Gauss-Newton method within bounds, for pictures that share what is common to a
person.

The quadratic model has a block for each picture (its pose and coefficients, some of them bounded),
one for each person, and what mixes a picture with its person. What would leave its bounds is pinned
to them and the rest solved again, for a few rounds; greedily: what is pinned stays so until the
next step.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 4


def bounded_steps(
    own: Tensor,
    mixed: Tensor,
    shared: Tensor,
    own_gradient: Tensor,
    shared_gradient: Tensor,
    low: Tensor,
    high: Tensor,
    person: Tensor,
) -> tuple[Tensor, Tensor]:
    """Steps of pictures and people; the pictures' blocks are eliminated first (Schur complement).

    Args:
        own: ``(B, L, L)`` each picture's block, positive definite.
        mixed: ``(B, L, K)``.
        shared: ``(G, K, K)``.
        own_gradient: ``(B, L)``.
        shared_gradient: ``(G, K)``.
        low: ``(B, L)`` lowest steps, 0 or less.
        high: ``(B, L)`` highest steps, 0 or more.
        person: ``(B,)`` number of the person in each picture.

    Returns:
        ``(B, L)`` and ``(G, K)``.
    """
    pinned, value = _start(own_gradient, low, high)
    step, identity = value, torch.zeros_like(shared_gradient)
    for _ in range(ROUNDS):
        free = (~pinned).to(own.dtype)
        right = -(own_gradient + (own @ value[..., None])[..., 0]) * free
        cross = mixed * free[..., None]
        solved = torch.cholesky_solve(
            torch.cat([cross, right[..., None]], 2), torch.linalg.cholesky(_freed(own, free))
        )
        through = cross.transpose(1, 2) @ solved  # (B, K, K + 1)
        # What is pinned pulls at the identity too.
        pull = (mixed.transpose(1, 2) @ value[..., None])[..., 0]
        reduced = shared.index_add(0, person, through[..., :-1], alpha=-1)
        against = (-shared_gradient).index_add(0, person, pull + through[..., -1], alpha=-1)
        identity = torch.cholesky_solve(against[..., None], torch.linalg.cholesky(reduced))[..., 0]
        step = solved[..., -1] - (solved[..., :-1] @ identity[person][..., None])[..., 0] + value
        pinned, value, done = _pin(step, low, high, pinned, value)
        if done:
            break
    return torch.minimum(torch.maximum(step, low), high), identity


def bounded_steps_alone(
    own: Tensor,
    mixed: Tensor,
    shared: Tensor,
    own_gradient: Tensor,
    shared_gradient: Tensor,
    low: Tensor,
    high: Tensor,
    person: Tensor,
) -> tuple[Tensor, Tensor]:
    """``bounded_steps`` where each picture shows another person: the larger block is eliminated
    once, not every round.

    Args:
        own: See ``bounded_steps``, here and below.
        mixed: See there.
        shared: ``(B, K, K)`` of the person in each picture.
        own_gradient: See there.
        shared_gradient: ``(B, K)`` of the person in each picture.
        low: See there.
        high: See there.
        person: See there: where each picture's identity goes.
    """
    through = torch.cholesky_solve(
        torch.cat([mixed.transpose(1, 2), shared_gradient[..., None]], 2),
        torch.linalg.cholesky(shared),
    )  # (B, K, L + 1)
    reduced = own - mixed @ through[..., :-1]
    gradient = own_gradient - (mixed @ through[..., -1:])[..., 0]
    pinned, value = _start(own_gradient, low, high)
    step = value
    for _ in range(ROUNDS):
        free = (~pinned).to(own.dtype)
        right = -(gradient + (reduced @ value[..., None])[..., 0]) * free
        step = (
            torch.cholesky_solve(right[..., None], torch.linalg.cholesky(_freed(reduced, free)))[
                ..., 0
            ]
            + value
        )
        pinned, value, done = _pin(step, low, high, pinned, value)
        if done:
            break
    found = -through[..., -1] - (through[..., :-1] @ step[..., None])[..., 0]
    identity = torch.empty_like(found)
    identity[person] = found
    return torch.minimum(torch.maximum(step, low), high), identity


def _start(gradient: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """What is pinned at the start, at a bound that the gradient pushes against, and the steps of
    what is: 0.
    """
    return ((low >= 0) & (gradient > 0)) | ((high <= 0) & (gradient < 0)), torch.zeros_like(
        gradient
    )


def _freed(matrix: Tensor, free: Tensor) -> Tensor:
    """The block of what is free, the unit matrix for what is pinned."""
    found = matrix * free[:, :, None] * free[:, None, :]
    found.diagonal(dim1=1, dim2=2).add_(1 - free)
    return found


def _pin(
    step: Tensor, low: Tensor, high: Tensor, pinned: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, bool]:
    """Pin what has left its bounds; and whether nothing new has."""
    outside = (step < low) | (step > high)
    if not bool((outside & ~pinned).any()):
        return pinned, value, True
    value = torch.where(outside | pinned, torch.minimum(torch.maximum(step, low), high), value)
    return pinned | outside, value, False
