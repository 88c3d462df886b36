"""Poisson blending: the picture whose gradients are given inside a mask and whose values are given
outside.

Minimises the sum of (I_p - I_q - G_pq)^2 over all neighbours p, q of which at least one lies inside
the mask, with I known outside: the five-point Laplace equation, without flux through the frame's
border. It is solved to a tolerance by conjugate gradients, preconditioned with one multigrid cycle,
all channels together.

Source: Pérez, Gangnet and Blake, Poisson Image Editing (SIGGRAPH 2003), eq. 7, 12 and 13; the
preconditioner after Tatebe, The multigrid preconditioned conjugate gradient method (1993). The
choices of gradients are those of Schardong et al., Neural Implicit Morphing of Face Images (CVPR
2024), whose code takes the gradients of the pictures *before* the warp; here they are those of the
warped pictures, so that the warp's Jacobian is in them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.errors import ConfigError, GeometryError
from facemorph.ops.filters import dilated

logger = logging.getLogger(__name__)

GUIDANCES = ("source", "target", "average", "mix")
DAMPING = 0.8  # of the Jacobi steps
COARSEST = 4  # no level has a side shorter than half of this


def gradients(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels: to the right ``(..., H, W - 1)`` and down ``(..., H - 1,
    W)``.
    """
    return picture[..., :, 1:] - picture[..., :, :-1], picture[..., 1:, :] - picture[..., :-1, :]


def guidance(
    first: Tensor, second: Tensor, time: float, kind: str = "average"
) -> tuple[Tensor, Tensor]:
    """Gradients for a blend of two pictures at a time, as differences of neighbouring pixels.

    Differences of the *warped* pictures: by the chain rule they are grad I(T(x)) DT(x), the warp's
    Jacobian DT included.

    Args:
        first: ``(C, H, W)``, already warped.
        second: ``(C, H, W)``.
        time: In [0, 1].
        kind: ``source``, ``target``: of the first or second picture alone, at all times;
            ``average``: (1 - t) grad A + t grad B; ``mix``: see ``stronger``.

    Returns:
        Differences as of ``gradients``.

    Raises:
        ConfigError: ``kind`` is none of these.
        GeometryError: The pictures differ in shape.
    """
    if kind not in GUIDANCES:
        raise ConfigError(
            "unknown guidance", where="kind", expected=" | ".join(GUIDANCES), found=kind
        )
    _check_same(first.shape, second.shape, "the second picture")
    if kind == "average":
        return gradients(torch.lerp(first, second, time))
    if kind != "mix":
        return gradients(first if kind == "source" else second)
    (right, down), (right_second, down_second) = gradients(first), gradients(second)
    wins = _second_wins(_squared_norm(right, down), _squared_norm(right_second, down_second), time)
    return (
        torch.where(wins[:, :, :-1], right_second, right),
        torch.where(wins[:, :-1, :], down_second, down),
    )


def _squared_norm(right: Tensor, down: Tensor) -> Tensor:
    """Of the Jacobian of each pixel, by its differences to the right and down: ``(1, H, W)``."""
    total = right.new_zeros(1, right.shape[1], down.shape[2])
    total[:, :, :-1] += right.square().sum(0, keepdim=True)
    total[:, :-1, :] += down.square().sum(0, keepdim=True)
    return total


def _second_wins(first: Tensor, second: Tensor, time: float) -> Tensor:
    """Where the second picture's gradient is the larger one, from squared norms."""
    # At the end the first one's weight is 0 everywhere: it must not win where the second is 0 too.
    return (
        time**2 * second > (1 - time) ** 2 * first
        if time < 1
        else torch.ones_like(first, dtype=torch.bool)
    )


def stronger(first: Tensor, second: Tensor, time: float) -> Tensor:
    """In each place the Jacobian with the larger Frobenius norm, the norms weighted with 1 - t and
    t.

    Half-way it is the paper's choice, and eq. 13 of Pérez et al. for all channels together; the
    weights are an addition, which makes a morph begin with the first picture and end with the
    second.

    Args:
        first: Jacobians ``(..., C, 2)``.
        second: ``(..., C, 2)``.
        time: In [0, 1].

    Returns:
        ``(..., C, 2)``.
    """
    norm, norm_second = (slope.square().sum((-2, -1), keepdim=True) for slope in (first, second))
    return torch.where(_second_wins(norm, norm_second, time), second, first)


