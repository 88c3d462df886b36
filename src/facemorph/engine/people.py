"""A distribution of people: codes, skin coefficients and shapes together, and nobody in
particular.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from facemorph.errors import CheckpointError

if TYPE_CHECKING:
    from facemorph.data.condition_set import ConditionedFaces

LATELY = 8000  # rows after which what has been met counts half
SHRINKAGE = 0.1  # towards a diagonal covariance: there are not many more people than numbers
PARTS = ("code", "albedo", "identity")


class PeopleModel(nn.Module):
    """A Gaussian over codes, skin coefficients and identities of people.

    What goes together in people (skin in code and coefficients, shape and code) goes together in
    what is drawn. It keeps a mean and a covariance of many people, from which none comes back.
    """

    mean: Tensor
    factor: Tensor
    sizes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(0))
        self.register_buffer("factor", torch.zeros(0, 0))
        self.register_buffer("sizes", torch.zeros(len(PARTS), dtype=torch.long))
        self.register_load_state_dict_pre_hook(_take_sizes)

    @property
    def known(self) -> bool:
        """Whether it has been fitted."""
        return bool(len(self.mean))

    @torch.no_grad()
    def fit(self, codes: Tensor, data: ConditionedFaces, rows: Tensor) -> None:
        """Take mean and covariance.

        Args:
            codes: ``(R, C)`` of the people of some rows of a set.
            data: The set.
            rows: ``(R,)`` these rows.
        """
        parameters = data.parameters[rows]
        self.fit_values(codes, parameters.albedo, parameters.identity)

    @torch.no_grad()
    def fit_values(self, codes: Tensor, albedo: Tensor, identity: Tensor) -> None:
        """Take mean and covariance of ``(R, ...)`` codes, skin coefficients and identities."""
        parts = (codes, albedo, identity)
        values = torch.cat(parts, 1).double()
        self.fit_moments(values.mean(0), torch.cov(values.T), [part.shape[1] for part in parts])

    @torch.no_grad()
    def fit_moments(self, mean: Tensor, covariance: Tensor, sizes: Sequence[int]) -> None:
        """Take mean ``(D,)`` and covariance ``(D, D)`` of codes, skin coefficients and identities.

        Args:
            mean: Of people.
            covariance: Likewise.
            sizes: Lengths of the three parts.
        """
        covariance = covariance.double()
        diagonal = torch.diag(covariance.diagonal() + 1e-6)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * diagonal
        self.mean = mean.float()
        self.factor = torch.linalg.cholesky(covariance).float()
        self.sizes = torch.tensor(sizes)

    def sample(
        self, count: int, generator: torch.Generator, spread: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, skin coefficients and identities ``(count, ...)`` of people who do not exist.

        Args:
            count: How many.
            generator: Of the random numbers.
            spread: Factor of the deviation from the mean person.

        Raises:
            CheckpointError: It has not been fitted.
        """
        if not self.known:
            raise CheckpointError(
                "this model knows no people",
                where="people",
                remedy="Train it on a set first.",
            )
        drawn = torch.randn(count, len(self.mean), generator=generator)
        values = self.mean + spread * drawn @ self.factor.T
        code, albedo, identity = values.split(self.sizes.tolist(), 1)
        return code, albedo, identity


class Moments(nn.Module):
    """Mean and covariance of what has been met lately, of all processes together."""

    mean: Tensor
    second: Tensor
    met: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(0, dtype=torch.double))
        self.register_buffer("second", torch.zeros(0, 0, dtype=torch.double))
        self.register_buffer("met", torch.zeros(()))
        self.register_load_state_dict_pre_hook(_take_moments)

    @torch.no_grad()
    def follow(self, values: Tensor) -> None:
        """Count rows ``(B, D)`` in, of which there may be none; those of ``LATELY`` rows before
        count half.
        """
        values = values.double()  # a covariance is a small difference, which autocast would round
        rows = values.new_tensor([len(values)])
        found = torch.cat([rows, values.sum(0), (values.T @ values).flatten()])
        if dist.is_available() and dist.is_initialized():
            dist.all_reduce(found)
        count = float(found[0])
        if not count:
            return
        found = found[1:] / count
        mean, second = found[: values.shape[1]], found[values.shape[1] :]
        self.met += count
        share = max(count / float(self.met), 1 - 0.5 ** (count / LATELY))
        if not len(self.mean):
            self.mean, self.second = mean, second.view(len(mean), -1)
            return
        self.mean = self.mean.lerp(mean, share)
        self.second = self.second.lerp(second.view_as(self.second), share)

    def values(self) -> tuple[Tensor, Tensor]:
        """Mean ``(D,)`` and covariance ``(D, D)``."""
        return self.mean, self.second - self.mean[:, None] * self.mean[None]


def _take_moments(module: Moments, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Before weights are loaded: buffers of the checkpoint's sizes; releases have none."""
    for name in ("mean", "second", "met"):
        value = state.setdefault(prefix + name, getattr(module, name))
        setattr(module, name, torch.zeros_like(value))


def _take_sizes(module: PeopleModel, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Before weights are loaded: buffers of the checkpoint's sizes; a release may keep 16 bits."""
    for name in ("mean", "factor"):
        if (value := state.get(prefix + name)) is not None:
            setattr(module, name, torch.zeros(value.shape))
