"""How well a detector tells morphs from bona fide photographs: APCER, BPCER, D-EER, and the curve
between them.

Source: ISO/IEC 30107-3. A score is the higher, the more it looks like an attack; a picture is
called an attack where its score reaches the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemorph.errors import DataError

Scores = NDArray[np.float64]
WORST = "worst"


@dataclass(frozen=True)
class DetectionCurve:
    """Both error rates at every threshold that makes a difference.

    Attributes:
        thresholds: ``(T,)`` rising; the last is infinite: nothing is called an attack.
        apcer: ``(T,)`` share of attacks called bona fide, never falling.
        bpcer: ``(T,)`` share of bona fide pictures called attacks, never rising.
    """

    thresholds: Scores
    apcer: Scores
    bpcer: Scores


def detection_curve(bona_fide: ArrayLike, attacks: ArrayLike) -> DetectionCurve:
    """The curve of two sets of scores.

    Args:
        bona_fide: ``(N,)`` scores of bona fide pictures.
        attacks: ``(M,)`` scores of attacks.

    Raises:
        DataError: A set is empty or has scores that are not finite.
    """
    genuine, morphs = (
        _scores(values, name) for values, name in ((bona_fide, "bona fide"), (attacks, "attack"))
    )
    thresholds = np.append(np.unique(np.concatenate([genuine, morphs])), np.inf)
    apcer = np.searchsorted(morphs, thresholds, side="left") / len(morphs)
    # Counted, not 1 - share: that is 0.05000000000000004 for one of 20, above a limit of 0.05.
    bpcer = (len(genuine) - np.searchsorted(genuine, thresholds, side="left")) / len(genuine)
    return DetectionCurve(thresholds, apcer, bpcer)


def equal_error_rate(curve: DetectionCurve) -> float:
    """D-EER: the rate at which APCER and BPCER are equal, linearly between the two nearest
    thresholds.
    """
    difference = curve.apcer - curve.bpcer
    after = int(np.argmax(difference >= 0))
    if after == 0 or difference[after] == 0:
        return float((curve.apcer[after] + curve.bpcer[after]) / 2)
    share = -difference[after - 1] / (difference[after] - difference[after - 1])
    return float(curve.apcer[after - 1] + share * (curve.apcer[after] - curve.apcer[after - 1]))


def bpcer_at_apcer(curve: DetectionCurve, apcer: float) -> float:
    """Lowest BPCER at a threshold whose APCER is at most ``apcer``: BPCER10 is that at 0.1, BPCER20
    at 0.05.
    """
    return float(curve.bpcer[curve.apcer <= apcer].min(initial=1.0))


def detection_table(
    bona_fide: ArrayLike, attacks: Mapping[str, ArrayLike], threshold: float | None = None
) -> dict[str, dict[str, float]]:
    """Error rates for every kind of attack, and ``worst``: the largest of each, as the standard
    reports APCER.

    Args:
        bona_fide: ``(N,)`` scores.
        attacks: Scores of each kind.
        threshold: Where ``apcer`` and ``bpcer`` are given too; nowhere when None.

    Returns:
        For each kind ``d_eer``, ``bpcer10``, ``bpcer20``, ``bpcer100``, ``count``, and ``apcer``
        and ``bpcer``.

    Raises:
        DataError: Scores are missing or not finite, the threshold is no number, or a kind is called
            ``worst``.
    """
    if threshold is not None and math.isnan(threshold):
        raise DataError("the threshold is no number", where="threshold", found=threshold)
    if WORST in attacks and len(attacks) > 1:
        raise DataError(
            "a kind of attack has the name of the largest errors of all",
            where="attack",
            found=WORST,
            remedy="Call it otherwise.",
        )
    table: dict[str, dict[str, float]] = {}
    for kind, scores in attacks.items():
        curve = detection_curve(bona_fide, scores)
        table[kind] = {
            "count": len(np.atleast_1d(np.asarray(scores))),
            "d_eer": equal_error_rate(curve),
            "bpcer10": bpcer_at_apcer(curve, 0.1),
            "bpcer20": bpcer_at_apcer(curve, 0.05),
            "bpcer100": bpcer_at_apcer(curve, 0.01),
        }
        if threshold is not None:
            place = int(np.searchsorted(curve.thresholds, threshold, side="left"))
            place = min(place, len(curve.thresholds) - 1)
            table[kind] |= {"apcer": float(curve.apcer[place]), "bpcer": float(curve.bpcer[place])}
    if len(table) > 1:
        rows = list(table.values())
        table[WORST] = {key: max(row[key] for row in rows) for key in rows[0]}
        table[WORST]["count"] = sum(row["count"] for row in rows)
    return table


def _scores(values: ArrayLike, name: str) -> Scores:
    scores = np.sort(np.asarray(values, dtype=np.float64).ravel())
    if not len(scores) or not np.isfinite(scores).all():
        raise DataError(
            f"{name} scores are missing or not finite",
            expected="at least one number",
            found=f"{len(scores)} scores",
        )
    return scores
