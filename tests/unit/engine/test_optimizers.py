"""Curves of a run's progress and step sizes in stages."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from facemorph.engine.optimizers import (
    adam_in_stages,
    adam_with_schedule,
    cosine_curve,
    stage_share,
)
from facemorph.errors import ConfigError

KNOTS = ((0.2, 3000.0), (0.5, 0.0))


@pytest.mark.parametrize(
    ("progress", "value"),
    [
        (0, 3000),
        (0.2, 3000),
        (0.35, 1500),
        (0.5, 0),
        (0.9, 0),
        (1, 0),
        (0.275, 1500 * (1 + math.cos(math.pi / 4))),
    ],
)
def test_curves_go_through_their_knots_by_half_cosines(progress, value):
    assert cosine_curve(progress, KNOTS) == pytest.approx(value, abs=1e-9)


def test_curves_of_three_knots_and_of_jumps():
    knots = ((0.2, 0.0), (0.5, 1.0), (1.0, 0.01))
    assert [cosine_curve(one, knots) for one in (0, 0.2, 0.5, 1, 2)] == [0, 0, 1, 0.01, 0.01]
    assert cosine_curve(0.75, knots) == pytest.approx(0.505)
    assert [stage_share(one, (0.5, 0.5)) for one in (0.4, 0.5, 0.6)] == [0, 1, 1]
    assert [stage_share(one, (0.0, 1.0)) for one in (0, 0.5, 1)] == [0, 0.5, 1]


def test_the_cosine_schedule_goes_down_to_a_hundredth():
    made = adam_with_schedule([torch.nn.Parameter(torch.zeros(1))], 0.1, "cosine", 100)
    factor = made["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [factor(step) for step in (0, 50, 100, 200)] == pytest.approx([1, 0.505, 0.01, 0.01])


def test_step_sizes_in_stages():
    first, last = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    made = adam_in_stages([first], [last], (0.1, 0.2), (0.2, 0.5), 100)
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert made["lr_scheduler"]["interval"] == "step"
    sizes = []
    for _ in range(101):
        sizes.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert sizes[0] == sizes[20] == [0.1, 0]
    assert sizes[35] == pytest.approx([0.05, 0.1])
    assert sizes[50] == [0, 0.2]
    assert sizes[100] == pytest.approx([0, 0.002])
    assert all(one[0] >= two[0] for one, two in pairwise(sizes))
    with pytest.raises(ConfigError, match="learning rate"):
        adam_in_stages([first], [last], (0.1, 0.0), (0.2, 0.5), 100)
    with pytest.raises(ConfigError, match="no end"):
        adam_in_stages([first], [last], (0.1, 0.1), (0.2, 0.5), math.inf)


@pytest.mark.parametrize(("stages", "at"), [((0.4, 0.6), 40), ((0.0, 0.0), 0)])
def test_each_stage_warms_up_where_it_begins(stages, at):
    first, last = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    made = [
        adam_in_stages([first], [last], (0.1, 0.2), stages, 100, share)["lr_scheduler"]
        for share in (0.0, 0.1)
    ]
    plain, warm = (one["scheduler"].lr_lambdas for one in made)
    for step in range(101):
        line = [0.01 + 0.99 * min(max(step - start, 0) / 10, 1) for start in (0, at)]
        assert [one(step) for one in warm] == pytest.approx(
            [a * b(step) for a, b in zip(line, plain, strict=True)]
        )
    assert warm[1](at + 10) == pytest.approx(plain[1](at + 10))
    assert warm[1](at + 10) > 0


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_impossible_warm_ups(share):
    parameter = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(ConfigError, match="warm-up"):
        adam_in_stages([parameter], [], (0.1, 0.1), (0.2, 0.5), 100, share)
