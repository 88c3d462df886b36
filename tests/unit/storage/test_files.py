"""Files that are written whole or not at all."""

from __future__ import annotations

import pytest

from facemorph.errors import OutputError
from facemorph.storage.files import write_whole


@pytest.mark.parametrize("name", ["x" * 300, "missing/face.png"])
def test_a_name_that_cannot_be_written_is_told(tmp_path, name):
    with pytest.raises(OutputError):
        write_whole(tmp_path / name, b"content")
    assert not list(tmp_path.iterdir())


def test_the_longest_name_that_there_can_be_is_written(tmp_path):
    write_whole(tmp_path / ("x" * 250), b"content")
    (only,) = tmp_path.iterdir()
    assert only.read_bytes() == b"content"
