"""Photographs that are given more than once."""

from __future__ import annotations

import pytest
import torch

from facemorph.apps.morphing.chain import chain
from facemorph.apps.morphing.classics import average
from facemorph.faces.face_input import say_repeated


def test_photographs_that_are_given_again(tmp_path, caplog):
    for name, content in (("a.jpg", b"one"), ("b.jpg", b"one"), ("c.jpg", b"two"), ("d.jpg", b"3")):
        (tmp_path / name).write_bytes(content)
    a, b, c, d = (tmp_path / f"{name}.jpg" for name in "abcd")
    say_repeated([a, c, d, torch.zeros(3, 4, 4), tmp_path / "missing.jpg"])
    assert not caplog.records
    say_repeated([a, c, b, str(c), d])
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"{a}: the same photograph as {b}, and counts 2 times.",
        f"{c}: given again, and counts 2 times.",
    ]


@pytest.mark.parametrize("command", [average, chain])
def test_commands_say_it_once(samples, caplog, command):
    options = {"frames": 2} if command is chain else {}
    command([samples[0], samples[1], samples[0]], size=64, **options)
    said = [one.getMessage() for one in caplog.records if "given again" in one.getMessage()]
    assert said == [f"{samples[0]}: given again, and counts 2 times."]
