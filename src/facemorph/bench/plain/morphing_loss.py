"""Plain twin of the paper's loss: the equations one after the other, with nested automatic
differentiation.

Slow and simple on purpose: it is the test oracle of ``facemorph.systems.ifmorph.losses`` and what
it is timed against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from facemorph.ops.jets import autograd_jet

Psi = Callable[[Tensor, Tensor | float], Tensor]


def plain_neural_morphing_loss(
    network: Callable[[Tensor], Tensor],
    rows: Tensor,
    source: Tensor,
    target: Tensor,
    times: Sequence[float] = (0.25, 0.5, 0.75),
) -> dict[str, Tensor]:
    """The four terms and their weighted total, with the default weights.

    Args:
        network: T as a plain function of rows (x, y, t) ``(N, 3)`` -> ``(N, 2)``.
        rows: All samples ``(N, 3)``, those at t = 0 among them.
        source: Landmarks of the source ``(P, 2)``.
        target: Landmarks of the target ``(P, 2)``.
        times: Intermediate times.
    """

    def psi(xy: Tensor, t: Tensor | float) -> Tensor:
        column = t.expand(len(xy), 1) if isinstance(t, Tensor) else torch.full_like(xy[:, :1], t)
        return network(torch.cat([xy, column], 1))

    xy, t = rows[:, :2], rows[:, 2:]
    jet = autograd_jet(network, rows, 2)
    if jet.hessian is None:
        raise NotImplementedError
    inner = jet.value.detach()
    at_rest = (t == 0).to(rows)
    terms = {
        "data": plain_data_term(psi, source, target, times),
        "identity": (at_rest * (jet.value - xy).square()).mean(),
        "inverse": (
            (1 - at_rest)
            * ((psi(inner, -t) - xy).square() + (psi(inner, 1 - t) - psi(xy, 1.0)).square())
        ).mean(),
        "thin_plate": jet.hessian.square().mean(),
    }
    terms["total"] = (
        1e4 * terms["data"]
        + 1e3 * terms["identity"]
        + 1e4 * terms["inverse"]
        + 1e3 * terms["thin_plate"]
    )
    return terms


def plain_data_term(psi: Psi, source: Tensor, target: Tensor, times: Sequence[float]) -> Tensor:
    """The landmark term, one evaluation after the other."""
    total = 100 * ((psi(source, 1.0) - target).square() + (psi(target, -1.0) - source).square())
    for t in times:
        ahead, behind = psi(source, t), psi(target, t - 1)
        total = total + 50 * (ahead - behind).square()
        total = total + 20 * (psi(ahead.detach(), -t) - source).square()
        total = total + 20 * (psi(behind.detach(), 1 - t) - target).square()
    return total.mean()
