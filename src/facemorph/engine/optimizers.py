"""Adam with the learning-rate schedules that the field systems use, and curves of a run's
progress.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from facemorph.errors import ConfigError

SCHEDULES = ("constant", "cosine", "one_cycle")
RISE = 0.05  # share of the steps in which ``one_cycle`` rises
LAST_FACTOR = 0.01  # of the step size where a schedule ends
FALLS_FROM = 0.6  # share of a budget from which `falling` falls


def adam_with_schedule(
    parameters: Iterable[nn.Parameter], learning_rate: float, schedule: str, num_steps: int
) -> dict[str, Any]:
    """What ``configure_optimizers`` returns.

    Args:
        parameters: What to train.
        learning_rate: Initial step size.
        schedule: ``constant``; ``cosine`` down to a hundredth after ``num_steps``; or
            ``one_cycle``: up from a hundredth in the first twentieth of the steps, then as
            ``cosine`` (Smith and Topin 2019).
        num_steps: Steps of the whole run.

    Raises:
        ConfigError: The schedule or the rate is not usable.
    """
    if schedule not in SCHEDULES:
        raise ConfigError(
            "unknown schedule",
            where="system.schedule",
            expected=" | ".join(SCHEDULES),
            found=schedule,
        )
    optimizer = torch.optim.Adam(parameters, lr=_checked(learning_rate))
    if schedule == "constant":
        return {"optimizer": optimizer}

    rise = RISE * num_steps if schedule == "one_cycle" else 0.0

    def factor(step: int) -> float:
        if step < rise:
            return LAST_FACTOR + (1 - LAST_FACTOR) * step / rise
        return cosine_curve(step, ((rise, 1.0), (max(num_steps, rise + 1), LAST_FACTOR)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def adam_by_epochs(
    parameters: Iterable[nn.Parameter], learning_rate: float, decay: float, after: int
) -> dict[str, Any]:
    """What ``configure_optimizers`` returns for a step size that shrinks by ``decay`` every ten
    epochs after ``after``.

    Raises:
        ConfigError: The rate is not usable.
    """
    optimizer = torch.optim.Adam(parameters, lr=_checked(learning_rate))

    def factor(epoch: int) -> float:
        return decay ** (max(0, epoch - after) // 10)

    return {
        "optimizer": optimizer,
        "lr_scheduler": torch.optim.lr_scheduler.LambdaLR(optimizer, factor),
    }


def cosine_curve(progress: float, knots: Sequence[tuple[float, float]]) -> float:
    """A curve through knots (progress, value): half a cosine from each to the next, constant before
    and after them.

    So ImFace++'s weights and step sizes follow a run (Zheng et al., TPAMI 2024, its released
    configs).

    Args:
        progress: Of the run, in [0, 1].
        knots: In order.
    """
    for (start, first), (end, second) in pairwise(knots):
        if start <= progress < end:
            return second + (first - second) * 0.5 * (
                1 + math.cos(math.pi * (progress - start) / (end - start))
            )
    return knots[0][1] if progress < knots[0][0] else knots[-1][1]


def stage_share(progress: float, stages: tuple[float, float]) -> float:
    """How far a run has come from its first stage, which ends at ``stages[0]``, to its last: 0, in
    between, 1.
    """
    return cosine_curve(progress, ((stages[0], 0.0), (stages[1], 1.0)))


def adam_in_stages(
    first: Iterable[nn.Parameter],
    last: Iterable[nn.Parameter],
    learning_rates: tuple[float, float],
    stages: tuple[float, float],
    num_steps: float,
    warm_up: float = 0.0,
) -> dict[str, Any]:
    """What ``configure_optimizers`` returns for parameters that learn in a first and in a last
    stage.

    Factors of the step size, as ImFace++ has them: 1 until ``stages[0]``, then down to 0 at
    ``stages[1]``; and 0, up to 1, and from there down to 0.01 at the end. A warm-up makes each
    smaller where it begins, by a line from 0.01 to 1.

    Args:
        first: Parameters of the first stage.
        last: Parameters of the last stage.
        learning_rates: Step sizes of both where the factor is 1.
        stages: Shares of the run, in order.
        num_steps: Steps of the whole run.
        warm_up: Share of the run that each line takes; from 0, without, to less than 1.

    Raises:
        ConfigError: The rate or the warm-up is not usable, or the run has no end.
    """
    if not math.isfinite(num_steps):
        raise ConfigError(
            "stages are shares of the run, and this one has no end",
            where="trainer.max_epochs",
            expected="a number of epochs or steps",
        )
    if not 0 <= warm_up < 1:
        raise ConfigError(
            "a warm-up is a share of the run",
            where="system.warm_up",
            expected="from 0 to less than 1",
            found=warm_up,
        )
    optimizer = torch.optim.Adam(
        [
            {"params": list(parameters), "lr": _checked(learning_rate)}
            for parameters, learning_rate in zip((first, last), learning_rates, strict=True)
        ]
    )

    def warm(progress: float) -> float:
        return 1.0 if progress >= warm_up else LAST_FACTOR + (1 - LAST_FACTOR) * progress / warm_up

    def falling(step: int) -> float:
        progress = step / max(num_steps, 1)
        return warm(progress) * (1 - stage_share(progress, stages))

    def rising(step: int) -> float:
        progress = step / max(num_steps, 1)
        curve = cosine_curve(progress, ((stages[0], 0.0), (stages[1], 1.0), (1.0, LAST_FACTOR)))
        return warm(max(progress - stages[0], 0)) * curve

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, [falling, rising])
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _checked(learning_rate: float) -> float:
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ConfigError(
            "the learning rate must be positive", where="system.learning_rate", found=learning_rate
        )
    return learning_rate


def falling(done: float) -> float:
    """Factor of the learning rate at a share of the budget: a cosine from `FALLS_FROM` on."""
    if done <= FALLS_FROM:
        return 1.0
    share = min((done - FALLS_FROM) / (1 - FALLS_FROM), 1.0)
    return LAST_FACTOR + (1 - LAST_FACTOR) * (1 + math.cos(math.pi * share)) / 2
