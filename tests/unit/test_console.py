"""What the user sees is what was written."""

from __future__ import annotations

import pytest

from facemorph import console


@pytest.mark.parametrize("name", ["out", "err"])
def test_names_with_colons_are_no_pictures(name, capsys):
    getattr(console, name).print("webcam:zero: a:smile:b.mp4")
    shown = capsys.readouterr()
    assert "webcam:zero: a:smile:b.mp4" in shown.out + shown.err
