"""Cubic B-splines: coefficients of an image, evaluation with derivatives, interpolation between
nodes. Thin plates: smooth functions through values at scattered places.

Sources: Unser, Splines: a perfect fit for signal and image processing (1999); Duchon, Splines
minimizing rotation-invariant semi-norms in Sobolev spaces (1977). A cubic spline is C2 and passes
through all samples; its coefficients follow from the samples by one recursive filter with pole
sqrt(3) - 2, which is applied here as a symmetric FIR filter (the pole's powers fall below 1e-12
after 21 taps), so that it runs on any device and is differentiable.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from facemorph.ops.threads import one_thread

POLE = math.sqrt(3.0) - 2.0
REACH = 21


def spline_coefficients(image: Tensor) -> Tensor:
    """Coefficients ``(B, C, H, W)`` of the interpolating cubic spline of ``image`` (B, C, H, W).

    The image continues by mirroring about its outermost pixel centres. Computed in the image's own
    dtype.
    """
    return _filter(_filter(image, -2), -1)


def _filter(image: Tensor, axis: int) -> Tensor:
    reach = (
        12 if image.dtype == torch.float32 else REACH
    )  # the pole's 12th power is below float32's resolution
    size = image.shape[axis]
    scale = 6 * POLE / (POLE**2 - 1)
    padded = image.index_select(
        axis, _fold(torch.arange(-reach, size + reach, device=image.device), size)
    )
    result = scale * image
    for tap in range(1, reach + 1):
        pair = padded.narrow(axis, reach - tap, size) + padded.narrow(axis, reach + tap, size)
        result = result.add(pair, alpha=scale * POLE**tap)
    return result


def basis(fraction: Tensor, derivative: int = 0) -> Tensor:
    """Weights ``(..., 4)`` of the four coefficients around a point at ``fraction`` in [0, 1) past
    the second.

    Args:
        fraction: ``(...)``.
        derivative: 0 for the value, 1 for its derivative, 2 for the second.
    """
    f, g = fraction, 1 - fraction
    if derivative == 0:
        rows = (g**3 / 6, (4 - 6 * f**2 + 3 * f**3) / 6, (4 - 6 * g**2 + 3 * g**3) / 6, f**3 / 6)
    elif derivative == 1:
        rows = (-(g**2) / 2, (3 * f**2 - 4 * f) / 2, -(3 * g**2 - 4 * g) / 2, f**2 / 2)
    else:
        rows = (g, 3 * f - 2, 3 * g - 2, f)
    return torch.stack(rows, -1)


def evaluate_spline(
    coefficients: Tensor, pixels: Tensor, derivatives: tuple[int, int] = (0, 0)
) -> Tensor:
    """Value or a partial derivative of a spline image at any points, by its sixteen coefficients.

    Args:
        coefficients: ``(C, H, W)`` of ``spline_coefficients``.
        pixels: ``(N, 2)`` points in pixels (0 at the edge); beyond the outermost pixel centres the
            image is constant.
        derivatives: Order of the derivative along x and along y, in units of one pixel.

    Returns:
        ``(N, C)``.
    """
    height, width = coefficients.shape[1:]
    size = pixels.new_tensor([width, height])
    # Inside the outermost pixel centres only; there the derivative normal to the border is set to
    # zero.
    inside = (pixels - 0.5).clamp(min=pixels.new_zeros(2), max=size - 1)
    whole = inside.detach().floor().clamp(max=size - 2).clamp(min=0)
    fraction = inside - whole
    index = whole.long()[..., None] + torch.arange(-1, 3, device=pixels.device)
    columns, rows = (_fold(index[:, axis], int(size[axis])) for axis in (0, 1))
    weight_x, weight_y = (
        basis(fraction[:, 0], derivatives[0]),
        basis(fraction[:, 1], derivatives[1]),
    )
    window = coefficients[:, rows[:, :, None], columns[:, None, :]]  # (C, N, 4, 4)
    values = torch.einsum("cnij,ni,nj->nc", window, weight_y, weight_x)
    outside = ((pixels - 0.5 - inside).abs() > 0) & torch.tensor(
        [order > 0 for order in derivatives], device=pixels.device
    )
    return values * (~outside.any(-1, keepdim=True))


def _fold(index: Tensor, size: int) -> Tensor:
    if size == 1:
        return torch.zeros_like(index)
    folded = index.remainder(2 * (size - 1))
    return torch.minimum(folded, 2 * (size - 1) - folded)


def sample_spline(coefficients: Tensor, pixels: Tensor) -> Tensor:
    """Spline images at dense maps: the fast path of ``evaluate_spline``.

    A cubic B-spline is a weighted sum of four *bilinear* look-ups at shifted points, because its
    weights come in pairs of one sign (Sigg and Hadwiger, GPU Gems 2, chapter 20).

    Args:
        coefficients: ``(B, C, H, W)``.
        pixels: ``(B, h, w, 2)`` positions in pixels.

    Returns:
        ``(B, C, h, w)``.
    """
    height, width = coefficients.shape[-2:]
    if min(height, width) > 2:
        padded = F.pad(coefficients, (2, 2, 2, 2), mode="reflect")
    else:
        padded = coefficients[:, :, _rim(height, coefficients.device)][
            ..., _rim(width, coefficients.device)
        ]
    columns = _two_look_ups(pixels[..., 0], width)
    rows = _two_look_ups(pixels[..., 1], height)
    total = None
    for x, weight_x in columns:
        for y, weight_y in rows:
            part = F.grid_sample(
                padded, torch.stack([x, y], -1), mode="bilinear", align_corners=False
            )
            weight = (weight_x * weight_y)[:, None]
            total = part * weight if total is None else torch.addcmul(total, part, weight)
    return total if total is not None else coefficients


def _two_look_ups(pixels: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Where along one axis to look up in the padded coefficients, and the weights of both
    look-ups.
    """
    inside = (pixels - 0.5).clamp(0, size - 1)
    whole = inside.floor()
    f = inside - whole
    g, square = 1 - f, f * f
    second, fourth = 2 / 3 - square + square * f / 2, square * f / 6  # as in `basis`
    low = g * g * g / 6 + second
    high = 1 - low
    # Index -2 .. size + 1 of the padded coefficients to grid_sample's [-1, 1].
    scale = 2 / (size + 4)
    return (
        ((whole + (second / low + 1.5)) * scale - 1, low),
        ((whole + (fourth / high + 3.5)) * scale - 1, high),
    )


