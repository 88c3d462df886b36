"""What the answers of a perceptual study say: preferences with intervals, and ratings.

Intervals: Wilson, Probable inference (1927); Clopper and Pearson, The use of confidence or fiducial
limits (1934); both by SciPy.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Literal, TypedDict

from facemorph.errors import DataError

Interval = Literal["wilson", "exact"]
LEVEL = 0.95


class Preference(TypedDict):
    """How often one of two was chosen.

    Attributes:
        chosen: Times.
        answers: In all.
        share: Of the answers.
        low: Lower end of the interval.
        high: Its upper end.
        p_value: Two-sided, of a choice by chance alone.
    """

    chosen: int
    answers: int
    share: float
    low: float
    high: float
    p_value: float


class Ratings(TypedDict):
    """Ratings of a picture, or of many.

    Attributes:
        answers: How many.
        median: Of them.
        mean: Of them.
        mode: The most frequent one, the least of several.
        histogram: How often 1, 2, ... were given.
    """

    answers: int
    median: float
    mean: float
    mode: int
    histogram: list[int]


def preference(chosen: int, answers: int, interval: Interval = "wilson") -> Preference:
    """Share of a choice between two, with its interval of 95 %.

    Args:
        chosen: How often it was chosen.
        answers: Of how many.
        interval: ``wilson``, or ``exact`` for that of Clopper and Pearson.

    Raises:
        DataError: There is no answer, or it was chosen more often than there are.
    """
    if not 0 <= chosen <= answers or not answers:
        raise DataError(
            "no share of these answers", expected="1 or more", found=f"{chosen} of {answers}"
        )
    from scipy.stats import binomtest

    test = binomtest(chosen, answers, 0.5)
    ends = test.proportion_ci(LEVEL, method=interval)
    return {
        "chosen": chosen,
        "answers": answers,
        "share": chosen / answers,
        "low": float(ends.low),
        "high": float(ends.high),
        "p_value": float(test.pvalue),
    }


def ratings(values: Sequence[int], scale: int) -> Ratings:
    """Median, mean, mode and histogram of ratings.

    Args:
        values: From 1 to ``scale``.
        scale: The highest rating.

    Raises:
        DataError: There is none, or one is out of range.
    """
    if not values or not 1 <= min(values) <= max(values) <= scale:
        raise DataError(
            "ratings are missing or out of range",
            expected=f"1 to {scale}",
            found=", ".join(map(str, sorted(set(values)))) or "none",
        )
    counts = Counter(values)
    histogram = [counts[number] for number in range(1, scale + 1)]
    return {
        "answers": len(values),
        "median": float(statistics.median(values)),
        "mean": statistics.fmean(values),
        "mode": histogram.index(max(histogram)) + 1,
        "histogram": histogram,
    }
