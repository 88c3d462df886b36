"""Principal components of values of which some are missing; codes of new ones in closed form."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from facemorph.errors import DataError
from facemorph.ops.shapes import check_shape

ROUNDS = 12  # in which what is missing is filled with what the components say
LEAST = 1e-3  # of the first component's deviation: a component below it is noise


class MaskedPCA(nn.Module):
    """A linear model ``x = mean + code @ basis`` with codes of unit variance.

    Args:
        size: Length of the values.
        components: Length of the codes.
    """

    mean: Tensor
    basis: Tensor
    noise: Tensor

    def __init__(self, size: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("basis", torch.zeros(components, size))  # one deviation each
        self.register_buffer("noise", torch.ones(()))  # standard deviation of what is left

    @classmethod
    def of(cls, values: Tensor, seen: Tensor, components: int) -> Self:
        """The model of some values; see `fit`."""
        model = cls(values.shape[1], components)
        model.fit(values, seen)
        return model

    @torch.no_grad()
    def fit(self, values: Tensor, seen: Tensor) -> None:
        """Take mean and components of values, by filling what is missing again and again.

        Args:
            values: ``(N, D)``.
            seen: ``(N, D)`` in [0, 1], how far each is to be believed.

        Raises:
            DataError: There are not more values than components.
        """
        components, size = self.basis.shape
        count = check_shape(values, f"N {size}", "values")["N"]
        if count <= components:
            raise DataError(
                "too few examples for so many components",
                where="components",
                expected=f"more than {components} examples",
                found=count,
                remedy="Take fewer components, or a larger set.",
            )
        values, seen = values.double(), seen.double()
        mass = seen.sum(0)
        mean = (values * seen).sum(0) / mass.clamp(min=1e-6)
        mean = torch.where(mass > 0.5, mean, values.mean(0))
        filled = mean + (values - mean) * seen
        basis = torch.zeros(components, size, dtype=torch.float64)
        for _ in range(ROUNDS):
            mean = filled.mean(0)
            centred = filled - mean
            # The Gram matrix is small where the values are long.
            variance, vectors = torch.linalg.eigh(centred @ centred.T)
            order = variance.argsort(descending=True)[:components]
            length = variance[order].clamp(min=1e-12).sqrt()
            directions = (vectors[:, order] / length).T @ centred
            deviation = length / count**0.5
            basis = directions * deviation[:, None]
            said = mean + (centred @ directions.T) @ directions
            filled = said + (values - said) * seen
        residual = ((values - said) * seen).square().sum() / seen.sum().clamp(min=1)
        usable = deviation > LEAST * deviation[0]
        self.mean.copy_(mean)
        self.basis.copy_(torch.where(usable[:, None], basis, torch.zeros_like(basis)))
        self.noise.copy_(residual.sqrt().clamp(min=1e-4))

    @torch.no_grad()
    def encode(self, values: Tensor, seen: Tensor) -> Tensor:
        """Most probable codes ``(B, K)`` of values ``(B, D)``, of which ``seen`` is known.

        Neighbouring values say the same, so that a tenth of them counts.
        """
        centred = (values - self.mean).double()
        weight, basis = seen.double() * 0.1, self.basis.double()
        prior = torch.eye(len(basis), dtype=torch.float64, device=basis.device)
        prior = prior * self.noise.double() ** 2
        codes = []
        # One system at a time: batched solvers misbehave with several threads (torch 2.13).
        for row, trust in zip(centred, weight, strict=True):
            weighted = basis * trust
            codes.append(torch.linalg.solve(weighted @ basis.T + prior, weighted @ row))
        return torch.stack(codes).to(values.dtype)

    def decode(self, codes: Tensor) -> Tensor:
        """Values ``(B, D)`` of codes ``(B, K)``."""
        return self.mean + codes @ self.basis