def _rim(size: int, device: torch.device) -> Tensor:
    return _fold(torch.arange(-2, size + 2, device=device), size)


def interpolation_matrix(nodes: Tensor, queries: Tensor) -> Tensor:
    """Matrix ``(Q, n)`` of cubic spline interpolation from uniform ``nodes`` (n,) to ``queries``
    (Q,).

    Not-a-knot: reproduces cubics exactly. Float64.
    """
    count, spacing = len(nodes), nodes[1] - nodes[0]
    knots = torch.arange(-1, count + 1, dtype=torch.float64)
    return _hat((queries - nodes[0])[:, None] / spacing - knots) @ coefficient_matrix(count)


def coefficient_matrix(count: int) -> Tensor:
    """Matrix ``(count + 2, count)`` from ``count`` uniform samples to the coefficients of their
    cubic spline.

    Not-a-knot. The first coefficient belongs one spacing before the first sample, the last one
    after the last. Float64.
    """
    knots = torch.arange(-1, count + 1, dtype=torch.float64)
    collocation = _hat(torch.arange(count, dtype=torch.float64)[:, None] - knots)
    fourth = torch.zeros(2, count + 2, dtype=torch.float64)
    fourth[0, :5] = fourth[1, -5:] = torch.tensor([1.0, -4.0, 6.0, -4.0, 1.0], dtype=torch.float64)
    system = torch.cat([fourth[:1], collocation, fourth[1:]])
    values = F.pad(torch.eye(count, dtype=torch.float64), (0, 0, 1, 1))
    return torch.linalg.solve(system, values)


def _hat(distance: Tensor) -> Tensor:
    d = distance.abs()
    return torch.where(d < 1, 2 / 3 - d**2 + d**3 / 2, (2 - d).clamp_min(0) ** 3 / 6)


# ------------------------------------------------------------
# thin plates
def thin_plate_kernel(squared_distance: Tensor) -> Tensor:
    """r^2 log r from r^2; finite with its gradient at r = 0."""
    return 0.5 * squared_distance * torch.log(squared_distance + 1e-30)


def solve_thin_plate(knots: Tensor, values: Tensor, smoothing: float | Tensor = 0.0) -> Tensor:
    """Weights ``(P + 3, C)`` of the thin-plate spline through ``values`` (P, C) at ``knots`` (P,
    2); ``smoothing`` of all, or ``(P,)`` of each (Wahba, Spline models for observational data,
    1990).

    The last three rows are the constant and the two linear coefficients. A tiny ridge keeps
    coincident knots with equal values and collinear knots solvable. One unbatched solve on one
    thread: batched LU of this size hangs or fails in some builds of torch, and so did, once, an
    unbatched one on two threads.
    """
    count = len(knots)
    x, y = knots.unbind(1)  # apart, because a sum over two values is slow
    kernel = thin_plate_kernel((x[:, None] - x).square() + (y[:, None] - y).square())
    kernel = kernel + (smoothing + 1e-10) * torch.eye(count, dtype=knots.dtype, device=knots.device)
    affine = torch.cat([torch.ones_like(knots[:, :1]), knots], 1)
    corner = -1e-9 * torch.eye(3, dtype=knots.dtype, device=knots.device)
    system = torch.cat([torch.cat([kernel, affine], 1), torch.cat([affine.mT, corner], 1)])
    with one_thread():
        return torch.linalg.solve(system, F.pad(values, (0, 0, 0, 3)))


def kernel_sum(points: Tensor, knots: Tensor, weights: Tensor, chunk: int = 2048) -> Tensor:
    """``sum_j weights_j |x - knots_j|^2 log |x - knots_j|`` at ``points`` (N, 2): ``(N, C)``.

    Without gradients it works in place on pieces that stay in the cache, about twice as fast.
    """
    if points.requires_grad or weights.requires_grad or knots.requires_grad:
        return thin_plate_kernel((points[:, None] - knots[None]).square().sum(-1)) @ weights
    knots_x, knots_y = knots[:, 0].contiguous(), knots[:, 1].contiguous()
    half = 0.5 * weights
    pieces = []
    for piece in points.split(chunk):
        squared = (piece[:, :1] - knots_x).square_()
        scratch = piece[:, 1:] - knots_y
        squared.addcmul_(scratch, scratch).clamp_min_(1e-30)
        pieces.append(torch.log(squared, out=scratch).mul_(squared) @ half)
    return torch.cat(pieces)


def evaluate_thin_plate(points: Tensor, knots: Tensor, weights: Tensor) -> Tensor:
    """The thin plate of ``solve_thin_plate`` at ``points`` (N, 2): ``(N, C)``, in their dtype.

    Args:
        points: Where.
        knots: ``(P, 2)``.
        weights: ``(P + 3, C)``.
    """
    knots, weights = knots.to(points.dtype), weights.to(points.dtype)
    return kernel_sum(points, knots, weights[:-3]) + weights[-3] + points @ weights[-2:]
