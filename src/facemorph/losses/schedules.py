"""Adam with the two learning-rate schedules that the field systems use."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from facemorph.errors import ConfigError

SCHEDULES = ("constant", "cosine")


def adam_with_schedule(parameters: Iterable[nn.Parameter], learning_rate: float, schedule: str,
                       num_steps: int) -> dict[str, Any]:
    """What ``configure_optimizers`` returns.

    Args:
        parameters: What to train.
        learning_rate: Initial step size.
        schedule: ``constant``, or ``cosine`` down to a hundredth after ``num_steps``.
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

    def factor(step: int) -> float:
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(step / max(num_steps, 1), 1.0)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
