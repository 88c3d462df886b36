"""A warp as the flow of a neural ordinary differential equation.

| FLOWING | here |
|---|---|
| dx/dt = f(x), f an autonomous sine network | ``velocity`` |
| flow by ``odeint(method="rk4")`` of torchdiffeq | ``transport``: Runge-Kutta 4, equal steps |

Source: FLOWING: Implicit Neural Flows for Structure-Preserving Morphing (NeurIPS 2025). Departures:
the last layer is small at the start, so that training begins near the identity; the steps are as
many in both directions, whatever the times asked for.

The velocity does not change with time, so the paths of two points never cross, not even at
different times: where landmarks need that, the thin-plate flow, whose velocity does change, is the
warp to take.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.fields.siren import Siren
from facemorph.ops.integration import runge_kutta
from facemorph.ops.jets import Jet


class NeuralODEWarp(nn.Module):
    """The flow of dx/dt = f(x); identity exactly, inverse and composition up to the error of the
    integration.

    Args:
        hidden_features: Width of each hidden layer of f.
        omega_0: Angular frequency of the first layer.
        omega_hidden: Angular frequency of the other hidden layers; ``omega_0`` when None.
        output_scale: Factor on the last layer at the start.
        steps: Runge-Kutta steps for one unit of time.

    Raises:
        ConfigError: ``steps`` is below 1, or there is no such network.
    """

    lattice_nodes: int | None = 65

    def __init__(
        self,
        hidden_features: Sequence[int] = (128, 128),
        omega_0: float = 44.0,
        omega_hidden: float | None = None,
        output_scale: float = 0.01,
        steps: int = 8,
    ) -> None:
        super().__init__()
        if steps < 1:
            raise ConfigError(
                "a flow needs a step", where="warp.steps", expected="at least 1", found=steps
            )
        self.network = Siren(2, 2, hidden_features, omega_0, omega_hidden)
        self.steps = steps
        with torch.no_grad():
            for parameter in self.network.layers[-1].parameters():
                parameter.mul_(output_scale)

    def velocity(self, xy: Tensor, *, order: int = 0) -> Jet:
        """Jet of f at ``xy`` (N, 2): velocity ``(N, 2)``, Jacobian ``(N, 2, 2)``, Hessian ``(N, 2,
        2, 2)``.
        """
        jet: Jet = self.network(xy, order=order)
        return jet

    def transport(self, xy: Tensor, duration: float) -> Tensor:
        """Points ``xy`` (N, 2) after ``duration``, which may be negative: exactly ``xy`` after
        none.
        """
        count = math.ceil(abs(duration) * self.steps - 1e-9)
        if count == 0:
            return xy
        return runge_kutta(lambda points, _: self.network(points).value, xy, 0.0, duration, count)

    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``."""
        return self.transport(xy, float(t1) - float(t0))
