"""GIF files of a largest size: what is lowered, what is said, and what is impossible."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from facemorph.errors import OutputError
from facemorph.faces.files.video_io import write_frames


def noisy(count=12, side=96):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(3, side, side, generator=generator) for _ in range(count)]


def seconds(path):
    with Image.open(path) as picture:
        total = 0
        for index in range(picture.n_frames):
            picture.seek(index)
            total += picture.info["duration"]
        return total / 1000, picture.size, picture.n_frames


def test_what_fits_stays_as_it_is(tmp_path, caplog):
    plain = write_frames(noisy(), tmp_path / "a.gif", 10.0)[0]
    limited = write_frames(noisy(), tmp_path / "b.gif", 10.0, max_megabytes=5.0)[0]
    assert plain.read_bytes() == limited.read_bytes()
    assert not caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2])
def test_it_is_no_larger_and_as_long_as_before(tmp_path, caplog, share):
    plain = write_frames(noisy(), tmp_path / "a.gif", 10.0)[0]
    limit = share * plain.stat().st_size / 1e6
    small = write_frames(noisy(), tmp_path / "b.gif", 10.0, max_megabytes=limit)[0]
    assert small.stat().st_size <= limit * 1e6
    assert seconds(small)[0] == pytest.approx(seconds(plain)[0], abs=0.05)
    assert "b.gif" in caplog.text
    assert " colours" in caplog.text
    assert ("pixels" in caplog.text) == (seconds(small)[1] != (96, 96))
    assert ("one frame of" in caplog.text) == (seconds(small)[2] < 12)


@pytest.mark.slow
def test_what_cannot_be_is_an_error(tmp_path):
    with pytest.raises(OutputError, match=r"cannot be so small.*Give fewer frames"):
        write_frames(noisy(), tmp_path / "a.gif", 10.0, max_megabytes=0.001)
    assert not list(tmp_path.iterdir())
