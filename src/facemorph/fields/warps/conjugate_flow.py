"""Neural conjugate flow: an affine flow seen through a learned change of coordinates.

| FLOWING | here |
|---|---|
| Psi_t = H^-1 o exp(tA) o H on two copies of a point | ``lifted`` |
| H: couplings ``x1 += g m0(x2); x2 += g m1(x1)``, g = 0.1 | ``_Coupling`` |
| exp(tA), homogeneous, by ``matrix_exp`` for each point | the same, once for each *time* |
| mean of the copies at inference | ``advance``, ``forward`` |

Sources: Bizzi, Nissenbaum and Pereira, Neural Conjugate Flows (arXiv 2411.08326); FLOWING: Implicit
Neural Flows for Structure-Preserving Morphing (NeurIPS 2025).

On the lifted space of four dimensions this is a flow for every weight: inverse and composition are
exact. On the plane it is one only as far as both copies agree, because their mean is taken:
``inverse_error_px`` of ``facemorph.metrics.warp_quality`` says how far that is, and is to be looked
at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facemorph.errors import ConfigError
from facemorph.fields.siren import Siren
from facemorph.fields.warps.siren_warp import with_duration
from facemorph.ops.jets import Jet, compose, seed

GAIN = 0.1
COPIES = 2


def add_jets(one: Jet, other: Jet, factor: float = 1.0) -> Jet:
    """``one + factor * other``, of the lower order of the two."""
    return _each(lambda a, b: a + factor * b, one, other)


def _each(function: Callable[..., Tensor], *jets: Jet) -> Jet:
    """Apply a linear function to values, Jacobians and Hessians, up to the lowest order of the
    jets.
    """
    parts: list[Any] = [
        None if any(part is None for part in same) else function(*same)
        for same in zip(*jets, strict=True)
    ]
    return Jet(*parts)


class _Coupling(nn.Module):
    """``x1 += g m0(x2); x2 += g m1(x1)``: invertible for all networks m0, m1."""

    def __init__(self, hidden_features: Sequence[int], omega_0: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(Siren(2, 2, hidden_features, omega_0) for _ in range(COPIES))

    def forward(self, first: Jet, second: Jet, backward: bool = False) -> tuple[Jet, Jet]:
        if not backward:
            first = add_jets(first, self._of(0, second), GAIN)
            return first, add_jets(second, self._of(1, first), GAIN)
        second = add_jets(second, self._of(1, first), -GAIN)
        return add_jets(first, self._of(0, second), -GAIN), second

    def _of(self, index: int, inner: Jet) -> Jet:
        order = 0 if inner.jacobian is None else 1 if inner.hessian is None else 2
        return compose(self.networks[index](inner.value, order=order), inner)


class NeuralConjugateFlow(nn.Module):
    """H^-1 o exp(tA) o H on two copies of a point, and their mean.

    Args:
        hidden_features: Width of each hidden layer of the couplings' networks.
        omega_0: Angular frequency of their layers.
        couplings: Number of couplings in H.
        generator_scale: Factor on the affine part at the start, so that training begins near the
            identity; 1 is FLOWING's start, which moves every point by some tenths of the frame.

    Raises:
        ConfigError: There is no coupling, or no such network.
    """

    lattice_nodes: int | None = 129

    def __init__(
        self,
        hidden_features: Sequence[int] = (128,),
        omega_0: float = 48.0,
        couplings: int = 3,
        generator_scale: float = 0.1,
    ) -> None:
        super().__init__()
        if couplings < 1:
            raise ConfigError(
                "a conjugate flow needs a coupling",
                where="warp.couplings",
                expected="at least 1",
                found=couplings,
            )
        size = 2 * COPIES
        self.couplings = nn.ModuleList(
            _Coupling(hidden_features, omega_0) for _ in range(couplings)
        )
        self.matrix = nn.Parameter(
            nn.init.xavier_normal_(torch.empty(size, size)) / (10 * size) * generator_scale
        )
        self.offset = nn.Parameter(torch.randn(size) / 10 * generator_scale)

    # ------------------------------------------------------------
    # parts
    def lift(self, xy: Tensor, *, order: int = 0) -> Jet:
        """Jet of H at two copies of ``xy`` (N, 2): value ``(N, 4)``, derivatives with respect to x
        and y.
        """
        first = second = seed(xy, order)
        for coupling in self.couplings:
            first, second = coupling(first, second)
        return _joined(first, second)

    def lower(self, lifted: Jet) -> Jet:
        """H^-1: the two copies, one after the other, ``(N, 4)``; derivatives with respect to those
        of ``lifted``.
        """
        first, second = (
            _each(lambda part, half=half: part[:, half], lifted)
            for half in (slice(0, 2), slice(2, 4))
        )
        for coupling in reversed(self.couplings):
            first, second = coupling(first, second, backward=True)
        return _joined(first, second)

    def exponential(self, durations: Tensor) -> Tensor:
        """exp(tA) in homogeneous coordinates for durations ``(K,)``: ``(K, 5, 5)``."""
        generator = F.pad(torch.cat([self.matrix, self.offset[:, None]], 1), (0, 0, 0, 1))
        return torch.matrix_exp(generator * durations.to(generator)[:, None, None])

    def affine(self, lifted: Tensor, durations: Tensor, *, order: int = 0) -> Jet:
        """Jet of ``(z, t) -> exp(tA) z`` with respect to the four z and t, at ``lifted`` (N, 4) and
        ``(N,)``.
        """
        if durations.requires_grad:  # nothing differentiates `unique`
            power = self.exponential(durations)[:, :4]
        else:
            times, which = torch.unique(durations, return_inverse=True)
            power = self.exponential(times)[which, :4]  # (N, 4, 5)
        value = (power[:, :, :4] @ lifted[..., None])[..., 0] + power[:, :, 4]
        if order == 0:
            return Jet(value)
        speed = value @ self.matrix.T + self.offset  # d/dt of exp(tA) z is A exp(tA) z + b
        jacobian = torch.cat([power[:, :, :4], speed[..., None]], 2)
        if order == 1:
            return Jet(value, jacobian)
        # (N, 4, 5)
        mixed = torch.cat([self.matrix @ power[:, :, :4], (speed @ self.matrix.T)[..., None]], 2)
        # affine in z
        bent = torch.cat([value.new_zeros(*value.shape, 4, 4), mixed[..., :4, None]], 3)
        return Jet(value, jacobian, torch.cat([bent, mixed[:, :, None]], 2))

    # ------------------------------------------------------------
    # flow
    def lifted(self, xyt: Tensor, *, order: int = 0) -> Jet:
        """Jet of both copies ``(N, 4)`` at rows (x, y, duration) ``(N, 3)``, with respect to all
        three.
        """
        inner = self.lift(xyt[:, :2], order=order)
        moved = self.affine(inner.value, xyt[:, 2], order=order)
        jacobian = hessian = None
        if inner.jacobian is not None:  # of (z, t) with respect to (x, y, t)
            count = len(xyt)
            time_row = xyt.new_tensor([0.0, 0.0, 1.0]).expand(count, 1, 3)
            jacobian = torch.cat([F.pad(inner.jacobian, (0, 1)), time_row], 1)
            if inner.hessian is not None:
                hessian = F.pad(inner.hessian, (0, 1, 0, 1, 0, 1))
        return self.lower(
            compose(moved, Jet(torch.cat([inner.value, xyt[:, 2:]], 1), jacobian, hessian))
        )

    def advance(self, xyt: Tensor, *, order: int = 0) -> Jet:
        """Jet of the mean of both copies at rows (x, y, duration) ``(N, 3)``."""
        return mean_of_copies(self.lifted(xyt, order=order))

    def forward(self, xy: Tensor, t0: float, t1: float) -> Tensor:
        """Points ``xy`` (N, 2) of time ``t0`` at time ``t1``; exactly ``xy`` where the two are
        equal.
        """
        return xy if t0 == t1 else self.advance(with_duration(xy, float(t1) - float(t0))).value


def mean_of_copies(copies: Jet) -> Jet:
    """Jet of the mean ``(N, 2)`` of two copies ``(N, 4)``."""
    return _each(lambda part: 0.5 * (part[:, :2] + part[:, 2:]), copies)


def _joined(first: Jet, second: Jet) -> Jet:
    return _each(lambda a, b: torch.cat([a, b], 1), first, second)
