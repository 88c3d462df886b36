"""Sine networks (SIREN): coordinates to values, with analytic derivatives.

Source: Sitzmann et al., Implicit Neural Representations with Periodic Activation Functions (NeurIPS
2020), in the form that Schardong et al., Neural Implicit Morphing of Face Images (CVPR 2024), use
for images and warps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.ops.jets import Jet, sine_network_jet
from facemorph.ops.shapes import check_shape


class Siren(nn.Module):
    """``W_L sin(w_h(... sin(w_0 (W_0 x + b_0)) ...)) + b_L`` with derivatives up to the second.

    Args:
        in_features: Number of coordinates D.
        out_features: Number of values C.
        hidden_features: Width of each hidden layer.
        omega_0: Angular frequency of the first layer.
        omega_hidden: Angular frequency of the other hidden layers; ``omega_0`` when None.

    Weights are drawn as the authors draw them: U(-1/D, 1/D) in the first layer, U(-b, b) with
    b = sqrt(6 / fan_in) / omega_hidden in all others, biases U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

    Raises:
        ConfigError: There is no hidden layer, or a frequency is not positive.
    """

    def __init__(
        self,
        in_features: int = 2,
        out_features: int = 3,
        hidden_features: Sequence[int] = (256, 256, 256),
        omega_0: float = 100.0,
        omega_hidden: float | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        omega_hidden = omega_0 if omega_hidden is None else omega_hidden
        if (
            not hidden_features
            or min(hidden_features) < 1
            or not (0 < omega_0 < math.inf and 0 < omega_hidden < math.inf)
        ):
            raise ConfigError(
                "this is no sine network",
                where="hidden_features, omega_0, omega_hidden",
                expected="one hidden layer or more, none of them empty, and positive frequencies",
                found=f"{list(hidden_features)}, {omega_0}, {omega_hidden}",
            )
        self.omegas = [float(omega_0)] + [float(omega_hidden)] * (len(hidden_features) - 1)
        sizes = [in_features, *hidden_features, out_features]
        layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        with torch.no_grad():
            for index, layer in enumerate(layers):
                fan_in = sizes[index]
                bound = 1 / fan_in if index == 0 else math.sqrt(6 / fan_in) / float(omega_hidden)
                layer.weight.uniform_(-bound, bound)
                layer.bias.uniform_(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def forward(self, xy: Tensor, *, order: int = 0) -> Jet:
        """Value and derivatives at ``xy`` (N, D).

        Args:
            xy: Points ``(N, D)``.
            order: 0 for the value, 1 for the Jacobian too, 2 for the Hessian too.

        Returns:
            Jet with value ``(N, C)``, Jacobian ``(N, C, D)``, Hessian ``(N, C, D, D)``.

        Raises:
            DataError: ``xy`` is not (N, D).
        """
        check_shape(xy, f"N {self.in_features}", "the network's input")
        layers = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return sine_network_jet(
            xy,
            [layer.weight for layer in layers],
            [layer.bias for layer in layers],
            self.omegas,
            order,
        )