def erode(mask: Tensor, radius: int) -> Tensor:
    """Take the pixels off a mask that are nearer than ``radius`` to its border, along rows, columns
    and diagonals.

    Nothing is taken off at the border of the frame.

    Args:
        mask: Boolean ``(1, H, W)``.
        radius: In pixels, 0 or more; a window of 2 radius + 1.

    Returns:
        Boolean ``(1, H, W)``.
    """
    outside = (~mask).float()[None]
    return dilated(outside, radius)[0] == 0


def solve_poisson(
    background: Tensor,
    right: Tensor,
    down: Tensor,
    mask: Tensor,
    *,
    start: Tensor | None = None,
    tolerance: float = 1e-5,
    max_steps: int = 200,
) -> Tensor:
    """The picture with the gradients nearest to the given ones inside the mask, and the background
    outside.

    Args:
        background: ``(C, H, W)``; it counts outside the mask.
        right: Wanted differences ``I[y, x + 1] - I[y, x]``, ``(C, H, W - 1)``.
        down: Wanted differences ``I[y + 1, x] - I[y, x]``, ``(C, H - 1, W)``.
        mask: Where to solve, boolean ``(1, H, W)``.
        start: First guess ``(C, H, W)``; the background when None. It changes the time, not the
            result.
        tolerance: Estimated largest error of a pixel at which to stop, in units of the picture.
        max_steps: Of conjugate gradients; a face takes about twelve. Reaching them is a warning.

    Returns:
        ``(C, H, W)``, not clipped; outside the mask the background to the bit.

    Raises:
        GeometryError: Shapes do not fit; or the mask covers the whole frame, so that nothing fixes
            the brightness.
    """
    _check(background, right, down, mask)
    if not bool(mask.any()):
        return background.clone()
    rows, columns = (
        _extent(mask[0].any(dim=axis), size)
        for axis, size in ((1, mask.shape[1]), (0, mask.shape[2]))
    )
    inside = mask[:, rows, columns]
    weight = inside.to(background.dtype)
    part = background[:, rows, columns]
    guess = part if start is None else torch.where(inside, start[:, rows, columns], part)
    # What is missing from the wanted differences is the right-hand side for the correction of the
    # guess.
    have = gradients(guess)
    missing_right = right[:, rows, slice(columns.start, columns.stop - 1)] - have[0]
    missing_down = down[:, slice(rows.start, rows.stop - 1), columns] - have[1]
    load = torch.zeros_like(guess)
    load[:, :, 1:] += missing_right
    load[:, :, :-1] -= missing_right
    load[:, 1:, :] += missing_down
    load[:, :-1, :] -= missing_down
    correction = _conjugate_gradients(_levels(weight), load * weight, tolerance, max_steps)
    result = background.clone()
    result[:, rows, columns] = torch.where(inside, guess + correction, part)
    return result


def _check_same(wanted: tuple[int, ...], found: tuple[int, ...], name: str) -> None:
    if tuple(wanted) != tuple(found):
        raise GeometryError(f"{name} has another shape", expected=tuple(wanted), found=tuple(found))


def _check(background: Tensor, right: Tensor, down: Tensor, mask: Tensor) -> None:
    if background.dim() != 3 or not background.is_floating_point():
        raise GeometryError(
            "the background is no picture",
            expected="(C, H, W), floating point",
            found=f"{tuple(background.shape)}, {background.dtype}",
        )
    channels, height, width = background.shape
    _check_same((1, height, width), mask.shape, "the mask")
    _check_same((channels, height, max(width - 1, 0)), right.shape, "the guidance to the right")
    _check_same((channels, max(height - 1, 0), width), down.shape, "the guidance downward")
    if mask.dtype != torch.bool:
        raise GeometryError(
            "a Poisson equation needs a hard mask", expected="torch.bool", found=mask.dtype
        )
    if bool(mask.all()):
        raise GeometryError(
            "the mask covers the whole frame, so nothing fixes the brightness",
            remedy="Leave a pixel out, such as the frame's border.",
        )


def _extent(line: Tensor, size: int) -> slice:
    """Where a line of booleans is set, and one further pixel on both sides where there is one."""
    found = line.nonzero()
    return slice(max(int(found[0]) - 1, 0), min(int(found[-1]) + 2, size))


# ------------------------------------------------------------
# the solver
@dataclass(frozen=True)
class _Level:
    """One grid: unknowns ``(1, h, w)`` as 0 and 1, their number of neighbours, and the step of
    Jacobi.
    """

    inside: Tensor
    degree: Tensor
    step: Tensor


