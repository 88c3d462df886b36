"""Steps around the matrix products of small networks, each as one compiled pass: see
``facemorph.systems.imface.rows``.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

Array = np.ndarray[Any, Any]
Single = np.float32

# Cody and Waite: pi in three parts, whose first have trailing zeros, so that k * part is exact.
PI_PARTS = (Single(3.140625), Single(0.0009670257568359375), Single(6.2771141529083e-07))
QUARTER = Single(np.pi / 2)
INVERSE_PI = Single(1 / np.pi)
ROUNDING = Single(12582912.0)  # 1.5 * 2^23: adding it rounds to a whole number
# Of (sin r - r) / r^3 in r^2, on half a turn.
SINE = tuple(
    Single(value)
    for value in (-1.6666666e-1, 8.3333310e-3, -1.9840874e-4, 2.7525562e-6, -2.3889859e-8)
)
FREE = {"contract", "nnan", "ninf", "nsz"}  # no reassociation: the rounding relies on the order


@numba.njit(fastmath=FREE, inline="always")
def _sine(argument: Any) -> Any:
    """Off by 1.3e-7 up to 300, by 4e-7 up to 8000."""
    first, second, third = PI_PARTS
    c3, c5, c7, c9, c11 = SINE
    turns = (argument * INVERSE_PI + ROUNDING) - ROUNDING
    pairs = (turns * Single(0.5) + ROUNDING) - ROUNDING
    odd = turns - Single(2) * pairs
    rest = ((argument - turns * first) - turns * second) - turns * third
    square = rest * rest
    sine = rest + rest * square * (
        c3 + square * (c5 + square * (c7 + square * (c9 + square * c11)))
    )
    return sine * (Single(1) - Single(2) * odd * odd)


@numba.njit(fastmath=FREE, cache=True)
def first_sines(points: Array, weight: Array, bias: Array, output: Array) -> None:
    """Of ``(N, 3)``, ``(G, 3, C)`` and ``(G, C)`` to ``(G, N, C)``."""
    for group in range(output.shape[0]):
        for row in range(output.shape[1]):
            x, y, z = points[row, 0], points[row, 1], points[row, 2]
            for column in range(output.shape[2]):
                output[group, row, column] = _sine(
                    bias[group, column]
                    + x * weight[group, 0, column]
                    + y * weight[group, 1, column]
                    + z * weight[group, 2, column]
                )


@numba.njit(fastmath=FREE, cache=True)
def sines(values: Array, bias: Array) -> None:
    """Of ``(G, N, C)`` and ``(G, C)``, in place."""
    for group in range(values.shape[0]):
        for row in range(values.shape[1]):
            for column in range(values.shape[2]):
                values[group, row, column] = _sine(values[group, row, column] + bias[group, column])


@numba.njit(fastmath=FREE, cache=True)
def first_sine_pairs(
    points: Array, weight: Array, bias: Array, output: Array, cosines: Array
) -> None:
    """As ``first_sines``, and the cosines of the same."""
    for group in range(output.shape[0]):
        for row in range(output.shape[1]):
            x, y, z = points[row, 0], points[row, 1], points[row, 2]
            for column in range(output.shape[2]):
                argument = (
                    bias[group, column]
                    + x * weight[group, 0, column]
                    + y * weight[group, 1, column]
                    + z * weight[group, 2, column]
                )
                output[group, row, column] = _sine(argument)
                cosines[group, row, column] = _sine(argument + QUARTER)


@numba.njit(fastmath=FREE, cache=True)
def sine_pairs(values: Array, bias: Array, cosines: Array) -> None:
    """As ``sines``, and the cosines of the same."""
    for group in range(values.shape[0]):
        for row in range(values.shape[1]):
            for column in range(values.shape[2]):
                argument = values[group, row, column] + bias[group, column]
                values[group, row, column] = _sine(argument)
                cosines[group, row, column] = _sine(argument + QUARTER)


@numba.njit(fastmath=True, cache=True)
def _norm(values: Array, scale: Array, shift: Array, epsilon: float) -> None:
    """Layer norm of a row ``(C,)``, in place."""
    count = values.size
    share, mean, spread = Single(1 / count), Single(0), Single(0)
    for column in range(count):
        mean += values[column]
    mean *= share
    for column in range(count):
        spread += (values[column] - mean) ** 2
    inverse = Single(1 / np.sqrt(spread * share + Single(epsilon)))
    for column in range(count):
        values[column] = (values[column] - mean) * inverse * scale[column] + shift[column]


@numba.njit(fastmath=True, cache=True)
def _leak(values: Array, slope: float) -> None:
    for column in range(values.size):
        values[column] = max(values[column], values[column] * Single(slope))


@numba.njit(fastmath=True, cache=True)
def first_norms(
    points: Array,
    weight: Array,
    bias: Array,
    scale: Array,
    shift: Array,
    epsilon: float,
    slope: float,
    output: Array,
) -> None:
    """Of ``(N, 3)`` and ``(3, C)`` to ``(N, C)``."""
    for row in range(output.shape[0]):
        x, y, z, one = points[row, 0], points[row, 1], points[row, 2], output[row]
        for column in range(one.size):
            one[column] = (
                bias[column] + x * weight[0, column] + y * weight[1, column] + z * weight[2, column]
            )
        _norm(one, scale, shift, epsilon)
        _leak(one, slope)


@numba.njit(fastmath=True, cache=True)
def norms(
    values: Array, bias: Array, scale: Array, shift: Array, epsilon: float, slope: float
) -> None:
    """Of ``(N, C)``, in place."""
    for row in range(values.shape[0]):
        one = values[row]
        for column in range(one.size):
            one[column] += bias[column]
        _norm(one, scale, shift, epsilon)
        _leak(one, slope)


@numba.njit(fastmath=True, cache=True)
def mixtures(
    values: Array,
    weight: Array,
    bias: Array,
    scale: Array,
    shift: Array,
    epsilon: float,
    mixed: Array,
    output: Array,
) -> None:
    """Of ``(N, C)``, ``(K, C)`` and ``(N, K, O)`` to ``(N, O)``."""
    share = np.empty(weight.shape[0], np.float32)
    for row in range(values.shape[0]):
        for k in range(share.size):
            total = bias[k]
            for column in range(weight.shape[1]):
                total += values[row, column] * weight[k, column]
            share[k] = total
        _norm(share, scale, shift, epsilon)
        largest, total = share.max(), Single(0)
        for k in range(share.size):
            share[k] = np.exp(share[k] - largest)
            total += share[k]
        for column in range(output.shape[1]):
            found = Single(0)
            for k in range(share.size):
                found += share[k] * mixed[row, k, column]
            output[row, column] = found / total


@numba.njit(cache=True)
def screws(points: Array, motions: Array, output: Array) -> None:
    """Of ``(N, 3)`` and ``(N, 6)`` to ``(N, 3)``; coefficients in double precision, as
    they cancel.
    """
    for row in range(points.shape[0]):
        wx, wy, wz = motions[row, 0], motions[row, 1], motions[row, 2]
        vx, vy, vz = motions[row, 3], motions[row, 4], motions[row, 5]
        x, y, z = points[row, 0], points[row, 1], points[row, 2]
        square = np.float64(wx * wx + wy * wy + wz * wz)
        if square < 1e-4:
            a, b, c = 1 - square / 6, 0.5 - square / 24, 1 / 6 - square / 120
        else:
            angle = np.sqrt(square)
            a, b = np.sin(angle) / angle, (1 - np.cos(angle)) / square
            c = (1 - a) / square
        tx, ty, tz = wy * z - wz * y, wz * x - wx * z, wx * y - wy * x  # w x p
        dx, dy, dz = wy * vz - wz * vy, wz * vx - wx * vz, wx * vy - wy * vx  # w x v
        sx, sy, sz = b * tx + c * dx, b * ty + c * dy, b * tz + c * dz
        output[row, 0] = x + vx + a * tx + b * dx + wy * sz - wz * sy
        output[row, 1] = y + vy + a * ty + b * dy + wz * sx - wx * sz
        output[row, 2] = z + vz + a * tz + b * dz + wx * sy - wy * sx
