"""Weighted sums: terms without weight are left out, negative weights refused by name."""

from __future__ import annotations

import pytest
import torch

from facemorph.errors import ConfigError
from facemorph.losses.weighted_terms import checked_weights, weighted_sum


def test_sum_of_what_has_a_weight():
    terms = {"near": torch.tensor(2.0), "far": torch.tensor(3.0), "off": torch.tensor(torch.nan)}
    found = weighted_sum(terms, {"near": 0.5, "far": 2.0, "off": 0.0})
    assert {name: float(one) for name, one in found.items()} == {"near": 1, "far": 6, "total": 7}


@pytest.mark.parametrize("wrong", [-1.0, float("nan")])
def test_wrong_weights_are_named(wrong):
    with pytest.raises(ConfigError, match=r"loss\.far_weight"):
        checked_weights({"near": 1.0, "far": wrong}, "loss")
    assert checked_weights({"near": 0.0}, "loss") == {"near": 0.0}
