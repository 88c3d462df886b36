"""Adam with the learning-rate schedules that the field systems use."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from facemorph.errors import ConfigError

SCHEDULES = ("constant", "cosine", "one_cycle")
RISE = 0.05                                      # share of the steps in which ``one_cycle`` rises


def adam_with_schedule(parameters: Iterable[nn.Parameter], learning_rate: float, schedule: str,
                       num_steps: int) -> dict[str, Any]:
    """What ``configure_optimizers`` returns.

    Args:
        parameters: What to train.
        learning_rate: Initial step size.
        schedule: ``constant``; ``cosine`` down to a hundredth after ``num_steps``; or ``one_cycle``: up from a
            hundredth in the first twentieth of the steps, then as ``cosine`` (Smith and Topin 2019).
        num_steps: Steps of the whole run.

    Raises:
        ConfigError: The schedule or the rate is not usable.
    """
    if schedule not in SCHEDULES:
        raise ConfigError(
            "unknown schedule", where="system.schedule", expected=" | ".join(SCHEDULES), found=schedule
        )
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ConfigError(
            "the learning rate must be positive", where="system.learning_rate", found=learning_rate
        )
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    if schedule == "constant":
        return {"optimizer": optimizer}

    rise = RISE * num_steps if schedule == "one_cycle" else 0.0

    def factor(step: int) -> float:
        if step < rise:
            return 0.01 + 0.99 * step / rise
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(num_steps - rise, 1), 1.0)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
