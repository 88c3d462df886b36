"""Error rates of a detector against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemorph.errors import DataError
from facemorph.metrics.attack_detection import (
    bpcer_at_apcer,
    detection_curve,
    detection_table,
    equal_error_rate,
)

scores = st.lists(
    st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 1)), min_size=1, max_size=30
)


@given(scores, scores)
def test_rates_are_what_counting_gives(genuine, attacks):
    curve = detection_curve(genuine, attacks)
    for threshold, apcer, bpcer in zip(curve.thresholds, curve.apcer, curve.bpcer, strict=True):
        assert apcer == pytest.approx(sum(score < threshold for score in attacks) / len(attacks))
        assert bpcer == pytest.approx(sum(score >= threshold for score in genuine) / len(genuine))
    assert (np.diff(curve.apcer) >= 0).all()
    assert (np.diff(curve.bpcer) <= 0).all()
    assert (curve.apcer[0], curve.bpcer[0], curve.apcer[-1], curve.bpcer[-1]) == (0, 1, 1, 0)


@given(scores, scores)
def test_the_equal_error_rate_lies_where_the_curves_cross(genuine, attacks):
    curve = detection_curve(genuine, attacks)
    rate = equal_error_rate(curve)
    below = curve.apcer <= curve.bpcer
    assert curve.apcer[below].max() - 1e-12 <= rate <= curve.apcer[~below].min(initial=1) + 1e-12
    assert curve.bpcer[~below].max(initial=0) - 1e-12 <= rate <= curve.bpcer[below].min() + 1e-12


def test_known_cases():
    assert equal_error_rate(detection_curve([0, 1, 2], [3, 4, 5])) == 0
    assert equal_error_rate(detection_curve([3, 4, 5], [0, 1, 2])) == 1
    generator = np.random.default_rng(0)
    genuine, attacks = generator.normal(0, 1, 200_000), generator.normal(2, 1, 200_000)
    # 1 - Phi(1)
    assert equal_error_rate(detection_curve(genuine, attacks)) == pytest.approx(0.15866, abs=0.002)
    assert bpcer_at_apcer(detection_curve(genuine, attacks), 0.15866) == pytest.approx(
        0.15866, abs=0.003
    )
    assert bpcer_at_apcer(detection_curve(genuine, attacks), 0.05) == pytest.approx(
        0.3612, abs=0.005
    )


def test_the_table_gives_every_kind_and_the_worst():
    table = detection_table(
        [0.1, 0.2, 0.3, 0.4], {"easy": [0.9, 0.8], "hard": [0.25, 0.9]}, threshold=0.35
    )
    assert table["easy"]["d_eer"] == 0
    assert table["easy"]["apcer"] == 0
    assert table["hard"]["apcer"] == 0.5
    assert table["easy"]["bpcer"] == table["hard"]["bpcer"] == 0.25
    assert table["worst"]["apcer"] == 0.5
    assert table["worst"]["count"] == 4
    assert "worst" not in detection_table([0.1], {"one": [0.9]})


@pytest.mark.parametrize(
    ("genuine", "attacks"), [([], [1]), ([1], []), ([np.nan], [1]), ([1], [np.inf])]
)
def test_scores_that_are_none(genuine, attacks):
    with pytest.raises(DataError, match="not finite"):
        detection_curve(genuine, attacks)


@pytest.mark.parametrize("count", [10, 20, 30, 100])
def test_a_rate_that_is_exactly_the_limit_counts(count):
    """``1 - 19 / 20`` is above 0.05 in floating point."""
    attacks = [-9.0, *np.linspace(0, 1, count - 1)]  # one of them looks genuine
    assert bpcer_at_apcer(detection_curve([-8.0, -2.0], attacks), 1 / count) == 0
    assert bpcer_at_apcer(detection_curve([-8.0, -2.0], attacks), 0.9 / count) == 1
    genuine = [*np.linspace(0, 1, count - 1), 9.0]
    assert detection_curve(genuine, [2.0]).bpcer[-2] == 1 / count


def test_wrong_tables():
    with pytest.raises(DataError, match="threshold"):
        detection_table([0.1], {"one": [0.9]}, threshold=float("nan"))
    with pytest.raises(DataError, match="Call it otherwise"):
        detection_table([0.1], {"worst": [0.9], "b": [0.8]})