def _levels(inside: Tensor) -> list[_Level]:
    """The grid and its coarser ones: every second node, unknown where the finer one is."""
    levels = []
    while True:
        degree = torch.zeros_like(inside)
        degree[:, :, 1:] += 1
        degree[:, :, :-1] += 1
        degree[:, 1:, :] += 1
        degree[:, :-1, :] += 1
        levels.append(_Level(inside, degree, DAMPING * inside / degree.clamp(min=1)))
        coarser = inside[:, ::2, ::2]
        if max(inside.shape[1:]) <= COARSEST or not bool(coarser.any()):
            return levels
        inside = coarser.contiguous()


def _residual(level: _Level, load: Tensor | None, values: Tensor) -> Tensor:
    """``load - A values``, and ``A values`` where the load is None; values and result are 0 outside
    the mask.
    """
    total = level.degree * values
    total[:, :, 1:] -= values[:, :, :-1]
    total[:, :, :-1] -= values[:, :, 1:]
    total[:, 1:, :] -= values[:, :-1, :]
    total[:, :-1, :] -= values[:, 1:, :]
    if load is not None:
        torch.sub(load, total, out=total)
    return total.mul_(level.inside)


def _cycle(levels: list[_Level], load: Tensor) -> Tensor:
    """One V-cycle from zero: a symmetric positive approximation of the inverse."""
    level = levels[0]
    values = load * level.step
    if len(levels) == 1:
        for _ in range(7):
            values.addcmul_(_residual(level, load, values), level.step)
        return values
    coarse = _cycle(levels[1:], _restrict(_residual(level, load, values)) * levels[1].inside)
    values += _prolong(coarse, load.shape[-2], load.shape[-1]) * level.inside
    return values.addcmul_(_residual(level, load, values), level.step)


def _prolong(coarse: Tensor, height: int, width: int) -> Tensor:
    """Linear interpolation to the finer grid; constant beyond the last coarse node."""
    tall = coarse.new_empty(coarse.shape[0], height, coarse.shape[2])
    tall[:, ::2] = coarse
    pairs = (height - 1) // 2
    torch.add(coarse[:, :pairs], coarse[:, 1 : pairs + 1], out=tall[:, 1 : 2 * pairs : 2]).mul_(0.5)
    if height % 2 == 0:
        tall[:, -1] = coarse[:, -1]
    fine = coarse.new_empty(coarse.shape[0], height, width)
    fine[:, :, ::2] = tall
    pairs = (width - 1) // 2
    fine[:, :, 1 : 2 * pairs : 2] = (tall[:, :, :pairs] + tall[:, :, 1 : pairs + 1]) * 0.5
    if width % 2 == 0:
        fine[:, :, -1] = tall[:, :, -1]
    return fine


def _restrict(fine: Tensor) -> Tensor:
    """The transpose of ``_prolong``."""
    height, width = fine.shape[-2:]
    pairs = (width - 1) // 2
    tall = fine[:, :, ::2].clone()
    half = fine[:, :, 1 : 2 * pairs : 2] * 0.5
    tall[:, :, :pairs] += half
    tall[:, :, 1 : pairs + 1] += half
    if width % 2 == 0:
        tall[:, :, -1] += fine[:, :, -1]
    pairs = (height - 1) // 2
    coarse = tall[:, ::2].clone()
    half = tall[:, 1 : 2 * pairs : 2] * 0.5
    coarse[:, :pairs] += half
    coarse[:, 1 : pairs + 1] += half
    if height % 2 == 0:
        coarse[:, -1] += tall[:, -1]
    return coarse


def _conjugate_gradients(
    levels: list[_Level], load: Tensor, tolerance: float, max_steps: int
) -> Tensor:
    """Solve ``A x = load`` for each channel, until the cycle's estimate of the error is below the
    tolerance.
    """
    values, residual = torch.zeros_like(load), load
    estimate = _cycle(levels, residual)
    direction = estimate
    power = (residual * estimate).sum((1, 2), keepdim=True)
    for _ in range(max_steps):
        if not float(estimate.abs().max()) > tolerance:
            return values
        image = _residual(levels[0], None, direction)
        curvature = (direction * image).sum((1, 2), keepdim=True)
        length = torch.where(curvature > 0, power / curvature, torch.zeros_like(power))
        values = torch.addcmul(values, length, direction)
        residual = torch.addcmul(residual, length, image, value=-1)
        estimate = _cycle(levels, residual)
        before, power = power, (residual * estimate).sum((1, 2), keepdim=True)
        direction = torch.addcmul(
            estimate, torch.where(before > 0, power / before, torch.zeros_like(power)), direction
        )
    error = float(estimate.abs().max())
    if error > tolerance:
        logger.warning(
            "Poisson blending stopped after %d steps, the error about %.2g.", max_steps, error
        )
    return values
