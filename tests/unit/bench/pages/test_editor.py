"""The rows of `facemorph bench editor` where the page cannot be driven."""

from __future__ import annotations

import pytest

from facemorph.bench.pages import browser, editor
from facemorph.errors import MissingExtra


def test_without_a_browser_the_rows_say_so(monkeypatch, tmp_path):
    monkeypatch.setattr(browser, "chromium", lambda: None)
    rows = editor.run()
    assert [one.name for one in rows] == list(editor.BARS)
    assert all(
        one.value is None and ("hromium" in one.unit or "not installed" in one.unit) for one in rows
    )
    with pytest.raises(MissingExtra):
        editor.screenshot(tmp_path / "shot.jpg")
    assert not list(tmp_path.iterdir())


def test_without_playwright_the_rows_say_so(monkeypatch):
    monkeypatch.setattr(browser.importlib.util, "find_spec", lambda name: None)
    assert all("playwright is not installed" in one.unit for one in editor.run())


def test_the_browser_can_be_named(monkeypatch):
    monkeypatch.setenv("FACEMORPH_CHROMIUM", "/opt/browser")
    assert browser.chromium() == "/opt/browser"


def test_inputs(frll, samples):
    assert editor.pair_of(None) == ({"a": samples[0], "b": samples[1]}, "samples, 68 pairs")
    inputs, label = editor.pair_of(frll)
    assert "189" in label
    assert all(path.is_file() for path in inputs.values())
