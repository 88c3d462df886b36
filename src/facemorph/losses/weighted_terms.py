"""Sums of named terms with weights."""

from __future__ import annotations

import torch
from torch import Tensor

from facemorph.errors import ConfigError


def checked_weights(weights: dict[str, float], where: str) -> dict[str, float]:
    """The weights themselves.

    Args:
        weights: By the terms' names.
        where: Section of the config that they are from.

    Raises:
        ConfigError: A weight is negative.
    """
    for name, weight in weights.items():
        if not weight >= 0:
            raise ConfigError(
                "a weight cannot be negative", where=f"{where}.{name}_weight", found=weight
            )
    return weights


def weighted_sum(terms: dict[str, Tensor], weights: dict[str, float]) -> dict[str, Tensor]:
    """Terms times their weights, without those of weight 0, and their sum as ``total``."""
    weighted = {name: weights[name] * value for name, value in terms.items() if weights[name]}
    return {**weighted, "total": torch.stack(list(weighted.values())).sum()}
