"""How the codes of ImFace's training people are spread: Gaussians, and their principal
components.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.errors import ConfigError
from facemorph.systems.imface.system import ImFace


@dataclass(frozen=True)
class PrincipalComponents:
    """Of codes.

    Attributes:
        mean: ``(C,)``.
        directions: ``(K, C)`` of length 1, the number of each that is largest in size is positive.
        deviations: ``(K,)`` standard deviations along them, falling.
        explained: ``(K,)`` shares of the variance.
    """

    mean: Tensor
    directions: Tensor
    deviations: Tensor
    explained: Tensor


def expression_table(system: ImFace) -> Tensor:
    """The expression codes ``(E, P, C)`` of all people, the neutral expression first."""
    return system.expression_codes.weight.detach().view(
        system.num_expressions, system.num_identities, -1
    )


def principal_components(codes: Tensor, count: int) -> PrincipalComponents:
    """The directions in which codes ``(N, C)`` vary most.

    Raises:
        ConfigError: There are fewer than so many.
    """
    most = min(len(codes) - 1, codes.shape[1])
    if not 1 <= count <= most:
        raise ConfigError(
            "so many components do not exist",
            where="components",
            found=count,
            expected=f"1 to {most}" if most > 0 else "a model trained on 2 people or more",
        )
    mean = codes.mean(0)
    _, sizes, directions = torch.linalg.svd((codes - mean).double(), full_matrices=False)
    directions = directions[:count].to(codes.dtype)
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    variance = sizes.square()
    return PrincipalComponents(
        mean,
        directions * largest.sign(),
        (sizes[:count] / (len(codes) - 1) ** 0.5).to(codes.dtype),
        (variance[:count] / variance.sum().clamp(min=1e-30)).to(codes.dtype),
    )


def gaussian_shares(people: int, count: int, spread: float, generator: torch.Generator) -> Tensor:
    """Shares ``(S, N)`` of the deviations of N people that make Gaussian samples of anything the
    people have.

    Deviations ``X`` ``(N, C)`` from the mean, with normal numbers z for each person: ``z X / sqrt(N
    - 1)`` has exactly the people's covariance. With the same shares, several codes of the people
    keep their correlation.

    Args:
        people: N.
        count: S.
        spread: Factor of the deviations.
        generator: Of the samples.
    """
    return torch.randn(count, people, generator=generator) * (spread / max(people - 1, 1) ** 0.5)
