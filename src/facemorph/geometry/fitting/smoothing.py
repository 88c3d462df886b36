"""Smoothing of what is fitted frame by frame: causally, as frames come in, or over a whole take at
once.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import ConfigError
from facemorph.ops.rotations import nearest_rotation, rotation_from_vector, vector_from_rotation
from facemorph.ops.shapes import check_shape


class OneEuroFilter:
    """The one-euro filter: a low-pass whose cut-off rises with the speed, so that it lags little
    where much moves.

    Causal: call it with each frame's values in turn. Source: Casiez, Roussel and Vogel (CHI 2012),
    algorithm 1.

    Args:
        frames_per_second: Rate of the calls.
        min_cutoff: Hertz; lower is smoother at rest.
        beta: Hertz for each unit of speed; higher lags less.
        derivative_cutoff: Hertz, of the speed.

    Raises:
        ConfigError: A frequency is not above 0, or beta is negative.
    """

    def __init__(
        self,
        frames_per_second: float,
        min_cutoff: float = 0.5,
        beta: float = 0.0,
        derivative_cutoff: float = 1.0,
    ) -> None:
        for name, value in (
            ("frames_per_second", frames_per_second),
            ("min_cutoff", min_cutoff),
            ("derivative_cutoff", derivative_cutoff),
        ):
            if not value > 0:
                raise ConfigError("a frequency must be above 0", where=name, found=value)
        if beta < 0:
            raise ConfigError("this cannot be negative", where="beta", found=beta)
        self.rate, self.min_cutoff, self.beta = frames_per_second, min_cutoff, beta
        self.derivative_cutoff = derivative_cutoff
        self._value: Tensor | None = None
        self._speed: Tensor | None = None

    def __call__(self, value: Tensor) -> Tensor:
        """The filtered values ``(...)`` of one frame."""
        if self._value is None or self._speed is None:
            self._value, self._speed = value, torch.zeros_like(value)
            return value
        share = self._share(torch.full_like(value, self.derivative_cutoff))
        self._speed = torch.lerp(self._speed, (value - self._value) * self.rate, share)
        cutoff = self.min_cutoff + self.beta * self._speed.abs()
        self._value = torch.lerp(self._value, value, self._share(cutoff))
        return self._value

    def _share(self, cutoff: Tensor) -> Tensor:
        """Share of the new value: 1 / (1 + tau / T)."""
        return 1 / (1 + self.rate / (2 * math.pi * cutoff))


def smooth(
    values: Tensor, frames_per_second: float, cutoff: float = 3.0, weights: Tensor | None = None
) -> Tensor:
    """A whole take smoothed without lag: least squares with penalised second differences.

    Minimises ``sum_t w_t (x_t - y_t)^2 + lambda sum_t (x_{t-1} - 2 x_t + x_{t+1})^2``, the discrete
    smoothing spline (Whittaker 1923; Eilers 2003). A slow motion is kept, an oscillation at the
    cut-off is halved.

    Args:
        values: ``(T, C)``.
        frames_per_second: Their rate.
        cutoff: Hertz.
        weights: ``(T,)``, 0 for a frame without a value: it is interpolated; None is 1.

    Raises:
        ConfigError: The rate or cut-off is not above 0, or no frame has a value.
    """
    check_shape(values, "T C", "values")
    if not (cutoff > 0 and frames_per_second > 0):
        raise ConfigError("a frequency must be above 0", where="cutoff", found=cutoff)
    count = len(values)
    weight = np.ones(count) if weights is None else weights.double().numpy()
    if not (weight > 0).any():
        raise ConfigError("no frame has a value", where="weights")
    if count < 3:
        return values
    # Gain 1 / (1 + lambda (2 - 2 cos w)^2) is a half at the cut-off; one that is beyond the rate
    # smooths nothing.
    angle = min(2 * math.pi * cutoff / frames_per_second, math.pi)
    strength = (2 - 2 * math.cos(angle)) ** -2
    bands = np.zeros((3, count))  # upper form of D^T D
    bands[0, 2:] = strength
    bands[1, 1:] = -4 * strength
    bands[1, [1, -1]] = -2 * strength
    bands[2] = 6 * strength
    bands[2, [0, -1]], bands[2, [1, -2]] = strength, 5 * strength
    if count == 3:
        bands[2, 1] = 4 * strength
    bands[2] += weight + 1e-9
    from scipy.linalg import solveh_banded  # slow to load, and photographs need it not

    solved = solveh_banded(bands, weight[:, None] * values.double().numpy())
    return torch.from_numpy(solved).to(values.dtype)


def smooth_rotations(
    rotations: Tensor, frames_per_second: float, cutoff: float = 3.0, weights: Tensor | None = None
) -> Tensor:
    """``smooth`` for rotations ``(T, 3, 3)``, as vectors in the tangent space at their mean."""
    mean, _ = nearest_rotation(rotations.mean(0))
    away = smooth(vector_from_rotation(mean.T @ rotations), frames_per_second, cutoff, weights)
    return mean @ rotation_from_vector(away)
