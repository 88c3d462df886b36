"""Steps around the matrix products of small networks evaluated without gradients, with memory that
is used again.

On a CPU in float32 each is one compiled pass; elsewhere, and as its plain twin, torch's operations.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.ops.screw_motion import move_by_screws
from facemorph.systems.imface import rows_numba


def _compiled(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.float32


def first_sine_rows(points: Tensor, weight: Tensor, bias: Tensor, output: Tensor) -> Tensor:
    """``sin(points W + b)``: ``(N, 3)``, ``(G, 3, C)`` and ``(G, C)`` into ``output`` ``(G, N,
    C)``.
    """
    if _compiled(points):
        rows_numba.first_sines(points.numpy(), weight.numpy(), bias.numpy(), output.numpy())
        return output
    return (
        torch.bmm(points.expand(len(weight), -1, -1), weight, out=output).add_(bias[:, None]).sin_()
    )


def sine_rows(values: Tensor, bias: Tensor) -> Tensor:
    """``sin(values + b)`` of ``(G, N, C)`` and ``(G, C)``, in place."""
    if _compiled(values):
        rows_numba.sines(values.numpy(), bias.numpy())
        return values
    return values.add_(bias[:, None]).sin_()


def first_sine_pair_rows(
    points: Tensor, weight: Tensor, bias: Tensor, output: Tensor, cosines: Tensor
) -> Tensor:
    """As ``first_sine_rows``, and the cosines of the same into ``cosines`` ``(G, N, C)``."""
    if _compiled(points):
        rows_numba.first_sine_pairs(
            points.numpy(), weight.numpy(), bias.numpy(), output.numpy(), cosines.numpy()
        )
        return output
    torch.bmm(points.expand(len(weight), -1, -1), weight, out=output).add_(bias[:, None])
    torch.cos(output, out=cosines)
    return output.sin_()


def sine_pair_rows(values: Tensor, bias: Tensor, cosines: Tensor) -> Tensor:
    """As ``sine_rows``, and the cosines of the same into ``cosines`` ``(G, N, C)``."""
    if _compiled(values):
        rows_numba.sine_pairs(values.numpy(), bias.numpy(), cosines.numpy())
        return values
    torch.cos(values.add_(bias[:, None]), out=cosines)
    return values.sin_()


def first_norm_rows(
    points: Tensor, weight: Tensor, bias: Tensor, norm: nn.LayerNorm, slope: float, output: Tensor
) -> Tensor:
    """``leaky_relu(norm(points W + b))``: ``(N, 3)`` and ``(3, C)`` into ``output`` ``(N, C)``."""
    if _compiled(points):
        rows_numba.first_norms(
            points.numpy(),
            weight.numpy(),
            bias.numpy(),
            norm.weight.numpy(),
            norm.bias.numpy(),
            norm.eps,
            slope,
            output.numpy(),
        )
        return output
    return F.leaky_relu_(norm(torch.mm(points, weight, out=output).add_(bias)), slope)


def norm_rows(values: Tensor, bias: Tensor, norm: nn.LayerNorm, slope: float) -> Tensor:
    """``leaky_relu(norm(values + b))`` of ``(N, C)``; compiled, in place."""
    if _compiled(values):
        rows_numba.norms(
            values.numpy(), bias.numpy(), norm.weight.numpy(), norm.bias.numpy(), norm.eps, slope
        )
        return values
    return F.leaky_relu_(norm(values.add_(bias)), slope)


def mixture_rows(
    values: Tensor, weight: Tensor, bias: Tensor, norm: nn.LayerNorm, mixed: Tensor
) -> Tensor:
    """``sum_k softmax(norm(values W^T + b))_k mixed_k``: ``(N, C)``, ``(K, C)`` and ``(N, K, O)``
    to ``(N, O)``.
    """
    if _compiled(values):
        output = values.new_empty(len(values), mixed.shape[2])
        rows_numba.mixtures(
            values.numpy(),
            weight.numpy(),
            bias.numpy(),
            norm.weight.numpy(),
            norm.bias.numpy(),
            norm.eps,
            mixed.numpy(),
            output.numpy(),
        )
        return output
    share: Tensor = norm(values @ weight.T + bias)
    return (share.softmax(-1)[..., None] * mixed).sum(1)


def screw_rows(points: Tensor, motions: Tensor) -> Tensor:
    """Points ``(N, 3)`` moved by screws ``(N, 6)``, see ``move_by_screws``."""
    if _compiled(points):
        output = torch.empty_like(points)
        rows_numba.screws(points.numpy(), motions.numpy(), output.numpy())
        return output
    return move_by_screws(points, motions)
