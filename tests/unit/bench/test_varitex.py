"""The benchmark of VariTex compares the same thing: its losses are those of the plain twin."""

from __future__ import annotations

import pytest

from facemorph.bench.varitex import BARS, Sizes, step_rows, steps

TINY = Sizes(
    code=5,
    channels=4,
    encoder=(4, 6, 8),
    texture=(8, 7, 6, 6),
    additive=(7, 6, 5, 5),
    width=4,
    levels=3,
    judge=4,
)


def test_both_sides_have_the_same_losses():
    functions = steps(TINY, 32)
    plain, parity = functions["plain"](), functions["parity"]()
    assert parity == pytest.approx(plain, rel=1e-4)
    assert min(plain) > 0.1
    assert functions["one pass, half stem"]() != pytest.approx(plain, rel=1e-4)


def test_rows_have_their_bars():
    rows = step_rows(TINY, 32)
    text = [str(one) for one in rows]
    assert sum("against the plain twin" in one for one in text) == len(BARS)
    assert sum("losses differ" in one for one in text) == 1
