"""Warps by sine networks: the one of the paper, and a residual one that is the identity by
construction.

Source: Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024): T: R^2 x R -> R^2,
T(x, t) moves a point by the duration t in [-1, 1], forward from the source and backward from the
target.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.fields.siren import Siren
from facemorph.ops.jets import Jet


def with_duration(xy: Tensor, duration: Tensor | float) -> Tensor:
    """Rows (x, y, t) ``(N, 3)`` from points ``(N, 2)`` and one duration, or one for each point
    ``(N,)``.
    """
    if not isinstance(duration, Tensor):
        return F.pad(xy, (0, 1), value=float(duration))
    return torch.cat([xy, duration.to(xy).expand(len(xy))[:, None]], 1)


class SirenWarp(nn.Module):
    """The paper's warp: T is a sine network of (x, y, t) and has to learn the identity at t = 0.

    Args:
        hidden_features: Width of each hidden layer.
        omega_0: Angular frequency of the first layer.
        omega_hidden: Angular frequency of the other hidden layers; ``omega_0`` when None.
    """

    lattice_nodes: int | None = 129

    def __init__(
        self,
        hidden_features: Sequence[int] = (128, 128),
        omega_0: float = 24.0,
        omega_hidden: float | None = None,
    ) -> None:
        super().__init__()
        self.network = Siren(3, 2, hidden_features, omega_0, omega_hidden)

    def advance(self, xyt: Tensor, *, order: int = 0) -> Jet:
        """Jet of T at rows (x, y, t) ``(N, 3)``, with respect to all three coordinates."""
        return self.network(xyt, order=order)

    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``: T(xy, t1 - t0)."""
        return self.advance(with_duration(xy, t1 - t0)).value


class ResidualSirenWarp(nn.Module):
    """T(x, t) = x + t N(x, t): the identity at t = 0 by construction, for every weight of the
    network N.

    Departure from the paper, whose network spends most of its training on learning the identity: at
    equal time the residual form is ahead on every measure (docs/benchmarks.md).

    Args:
        hidden_features: Width of each hidden layer of N.
        omega_0: Angular frequency of the first layer.
        omega_hidden: Angular frequency of the other hidden layers; ``omega_0`` when None.
        output_scale: Factor on the last layer at the start, so that training starts near the
            identity.
    """

    lattice_nodes: int | None = 129

    def __init__(
        self,
        hidden_features: Sequence[int] = (128, 128),
        omega_0: float = 24.0,
        omega_hidden: float | None = None,
        output_scale: float = 0.01,
    ) -> None:
        super().__init__()
        self.network = Siren(3, 2, hidden_features, omega_0, omega_hidden)
        last = self.network.layers[-1]
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.mul_(output_scale)

    def advance(self, xyt: Tensor, *, order: int = 0) -> Jet:
        """Jet of T at rows (x, y, t) ``(N, 3)``, by the product rule from the jet of N."""
        jet, t = self.network(xyt, order=order), xyt[:, 2:]
        value = xyt[:, :2] + t * jet.value
        if jet.jacobian is None:
            return Jet(value)
        eye = torch.eye(2, 3, dtype=xyt.dtype, device=xyt.device)
        jacobian = eye + t[..., None] * jet.jacobian + F.pad(jet.value[..., None], (2, 0))
        if jet.hessian is None:
            return Jet(value, jacobian)
        cross = F.pad(jet.jacobian[..., None], (2, 0))  # d N / d x_i in column (i, t)
        return Jet(value, jacobian, t[..., None, None] * jet.hessian + cross + cross.mT)

    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``; exactly ``xy`` where the two are
        equal.
        """
        return self.advance(with_duration(xy, t1 - t0)).value
