"""Principal components of many people's texels, of which every photograph shows only some.

A robust analysis with missing values: what a person's photograph does not show, or shows otherwise
than any mixture of the components can (glasses, a strand of hair), is filled in from the
components, and the components are found again. A face and its mirror image count alike, so that
each component is either the same on both sides or their difference: the covariance of people and
their mirror images falls into these two halves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

UNLIKE = 0.08  # difference of colours beyond which a texel loses its weight
ROUNDS = 2  # of filling in and finding again


@dataclass(frozen=True)
class TexelStatistics:
    """Components of the texels of P places.

    Attributes:
        mean: ``(3, P)``.
        basis: ``(K, 3, P)`` orthonormal, by falling standard deviation.
        std: ``(K,)`` standard deviation along each.
        odd: ``(K,)`` bool: whether a component's mirror image is its negative, not itself.
        noise: Standard deviation of what the components leave of a texel's colour.
        total: Variance of all texels together, seen or filled in.
    """

    mean: Tensor
    basis: Tensor
    std: Tensor
    odd: Tensor
    noise: float
    total: float

    def first(self, count: int) -> TexelStatistics:
        """The statistics with the first components only."""
        kept = {name: getattr(self, name)[:count] for name in ("basis", "std", "odd")}
        return replace(self, **kept)

    def decode(self, coefficients: Tensor) -> Tensor:
        """Texels ``(N, 3, P)`` of coefficients ``(N, K)`` in standard deviations."""
        flat = (coefficients * self.std) @ self.basis.flatten(1)
        return self.mean + flat.view(-1, *self.mean.shape)

    def encode(self, texels: Tensor, weight: Tensor) -> Tensor:
        """The most probable coefficients ``(N, K)`` of texels ``(N, 3, P)`` with weights ``(N, P)``
        in [0, 1].
        """
        return ridge_coefficients(
            texels, weight, self.mean, self.basis * self.std[:, None, None], self.noise
        )


def ridge_coefficients(
    texels: Tensor, weight: Tensor, mean: Tensor, basis: Tensor, noise: float
) -> Tensor:
    """The most probable coefficients of texels of which only some are seen, in closed form.

    Minimises ``sum w |t - mean - c basis|^2 / noise^2 + |c|^2``, a person at a time.

    Args:
        texels: ``(N, 3, P)``.
        weight: ``(N, P)``.
        mean: ``(3, P)``.
        basis: ``(K, 3, P)``, one standard deviation each.
        noise: Standard deviation of what the basis cannot explain.

    Returns:
        ``(N, K)`` standard deviations.
    """
    flat = basis.flatten(1)
    prior = torch.eye(len(flat), dtype=flat.dtype, device=flat.device) * noise**2
    found = []
    for one, trust in zip(texels, weight, strict=True):
        weighted = flat * trust.repeat(3)
        matrix = weighted @ flat.T + prior
        # One system at a time: batched solvers misbehave with several threads (torch 2.13).
        found.append(torch.linalg.solve(matrix, weighted @ (one - mean).flatten()))
    return torch.stack(found) if found else flat.new_zeros(0, len(flat))


def tone_filled(texels: Tensor, weight: Tensor, mean: Tensor) -> Tensor:
    """Texels ``(N, 3, P)`` with what is not seen from the mean, brought to each person's tone."""
    mass = weight.sum(1).clamp(min=1e-6)[:, None]
    tone = (texels * weight[:, None]).sum(2) / mass
    usual = (mean * weight[:, None]).sum(2) / mass
    own = mean * (tone / usual.clamp(min=1e-3))[..., None]
    return own + (texels - own) * weight[:, None]


def texel_statistics(
    texels: Tensor, weight: Tensor, mirror: Tensor, components: int, rounds: int = ROUNDS
) -> TexelStatistics:
    """Mean and principal components of people's texels.

    Args:
        texels: ``(N, 3, P)`` colours.
        weight: ``(N, P)`` in [0, 1], how far each was seen.
        mirror: ``(P,)`` the place of each texel's mirror image.
        components: Number of components K, less than twice N.
        rounds: Rounds of filling in.
    """
    mass = weight.sum(0)
    mean = (texels * weight[:, None]).sum(0) / mass.clamp(min=1e-6)
    both = mass + mass[mirror]
    mean = (mean * mass + (mean * mass)[:, mirror]) / both.clamp(min=1e-6)
    filled = tone_filled(texels, weight, mean)
    found = _components(filled, mirror, components)
    for _ in range(rounds):
        trust = robust_weights(found, texels, weight)
        drawn = found.decode(found.encode(texels, trust))
        noise = _noise(drawn, texels, trust)
        found = _components(drawn + (texels - drawn) * trust[:, None], mirror, components)
        found = replace(found, noise=noise)
    return found


def robust_weights(found: TexelStatistics, texels: Tensor, weight: Tensor) -> Tensor:
    """Weights ``(N, P)`` that are low too where texels are unlike anything that components say."""
    drawn = found.decode(found.encode(texels, weight))
    error = (texels - drawn).square().mean(1)
    return weight / (1 + error / UNLIKE**2)


def _noise(drawn: Tensor, texels: Tensor, trust: Tensor) -> float:
    """Standard deviation of what the components leave of texels that are trusted."""
    error = ((texels - drawn).square().mean(1) * trust).sum() / trust.sum().clamp(min=1e-6)
    return float(error.sqrt())


def _components(filled: Tensor, mirror: Tensor, components: int) -> TexelStatistics:
    """Components of texels ``(N, 3, P)`` without gaps, together with their mirror images."""
    even = (filled + filled[..., mirror]) / 2
    odd = filled - even
    mean = even.mean(0)
    even = even - mean
    parts = [_half(even.flatten(1), components), _half(odd.flatten(1), components)]
    variance = torch.cat([values for values, _ in parts])
    basis = torch.cat([vectors for _, vectors in parts])
    is_odd = torch.arange(len(variance)) >= len(parts[0][0])
    order = variance.argsort(descending=True)[:components]
    total = float((even.square().sum() + odd.square().sum()) / len(filled))
    spread = variance[order].clamp(min=1e-12).sqrt()
    explained = float(variance[order].sum())
    noise = max(total - explained, 1e-4 * total) / mean.numel()
    return TexelStatistics(
        mean, basis[order].view(-1, *mean.shape), spread, is_odd[order], noise**0.5, total
    )


def _half(rows: Tensor, components: int) -> tuple[Tensor, Tensor]:
    """Variances ``(K,)`` and directions ``(K, D)`` of rows ``(N, D)`` about 0."""
    count = len(rows)
    gram = (rows @ rows.T).double() / count
    values, vectors = torch.linalg.eigh(gram)
    kept = min(components, count - 1, int((values > 1e-9 * values[-1]).sum()))
    values, vectors = values[-kept:].flip(0), vectors[:, -kept:].flip(1)
    scale = (values * count).sqrt()
    directions = (vectors / scale).T.to(rows.dtype) @ rows
    return values.to(rows.dtype), directions
