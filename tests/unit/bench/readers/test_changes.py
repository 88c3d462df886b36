"""Random changes of files: the same for the same seed, and of every kind."""

from __future__ import annotations

import io
import zipfile
import zlib
from contextlib import suppress

import numpy as np
from PIL import Image

from facemorph.bench.readers.changes import PNG, changed, seed_of

TEXT = b"x,y\n1.5,2\n" * 30


def png():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (1, 2, 3)).save(stream, "PNG")
    return stream.getvalue()


def test_the_same_seed_makes_the_same_changes():
    for index in range(50):
        assert changed(TEXT, seed_of(0, "a", index)) == changed(TEXT, seed_of(0, "a", index))
    made = {changed(TEXT, seed_of(seed, name, 7)) for seed in range(9) for name in "abc"}
    assert len(made) > 20


def test_files_get_shorter_longer_and_other():
    sizes = [len(changed(TEXT, seed_of(0, "a", index))) for index in range(200)]
    assert min(sizes) < len(TEXT) // 2
    assert max(sizes) > len(TEXT) + 1000
    assert sizes.count(len(TEXT)) > 20


def test_empty_files_can_be_changed():
    assert {type(changed(b"", seed_of(0, "a", index))) for index in range(100)} == {bytes}


def test_some_archives_stay_whole_around_a_changed_member():
    stream = io.BytesIO()
    np.savez(stream, a=np.arange(9.0), b=np.arange(3))
    whole = 0
    for index in range(60):
        content = changed(stream.getvalue(), seed_of(0, "npz", index))
        with (
            suppress(zipfile.BadZipFile, OSError, ValueError),
            zipfile.ZipFile(io.BytesIO(content)) as archive,
        ):
            whole += archive.namelist() == ["a.npy", "b.npy"] and archive.testzip() is None
    assert whole > 20


def test_some_pictures_keep_right_sums():
    right = 0
    for index in range(100):
        content = changed(png(), seed_of(0, "png", index))
        if content.startswith(PNG) and content != png():
            size = int.from_bytes(content[8:12], "big")
            body, end = content[12 : 16 + size], content[16 + size : 20 + size]
            right += end == zlib.crc32(body).to_bytes(4, "big")
    assert right > 20
