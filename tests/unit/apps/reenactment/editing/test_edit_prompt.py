"""The prompt goes on after every mistake and ends when it is told to."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from helpers.edit_models import bfm_like, flame_like, ict_like

from facemorph.apps.reenactment.editing.edit_prompt import help_text, prompt
from facemorph.apps.reenactment.editing.edit_words import FORMS
from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.errors import OutputError
from facemorph.geometry.models.parameters import FaceParameters


@pytest.fixture
def edits():
    model = ict_like()
    return Edits(model, FaceParameters.neutral(model), 400)


class Script:
    """Lines that somebody types, and the heads that are drawn."""

    def __init__(self, *lines):
        self.lines, self.heads = list(lines), []

    def read(self):
        if not self.lines:
            raise EOFError
        line = self.lines.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line

    def draw(self, head):
        self.heads.append(head)
        return Path("out.png")


def test_lines_are_applied_and_drawn(edits, capsys):
    script = Script("exp jawOpen 0.5", "", "  ", "# a comment", "shape 0 1 shape 1 1", "quit", "x")
    prompt(edits, script.draw, script.read)
    assert len(script.heads) == 3  # the photograph's own first
    assert script.heads[0] is edits.source
    assert script.heads[-1] is edits.current
    assert script.lines == ["x"]
    said = capsys.readouterr()
    assert said.out.splitlines()[1:] == [
        "out.png: as in the photograph",
        "out.png: exp jawOpen 0.5",
        "out.png: exp jawOpen 0.5, shape 0 1, shape 1 1",
    ]
    assert said.err == ""


def test_mistakes_are_said_and_change_nothing(edits, capsys):
    script = Script("undo", "exp jawOpn 1", "shape 0 1 [red]", "shape 0", "exp jawOpen 1", "undo")
    prompt(edits, script.draw, script.read)
    assert len(script.heads) == 3
    assert edits.current is edits.source
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 4
    assert "nothing to undo" in said[0]
    assert "Did you mean jawOpen" in said[1]
    assert said[2].startswith("edit 2: [red]: no statement begins with this word")
    assert "a value is missing" in said[3]


@pytest.mark.parametrize("end", [EOFError(), KeyboardInterrupt(), "quit", " quit "])
def test_it_ends_when_told_to(edits, end):
    script = Script("shape 0 1", end, "shape 0 2")
    prompt(edits, script.draw, script.read)
    assert edits.statements == "shape 0 1"
    assert script.lines == ["shape 0 2"]


def test_a_picture_that_cannot_be_drawn_ends_nothing(edits, capsys):
    script = Script("shape 0 1", "shape 1 1")

    def draw(head):
        path = script.draw(head)
        if len(script.heads) == 2:
            raise OutputError("the disk is full", where=path)
        return path

    prompt(edits, draw, script.read)
    assert len(script.heads) == 3
    assert edits.statements == "shape 0 1\nshape 1 1"
    assert "out.png: the disk is full" in capsys.readouterr().err


def test_ctrl_c_while_a_picture_is_drawn_ends_it(edits):
    script = Script("shape 0 1", "shape 1 1")

    def draw(head):
        if script.draw(head) and len(script.heads) == 2:
            raise KeyboardInterrupt
        return Path("out.png")

    prompt(edits, draw, script.read)
    assert script.lines == ["shape 1 1"]


def test_the_keyboard_is_read_when_nothing_else_is_given(edits, monkeypatch, capsys):
    script = Script()
    bad = io.TextIOWrapper(io.BytesIO(b"shape 0 1\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", bad)
    prompt(edits, script.draw)
    assert edits.statements == "shape 0 1"
    assert "edit> " in capsys.readouterr().out
    bad = io.TextIOWrapper(io.BytesIO(b"\xff\xff\n"), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", bad)
    prompt(edits, script.draw)
    assert "this line is no text" in capsys.readouterr().err


def test_help_lists_the_grammar_and_the_names(edits, capsys):
    script = Script("help")
    prompt(edits, script.draw, script.read)
    said = capsys.readouterr().out
    assert all(form in said for form in FORMS.values())
    assert all(name in said for name in edits.model.expression_names)
    assert "yaw -7 to 7, pitch 0 to 20" in said
    assert len(script.heads) == 1
    flame, bfm = help_text(flame_like()), help_text(bfm_like())
    assert "the joint eye_left" in flame
    assert "-5 to 5" in flame
    assert "this model cannot" in bfm
