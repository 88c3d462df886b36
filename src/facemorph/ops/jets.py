"""Jets: a value with its first and second derivatives, carried through a function in one forward
pass.

Derivatives computed forward need one backward pass for training where nested ``autograd.grad``
needs several, and they compile. ``autograd_jet`` is the plain twin: the same numbers by nested
automatic differentiation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from facemorph.errors import GeometryError


class Jet(NamedTuple):
    """A function's value and derivatives at N points.

    Attributes:
        value: ``(N, C)``.
        jacobian: ``(N, C, D)``, d value / d input, or None below order 1.
        hessian: ``(N, C, D, D)``, or None below order 2.
    """

    value: Tensor
    jacobian: Tensor | None = None
    hessian: Tensor | None = None


def seed(x: Tensor, order: int) -> Jet:
    """The jet of the identity at ``x`` (N, D)."""
    count, size = x.shape
    eye = (
        torch.eye(size, dtype=x.dtype, device=x.device).expand(count, size, size)
        if order >= 1
        else None
    )
    return Jet(x, eye, x.new_zeros(count, size, size, size) if order >= 2 else None)


def compose(outer: Jet, inner: Jet) -> Jet:
    """Chain rule: the jet of ``outer(inner(x))`` from those of ``outer`` at ``inner.value`` and
    ``inner``.

    Args:
        outer: Jet of (C,) with respect to (E,), taken at ``inner.value``.
        inner: Jet of (E,) with respect to (D,).

    Returns:
        Jet of (C,) with respect to (D,), of the lower order of the two.
    """
    jacobian = hessian = None
    if outer.jacobian is not None and inner.jacobian is not None:
        jacobian = outer.jacobian @ inner.jacobian
        if outer.hessian is not None and inner.hessian is not None:
            j = inner.jacobian[:, None]
            hessian = j.mT @ outer.hessian @ j + torch.einsum(
                "nce,neij->ncij", outer.jacobian, inner.hessian
            )
    return Jet(outer.value, jacobian, hessian)


def autograd_jet(function: Callable[[Tensor], Tensor], x: Tensor, order: int) -> Jet:
    """Plain twin of every analytic jet: nested ``autograd.grad`` of ``function`` (N, D) -> (N, C).

    ``function`` must treat its rows independently. The graph is kept, so losses on the derivatives
    can be trained.
    """
    if order == 0:
        return Jet(function(x))
    x = x if x.requires_grad else x.detach().requires_grad_()
    with torch.enable_grad():
        value = function(x)
        rows = [_gradient(value[:, c], x) for c in range(value.shape[1])]
        jacobian = torch.stack(rows, 1)
        hessian = None
        if order >= 2:
            hessian = torch.stack(
                [
                    torch.stack([_gradient(row[:, d], x) for d in range(x.shape[1])], 1)
                    for row in rows
                ],
                1,
            )
    return Jet(value, jacobian, hessian)


def _gradient(scalar: Tensor, x: Tensor) -> Tensor:
    gradient = (
        torch.autograd.grad(scalar.sum(), x, create_graph=True, allow_unused=True)[0]
        if scalar.requires_grad
        else None
    )
    return torch.zeros_like(x) if gradient is None else gradient


def pairs_of(size: int) -> list[tuple[int, int]]:
    """Index pairs p <= q of a symmetric matrix, row by row.

    >>> pairs_of(2)
    [(0, 0), (0, 1), (1, 1)]
    """
    return [(p, q) for p in range(size) for q in range(p, size)]


def unpack_symmetric(packed: Tensor, size: int) -> Tensor:
    """Entries ``(P, N, C)`` of ``pairs_of(size)`` to symmetric matrices ``(N, C, size, size)``."""
    position = {pair: index for index, pair in enumerate(pairs_of(size))}
    order = [position[min(p, q), max(p, q)] for p in range(size) for q in range(size)]
    full = packed[order]
    return full.reshape(size, size, *packed.shape[1:]).permute(2, 3, 0, 1)


def sine_network_jet(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    omegas: Sequence[float],
    order: int,
) -> Jet:
    """Jet of a sine network ``W_L sin(w_{L-1} (... sin(w_0 (W_0 x + b_0)) ...)) + b_L``.

    The Jacobian goes forward, one matrix product per input direction and layer. The Hessian needs
    no second-order propagation: with a_k = d output / d (layer k) from one adjoint product per
    output it is sum_k sum_j a_kj sin''(z_kj) dz_kj dz_kj^T, so only first derivatives are
    multiplied.

    Args:
        x: ``(N, D)`` points.
        weights: L + 1 matrices (out, in).
        biases: L + 1 vectors.
        omegas: L angular frequencies, one for each hidden layer.
        order: 0, 1 or 2.

    Returns:
        Jet of the network at ``x``; differentiable in ``x``, weights and biases.

    Raises:
        GeometryError: ``order`` is not 0, 1 or 2.
    """
    if order not in (0, 1, 2):
        raise GeometryError(
            "a sine network gives derivatives up to the second",
            expected="order 0, 1 or 2",
            found=order,
        )
    size = x.shape[1]
    hidden, slopes, tangents = [], [], []
    value, direction = x, None
    for weight, bias, omega in zip(weights[:-1], biases[:-1], omegas, strict=True):
        phase = torch.addmm(omega * bias, value, (omega * weight).t())
        value = torch.sin(phase)
        if order >= 1:
            slope = torch.cos(phase)
            # (D, N, H) d phase / d x; the same row for every point in the first layer
            tangent = (
                (omega * weight).t()[:, None]
                if direction is None
                else direction @ (omega * weight).t()
            )
            direction = slope * tangent
            hidden.append(value)
            slopes.append(slope)
            tangents.append(tangent)
    output = torch.addmm(biases[-1], value, weights[-1].t())
    if direction is None:
        return Jet(output)
    jacobian = (direction @ weights[-1].t()).permute(1, 2, 0)
    if order == 1:
        return Jet(output, jacobian)
    packed = _packed_hessian(weights, omegas, hidden, slopes, tangents, size)
    return Jet(output, jacobian, unpack_symmetric(packed, size))


def _packed_hessian(
    weights: Sequence[Tensor],
    omegas: Sequence[float],
    hidden: list[Tensor],
    slopes: list[Tensor],
    tangents: list[Tensor],
    size: int,
) -> Tensor:
    """Hessian entries ``(P, N, C)`` for ``pairs_of(size)``, by the adjoint sum."""
    pairs = pairs_of(size)
    last = len(hidden) - 1
    # The last hidden layer's adjoint is the output matrix itself, the same for all points. Plane by
    # plane:
    # what backward needs are then views of what forward has, not copies.
    bent = [-(plane * hidden[last]) for plane in tangents[last]]
    packed = torch.stack([(bent[p] * tangents[last][q]) @ weights[-1].t() for p, q in pairs])
    if last == 0:
        return packed
    adjoint = weights[-1][:, None] * slopes[last]  # (C, N, H): d output / d phase
    for layer in range(last - 1, -1, -1):
        adjoint = adjoint @ (omegas[layer + 1] * weights[layer + 1])  # d output / d hidden
        curvature = -adjoint * hidden[layer]
        planes = tangents[layer]
        if layer == 0:
            products = torch.stack([planes[p, 0] * planes[q, 0] for p, q in pairs])  # (P, H)
            packed = packed + (curvature @ products.t()).permute(2, 1, 0)
        else:
            packed = packed + torch.stack(
                [(curvature * (planes[p] * planes[q])).sum(-1).t() for p, q in pairs]
            )
            adjoint = adjoint * slopes[layer]
    return packed
