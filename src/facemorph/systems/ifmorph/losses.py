"""The losses of Neural Implicit Morphing of Face Images (CVPR 2024), section 3.2.

They are computed as the authors' code does it.

| paper | here |
|---|---|
| W: ``int |T_0 - Id|^2 + int |T_t o T_-t - Id|^2`` | ``identity``, ``inverse`` |
| D: landmarks, ``sum_i int |T_t(p_i) - T_{t-1}(q_i)|^2 dt`` | ``data`` |
| T: thin-plate energy, ``int |Hess T|_F^2`` over space and time | ``thin_plate`` |

Departures: the trunk is evaluated once where the authors' code does it twice; the inverse terms are
evaluated only where they count (t != 0) instead of everywhere and masked; gradients may flow
through the inner map of a composition (``detach_composition=False``), which the authors' code
always stops. Values and gradients agree with the plain twin ``facemorph.bench.plain.morphing_loss``
(tests/reference/test_neural_morphing_loss.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn

from facemorph.errors import ConfigError
from facemorph.fields.warps.siren_warp import with_duration
from facemorph.fields.warps.warp import TrainableWarp


class WarpBatch(TypedDict):
    """Points ``(M, 2)`` at duration 0, and rows (x, y, duration) ``(K, 3)``."""

    still: Tensor
    moving: Tensor


class NeuralMorphingLoss(nn.Module):
    """Weighted sum of the paper's four terms.

    Args:
        data_weight: Weight of the landmark term (``data_constraint`` of the authors' experiment
            files).
        identity_weight: Weight of ``T(x, 0) = x``.
        inverse_weight: Weight of ``T(T(x, t), -t) = x`` and ``T(T(x, t), 1 - t) = T(x, 1)``.
        thin_plate_weight: Weight of the mean squared second derivative.
        intermediate_times: Times in (0, 1) at which both landmark sets must meet.
        end_weight: Weight of the end points inside the landmark term.
        middle_weight: Weight of the meeting points inside the landmark term.
        cycle_weight: Weight of the way back inside the landmark term.
        detach_composition: Stop gradients at the inner map of every composition, as the authors'
            code does.
    """

    def __init__(
        self,
        data_weight: float = 1e4,
        identity_weight: float = 1e3,
        inverse_weight: float = 1e4,
        thin_plate_weight: float = 1e3,
        intermediate_times: Sequence[float] = (0.25, 0.5, 0.75),
        end_weight: float = 100.0,
        middle_weight: float = 50.0,
        cycle_weight: float = 20.0,
        detach_composition: bool = True,
    ) -> None:
        super().__init__()
        self.weights = {
            "data": data_weight,
            "identity": identity_weight,
            "inverse": inverse_weight,
            "thin_plate": thin_plate_weight,
        }
        self.intermediate_times = tuple(float(t) for t in intermediate_times)
        self.end_weight, self.middle_weight, self.cycle_weight = (
            end_weight,
            middle_weight,
            cycle_weight,
        )
        self.detach_composition = detach_composition

    def forward(
        self, warp: TrainableWarp, still: Tensor, moving: Tensor, source: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Unweighted terms and the weighted ``total``.

        Args:
            warp: The warp being trained.
            still: Points ``(M, 2)`` used at duration 0, in field coordinates.
            moving: Rows (x, y, t) ``(K, 3)``, t in [-1, 1].
            source: Landmarks of the source ``(P, 2)``, in field coordinates.
            target: Landmarks of the target ``(P, 2)``.

        Returns:
            Scalars ``data``, ``identity``, ``inverse``, ``thin_plate`` and ``total``.

        Raises:
            ConfigError: The warp has no ``advance``.
        """
        if not callable(getattr(warp, "advance", None)):
            raise unfit(
                self, warp, "a network of (x, y, duration): siren_residual, siren or conjugate_flow"
            )
        rows = torch.cat([with_duration(still, 0.0), moving])
        jet = warp.advance(rows, order=2)
        if jet.hessian is None:
            raise NotImplementedError(f"{type(warp).__name__}.advance gives no second derivatives")
        at_rest = rows[:, 2] == 0
        offset = (jet.value - rows[:, :2]).square()
        # Sums over the rows that count, over all rows: the authors take the mean of masked arrays.
        terms = {
            "data": self.data(warp, source, target),
            "identity": (offset * at_rest[:, None]).sum() / offset.numel(),
            "inverse": self.inverse(warp, jet.value[len(still) :], moving) / offset.numel(),
            "thin_plate": jet.hessian.square().mean(),
        }
        terms["total"] = sum(
            (self.weights[name] * value for name, value in terms.items()), start=rows.new_zeros(())
        )
        return terms

    def inverse(self, warp: TrainableWarp, moved: Tensor, rows: Tensor) -> Tensor:
        """Sum of squares of ``T(T(x,t),-t) - x`` and ``T(T(x,t),1-t) - T(x,1)`` over the rows with
        t != 0.
        """
        counts = (rows[:, 2] != 0)[:, None]
        xy, t = rows[:, :2], rows[:, 2]
        inner = moved.detach() if self.detach_composition else moved
        back, onward, whole = warp.advance(
            torch.cat(
                [with_duration(inner, -t), with_duration(inner, 1 - t), with_duration(xy, 1.0)]
            )
        ).value.chunk(3)
        return (((back - xy).square() + (onward - whole).square()) * counts).sum()

    def data(self, warp: TrainableWarp, source: Tensor, target: Tensor) -> Tensor:
        """Landmark term: end points, meeting points at the intermediate times, and the
        ways back.
        """
        times = self.intermediate_times
        count, number = len(times), len(source)
        ahead = [with_duration(source, t) for t in times]
        behind = [with_duration(target, t - 1) for t in times]
        moved = warp.advance(
            torch.cat([with_duration(source, 1.0), with_duration(target, -1.0), *ahead, *behind])
        ).value
        ends, met = moved[: 2 * number], moved[2 * number :].view(2, count, number, 2)
        total = (
            self.end_weight
            * ((ends[:number] - target).square() + (ends[number:] - source).square()).mean()
        )
        if count == 0:
            return total
        total = total + self.middle_weight * (met[0] - met[1]).square().mean() * count
        inner = met.detach() if self.detach_composition else met
        back = warp.advance(
            torch.cat(
                [with_duration(inner[0, k], -t) for k, t in enumerate(times)]
                + [with_duration(inner[1, k], 1 - t) for k, t in enumerate(times)]
            )
        ).value
        goal = torch.stack([source, target])[:, None]
        return (
            total
            + self.cycle_weight
            * (back.view(2, count, number, 2) - goal).square().mean(dim=(1, 2, 3)).sum()
            * count
        )


def unfit(loss: nn.Module, warp: object, expected: str) -> ConfigError:
    """The error for a loss that cannot train a warp."""
    return ConfigError(
        f"{type(loss).__name__} cannot train this warp",
        where="system.loss, system.warp",
        expected=expected,
        found=type(warp).__name__,
        remedy="Take the warp's experiment: ifmorph/pair, neural_ode or conjugate_flow.",
    )
