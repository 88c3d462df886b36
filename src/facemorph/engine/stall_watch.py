"""Says when an adversarial training stands still, from the numbers that it logs anyway."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from facemorph import console
from facemorph.errors import ConfigError

SCORES, SPREAD = "train/accuracy", "train/spread"
CHANCE = 0.02  # of accuracy around a half
WON = 0.995  # accuracy from which the discriminator teaches the generator nothing


class StallWatch:
    """Looks at a discriminator's accuracy and at the spread of a generator's pictures.

    Args:
        patience: Batches over which the numbers are averaged, and which pass before a word.
        least_spread: Standard deviation among the generated pictures as a share of that among the
            real ones, below which the generator has collapsed.

    Raises:
        ConfigError: A number is out of range.
    """

    def __init__(self, patience: int = 1000, least_spread: float = 0.25) -> None:
        if patience < 1 or not 0 <= least_spread < 1:
            raise ConfigError(
                "out of range",
                where="system.watch",
                expected="patience 1 or more, least_spread in [0, 1)",
                found=f"{patience}, {least_spread}",
            )
        self.patience, self.least_spread = patience, least_spread
        self.accuracy: float | None = None
        self.spread: float | None = None
        self.seen, self.said = 0, set[str]()

    def look(self, metrics: Mapping[str, Tensor], step: int) -> list[str]:
        """Take the numbers of one batch; returns, and prints, what is new to say."""
        self.seen += 1
        weight = 1 / min(self.seen, self.patience)
        for name, key in (("accuracy", SCORES), ("spread", SPREAD)):
            if key in metrics:
                old, new = getattr(self, name), float(metrics[key])
                setattr(self, name, new if old is None else old + weight * (new - old))
        if self.seen < self.patience:
            return []
        fresh = [word for word in self._complaints() if word not in self.said]
        self.said |= set(fresh)
        for word in fresh:
            console.err.print(f"[yellow]batch {step}: the training stands still:[/yellow] {word}")
        return fresh

    def _complaints(self) -> list[str]:
        found = []
        if self.accuracy is not None and abs(self.accuracy - 0.5) < CHANCE:
            found.append(
                "the discriminator is at chance; raise its learning rate, or lower the gradient "
                "penalty"
            )
        if self.accuracy is not None and self.accuracy > WON:
            found.append(
                "the discriminator is always right; lower its learning rate, or raise the "
                "gradient penalty or the augmentation"
            )
        if self.spread is not None and self.spread < self.least_spread:
            found.append(
                "the generator has collapsed: its pictures hardly differ; lower its learning rate, "
                "or go back to an earlier checkpoint"
            )
        return found


def accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """Share of scores ``(B,)`` of real and generated pictures that are on the right side of 0."""
    right = (real.detach() > 0).float().mean() + (fake.detach() < 0).float().mean()
    return right / 2


def spread_of(fake: Tensor, real: Tensor, side: int = 8) -> Tensor:
    """Spread among generated pictures ``(B, 3, S, S)`` as a share of that among real ones."""
    small = [
        torch.nn.functional.adaptive_avg_pool2d(pictures.detach().float(), side)
        for pictures in (fake, real)
    ]
    if len(fake) < 2:
        return torch.ones((), device=fake.device)
    first, second = (pictures.std(0).mean() for pictures in small)
    return first / second.clamp(min=1e-6)
