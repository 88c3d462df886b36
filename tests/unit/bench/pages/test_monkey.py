"""The rows of `facemorph bench monkey`, its odd files, and how it reads what a server has said."""

from __future__ import annotations

import pytest

from facemorph import cli
from facemorph.bench.pages import browser, monkey
from facemorph.bench.pages.odd_files import huge_header, odd_files
from facemorph.errors import ImageError
from facemorph.faces.files.image_io import load_image


def test_without_a_browser_the_rows_say_so(monkeypatch):
    monkeypatch.setattr(browser, "chromium", lambda: None)
    rows = monkey.run(actions=3)
    assert [one.name for one in rows] == list(monkey.BARS)
    assert all(one.value is None for one in rows)


def test_rows_are_what_was_found(monkeypatch):
    memory = [0.5, 0.8, 0.9, 0.9, 1.0, 1.2, 1.3, 1.34]
    found = monkey.Findings(7, ["TypeError"], [], 0, [], memory)
    monkeypatch.setattr(monkey, "why_not", lambda: None)
    monkeypatch.setattr(monkey, "let_loose", lambda actions: found)
    rows = {one.name: one for one in monkey.run(actions=7)}
    assert list(rows) == list(monkey.BARS)
    assert rows["errors of the page"].ok is False
    assert rows["tracebacks of the server"].ok is True
    assert rows["largest memory of the server"].value == 1.34
    assert rows["mean memory over the third quarter"].value == pytest.approx(1.1)
    assert rows["growth over the last half"].value == pytest.approx(40)
    assert rows["growth over the last half"].ok is False


def test_each_fault_of_a_server_is_counted_once():
    lines = [
        "studio: http://127.0.0.1:1/x/\n",
        "The studio could not answer a request.\n",
        "Traceback (most recent call last):\n",
        '  File "x.py", line 1\n',
        "ValueError: x\n",
        *(["a word\n"] * 10),
        "ERROR:    Exception in ASGI application\n",
        "Traceback (most recent call last):\n",
        "KeyError: y\n",
    ]
    first, second = monkey.tracebacks_in(lines, 5)
    assert "ValueError" in first
    assert "KeyError" in second
    assert monkey.tracebacks_in(["all is well\n"]) == []


def test_odd_files_are_odd(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "case.jpg").write_bytes(b"x")
    files = odd_files(tmp_path / "more")
    assert ("case.jpg", b"x") in files
    assert len(odd_files(tmp_path / "nowhere")) == len(files) - 1
    readable = 0
    for _, content in files:
        path = tmp_path / "file.png"
        path.write_bytes(content)
        try:
            load_image(path)
            readable += 1
        except ImageError:
            pass
    assert 8 <= readable < len(files) - 8
    (tmp_path / "huge.png").write_bytes(huge_header())
    with pytest.raises(ImageError, match="too large"):
        load_image(tmp_path / "huge.png")


def test_actions_are_refused_where_there_are_none():
    assert cli.run(["bench", "training", "--actions", "20"]) == 2
    assert cli.run(["bench", "monkey", "--pairs", "2"]) == 2
    assert cli.run(["bench", "monkey", "--actions", "0"]) == 2
