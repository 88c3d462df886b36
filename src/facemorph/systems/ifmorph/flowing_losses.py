"""The losses of FLOWING: Implicit Neural Flows for Structure-Preserving Morphing (NeurIPS 2025).

For landmarks p_i of the source and q_i of the target:

| warp | total |
|---|---|
| neural ODE, velocity f | w_m mean |Phi_1/2(p_i) - Phi_-1/2(q_i)|^2 + w_j mean |Df(x)|_F^2 |
| conjugate flow Psi, copies Psi^1, Psi^2 | (400 w_d D + w_c V + w_p T) / K^2 at K times |

with D = mean over times t and landmarks of |Psi_t(p_i) - Psi_{t-1}(q_i)|^2, Psi being the mean of
the copies; V the mean variance of the copies; T the mean squared second derivative of Psi over
space and time. All derivatives go forward (``facemorph.ops.jets``), none is nested.

Departures: the points at which derivatives are taken are those of the data module (jittered, new in
every step, some hundred) instead of a fixed grid of 10000 with noise, or 1000 uniform ones; V is
taken at those points too (``sample_share``), because the mean of copies that agree at landmarks
only has no inverse elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.fields.warps.conjugate_flow import mean_of_copies
from facemorph.fields.warps.siren_warp import with_duration
from facemorph.ops.jets import Jet
from facemorph.systems.ifmorph.losses import unfit


@runtime_checkable
class VelocityWarp(Protocol):
    """The flow of a velocity that does not change with time."""

    def velocity(self, xy: Tensor, *, order: int = 0) -> Jet:
        """Jet of the velocity at ``xy`` (N, 2)."""
        ...

    def transport(self, xy: Tensor, duration: float) -> Tensor:
        """Points ``xy`` (N, 2) after ``duration``."""
        ...


@runtime_checkable
class LiftedWarp(Protocol):
    """A warp of two copies of the plane."""

    def lifted(self, xyt: Tensor, *, order: int = 0) -> Jet:
        """Jet of both copies ``(N, 4)`` at rows (x, y, duration) ``(N, 3)``."""
        ...


class NeuralODELoss(nn.Module):
    """Half-way matching and a Jacobian penalty.

    Args:
        matching_weight: w_m.
        smoothness_weight: w_j.
    """

    def __init__(self, matching_weight: float = 1024.0, smoothness_weight: float = 1.0) -> None:
        super().__init__()
        self.weights = {"matching": matching_weight, "smoothness": smoothness_weight}

    def forward(
        self, warp: VelocityWarp, still: Tensor, moving: Tensor, source: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Unweighted terms and the weighted ``total``.

        Args:
            warp: The warp being trained.
            still: Points ``(M, 2)`` at which the Jacobian is taken, in field coordinates.
            moving: Not used: the velocity does not depend on the time.
            source: Landmarks of the source ``(P, 2)``.
            target: Landmarks of the target ``(P, 2)``.

        Returns:
            Scalars ``matching``, ``smoothness`` and ``total``.

        Raises:
            ConfigError: The warp has no velocity.
        """
        if not isinstance(warp, VelocityWarp):
            raise unfit(self, warp, "the flow of a velocity: neural_ode")
        jacobian = warp.velocity(still, order=1).jacobian
        if jacobian is None:
            raise NotImplementedError(f"{type(warp).__name__}.velocity gives no derivatives")
        gap = warp.transport(source, 0.5) - warp.transport(target, -0.5)
        return _with_total(
            {
                "matching": gap.square().sum(1).mean(),
                "smoothness": jacobian.square().sum((1, 2)).mean(),
            },
            self.weights,
        )


class ConjugateFlowLoss(nn.Module):
    """Landmarks at several times, agreement of the copies, and thin-plate energy.

    The weights are those of FLOWING's experiment file; the classes there have 1e4, 1e3 and 1e3.

    Args:
        data_weight: w_d.
        diagonal_weight: w_c.
        thin_plate_weight: w_p.
        times: Times at which both landmark sets must meet.
        sample_share: Share of the sample points' variance in V, beside that of the landmarks; 0 in
            FLOWING.
    """

    def __init__(
        self,
        data_weight: float = 909473.8,
        diagonal_weight: float = 333099.5,
        thin_plate_weight: float = 341.46,
        times: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
        sample_share: float = 1.0,
    ) -> None:
        super().__init__()
        if not times:
            raise ConfigError("landmarks must meet at some time", where="loss.times", found="none")
        scale = 1 / len(times) ** 2
        self.weights = {
            "data": 400 * data_weight * scale,
            "diagonal": diagonal_weight * scale,
            "thin_plate": thin_plate_weight * scale,
        }
        self.times, self.sample_share = tuple(float(time) for time in times), sample_share

    def forward(
        self, warp: LiftedWarp, still: Tensor, moving: Tensor, source: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Unweighted terms and the weighted ``total``.

        Args:
            warp: The warp being trained.
            still: Not used: at duration 0 the copies agree and do not move.
            moving: Rows (x, y, t) ``(K, 3)``, t in [-1, 1], at which derivatives are taken.
            source: Landmarks of the source ``(P, 2)``.
            target: Landmarks of the target ``(P, 2)``.

        Returns:
            Scalars ``data``, ``diagonal``, ``thin_plate`` and ``total``.

        Raises:
            ConfigError: The warp has no copies.
        """
        if not isinstance(warp, LiftedWarp):
            raise unfit(self, warp, "a warp of two copies: conjugate_flow")
        rows = [with_duration(source, time) for time in self.times]
        rows += [with_duration(target, time - 1) for time in self.times]
        copies = warp.lifted(torch.cat(rows))
        ahead, behind = mean_of_copies(copies).value.chunk(2)
        samples = warp.lifted(moving, order=2)
        hessian = mean_of_copies(samples).hessian
        if hessian is None:
            raise NotImplementedError(f"{type(warp).__name__}.lifted gives no second derivatives")
        return _with_total(
            {
                "data": (ahead - behind).square().mean(),
                "diagonal": _spread(copies.value) + self.sample_share * _spread(samples.value),
                "thin_plate": hessian.square().mean(),
            },
            self.weights,
        )


def _spread(copies: Tensor) -> Tensor:
    """Mean variance of two copies ``(N, 4)``: half of their squared distance, for each
    coordinate.
    """
    return (copies[:, :2] - copies[:, 2:]).square().mean() / 2


def _with_total(terms: dict[str, Tensor], weights: dict[str, float]) -> dict[str, Tensor]:
    total = torch.stack([weights[name] * value for name, value in terms.items()]).sum()
    return terms | {"total": total}
