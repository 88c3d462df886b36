"""Rows of `facemorph bench gdpw`; the figures themselves depend on the machine."""

from __future__ import annotations

import pytest
import torch

from facemorph.bench import gdpw
from facemorph.systems.gdpw.small_generator import SmallGenerator


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(gdpw, "PUBLISHED_WIDTHS", (4, 6, 8))
    monkeypatch.setattr(gdpw, "PAPER", 32)
    monkeypatch.setattr(gdpw, "BARS", {64: (1e9, 1e9), 128: (1e9, None)})
    monkeypatch.setattr(gdpw, "REPEATS", 1)
    monkeypatch.setattr(gdpw, "BATCH", 1)
    monkeypatch.setattr(gdpw, "SmallGenerator", lambda: SmallGenerator((4, 6), 64))


def test_rows(tiny, monkeypatch):
    monkeypatch.setattr(gdpw, "count_rows", list)  # seconds: see the generator's own tests
    rows = {one.name: one for one in gdpw.run()}
    assert len(rows) == 2 * 3 + 1 + 4
    assert all(one.value > 0 for one in rows.values())
    assert rows["frame of the published network, 32 px: differs by"].ok
    assert rows["frame of the small network, 64 px: with the geometry"].ok


def test_both_sides_of_the_paper_get_the_same_input(tiny, monkeypatch):
    real = gdpw.generator_of

    def damaged(*arguments):
        network = real(*arguments)
        with torch.no_grad():
            network.exit.bias += 0.5
        return network

    monkeypatch.setattr(gdpw, "generator_of", damaged)
    rows = {one.name: one for one in gdpw.paper_rows()}
    assert rows["frame of the published network, 32 px: differs by"].ok is False


def test_least_time_takes_the_least():
    calls = []
    found = gdpw.least_time({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 3
    assert all(0 <= value < 1e3 for value in found.values())
