"""Plane similarities as complex numbers: a rotation, scale and translation that grows with time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SimilarityPath:
    """The one-parameter group z -> a^t z + b (a^t - 1)/(a - 1).

    Attributes:
        log_factor: log a, complex scalar: log of the scale, and the angle in radians.
        offset: b, complex scalar.
    """

    log_factor: Tensor
    offset: Tensor

    @classmethod
    def fit(cls, source: Tensor, target: Tensor) -> SimilarityPath:
        """Least-squares similarity of ``source`` (P, 2) to ``target`` (P, 2).

        A translation where it is not determined.
        """
        z, w = (
            torch.view_as_complex(source.contiguous()),
            torch.view_as_complex(target.contiguous()),
        )
        centred = z - z.mean()
        numerator = (centred.conj() * (w - w.mean())).sum()
        denominator = centred.abs().square().sum()
        if float(denominator.detach()) < 1e-12 or float(numerator.detach().abs()) < 1e-12:
            factor = torch.ones_like(numerator)
        else:
            factor = numerator / denominator
        return cls(torch.log(factor), w.mean() - factor * z.mean())

    @property
    def angle(self) -> float:
        """Angle of the whole motion in radians, in (-pi, pi]."""
        return float(self.log_factor.detach().imag)

    def at(self, time: float, points: Tensor) -> Tensor:
        """``points`` (M, 2) after ``time``; in their own dtype."""
        power = torch.exp(time * self.log_factor)
        if float(self.log_factor.detach().abs()) < 1e-9:
            ratio = torch.full_like(power, time)
        else:
            ratio = torch.expm1(time * self.log_factor) / torch.expm1(self.log_factor)
        z = torch.view_as_complex(points.to(torch.float64).contiguous())
        return torch.view_as_real(power * z + self.offset * ratio).to(points.dtype)
