"""Intervals by hand and by their definition, and what ratings say."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from scipy.stats import beta

from facemorph.errors import DataError
from facemorph.metrics.perceptual_study import preference, ratings

Z = statistics.NormalDist().inv_cdf(0.975)


@pytest.mark.parametrize(("chosen", "answers"), [(0, 7), (7, 7), (13, 20), (61, 100)])
def test_wilson_is_the_formula(chosen, answers):
    found = preference(chosen, answers)
    share = chosen / answers
    middle = (share + Z * Z / (2 * answers)) / (1 + Z * Z / answers)
    inside = share * (1 - share) / answers + Z * Z / (4 * answers * answers)
    half = Z * math.sqrt(inside) / (1 + Z * Z / answers)
    assert found["share"] == share
    assert found["low"] == pytest.approx(max(0, middle - half), abs=1e-12)
    assert found["high"] == pytest.approx(min(1, middle + half), abs=1e-12)


@pytest.mark.parametrize(("chosen", "answers"), [(0, 7), (7, 7), (13, 20)])
def test_exact_are_quantiles_of_the_beta_distribution(chosen, answers):
    found = preference(chosen, answers, "exact")
    low = beta.ppf(0.025, chosen, answers - chosen + 1) if chosen else 0
    high = beta.ppf(0.975, chosen + 1, answers - chosen) if chosen < answers else 1
    assert found["low"] == pytest.approx(low, abs=1e-9)
    assert found["high"] == pytest.approx(high, abs=1e-9)


def test_chance_by_counting():
    # At least as far from half as 8 of 10: 0, 1, 2, 8, 9, 10.
    expected = 2 * sum(math.comb(10, k) for k in (8, 9, 10)) / 2**10
    assert preference(8, 10)["p_value"] == pytest.approx(expected)
    assert preference(5, 10)["p_value"] == pytest.approx(1)


def test_ratings():
    values = [random.Random(0).randint(1, 5) for _ in range(3)] + [5, 5, 1, 2]
    found = ratings(values, 5)
    assert found["median"] == statistics.median(values)
    assert found["mean"] == pytest.approx(sum(values) / len(values))
    assert found["histogram"] == [values.count(number) for number in range(1, 6)]
    assert found["mode"] == max(range(1, 6), key=values.count)
    assert ratings([1, 1, 3, 3], 5)["mode"] == 1


def test_nothing_to_say():
    with pytest.raises(DataError):
        preference(0, 0)
    with pytest.raises(DataError):
        preference(3, 2)
    for wrong in ([], [0, 3], [6]):
        with pytest.raises(DataError):
            ratings(wrong, 5)
