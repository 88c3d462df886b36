"""What is seen of arguments before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from facemorph.errors import ConfigError
from facemorph.jobs.options import File, Photograph, checked
from facemorph.jobs.picture_weights import Weights

LONG = "ü" * 128  # 256 bytes


@checked
def work(picture: Photograph, table: File = None, weights: Weights = None, words: str = ""):
    return picture, table, weights, words


@pytest.mark.parametrize(
    "arguments",
    [
        {"picture": LONG},
        {"picture": Path("folder") / LONG},
        {"picture": f"{LONG}/a.png"},
        {"picture": "a.png", "table": LONG},
    ],
)
def test_names_that_no_file_can_have(arguments):
    with pytest.raises(ConfigError, match=r"so long a name .*255 bytes.*, 256 bytes"):
        work(**arguments)


def test_what_is_no_name_may_be_long():
    numbers = ",".join(["0.25"] * 100)
    many = ["a" * 400]
    assert work("a" * 255, "b/" * 200, numbers, LONG) == ("a" * 255, "b/" * 200, numbers, LONG)
    assert work("a.png", weights=many)[2] is many
