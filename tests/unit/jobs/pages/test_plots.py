"""Plots: round ticks, points where they belong, and no text that a browser would run."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest

from facemorph.jobs.pages.plots import HEIGHT, LEFT, TOP, WIDTH, ticks, write_curves, write_shares

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(("low", "high"), [(0, 1.5), (0, 1), (0, 0.0123), (3, 4711), (-2, 2)])
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 7
    assert low - 1e-9 <= found[0] <= found[-1] <= high + 1e-9
    step = found[1] - found[0]
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - one) for one in (1, 2, 2.5, 5, 10)) < 1e-6
    assert ticks(2, 2) == [2]


def test_curves(tmp_path):
    path = tmp_path / "a.svg"
    write_curves(
        {"<b>&": [(0, 1), (2, 3)]}, path, title="t", across="x", upward="y", levels={"floor": 1.5}
    )
    root = ElementTree.parse(path).getroot()
    line = root.find(f"{SVG}polyline").get("points").split()
    points = [tuple(map(float, one.split(","))) for one in line]
    assert points[0][0] == LEFT
    assert points[1][0] == LEFT + WIDTH
    bottom = TOP + HEIGHT
    assert (bottom - points[0][1]) * 3 == pytest.approx(bottom - points[1][1], abs=0.3)
    assert "<b>&" in [one.text for one in root.iter(f"{SVG}text")]


def test_shares(tmp_path):
    path = write_shares(
        {"A": (0.6, 0.4, 0.8)}, tmp_path / "b.svg", title="t", across="x", chance=0.5
    )
    root = ElementTree.parse(path).getroot()
    bars = root.findall(f"{SVG}rect")[1:]
    assert [float(bar.get("width")) for bar in bars] == [pytest.approx(0.6 * WIDTH)]
    assert "60.0 %" in [one.text for one in root.iter(f"{SVG}text")]
