"""NumPy's files: read as NumPy reads them, or refused before they take memory."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from facemorph.errors import DataError
from facemorph.storage.array_files import read_npy, read_npz

ARRAYS = {
    "floats": np.linspace(0, 1, 12).reshape(3, 4),
    "big_endian": np.arange(6, dtype=">i4"),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "words": np.array(["a", "öß", "顔"]),
    "one": np.int64(3),
    "none": np.zeros((0, 3)),
}


def npz(path, pack=np.savez, **arrays):
    pack(path, **arrays)
    return path


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_archives_as_numpy_reads_them(tmp_path, pack):
    path = npz(tmp_path / "a.npz", pack, **ARRAYS)
    found = read_npz(path)
    assert found.keys() == ARRAYS.keys()
    for name, values in ARRAYS.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == np.asarray(values).dtype
    assert read_npz(path, only="one").keys() == {"one"}
    assert read_npz(path, only="nothing") == {}


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("name", sorted(set(ARRAYS) - {"none"}))
def test_arrays_as_numpy_reads_them(tmp_path, name, mapped):
    np.save(tmp_path / "a.npy", ARRAYS[name])
    found = read_npy(tmp_path / "a.npy", mapped=mapped)
    np.testing.assert_array_equal(found, ARRAYS[name])
    assert isinstance(found, np.memmap) == mapped


def test_zeros_that_are_packed_tightly(tmp_path):
    path = npz(tmp_path / "a.npz", np.savez_compressed, zeros=np.zeros(10**6))
    assert path.stat().st_size < 10_000
    assert read_npz(path)["zeros"].shape == (10**6,)


def header(shape, kind="<f8"):
    """A file that says more of itself than it holds."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + bytes(80)


DAMAGED = {
    "a shape without end": header((10**12, 10**6)),
    "a shape below 0": header((-5, -2)),
    "too few numbers": header((11,)),
    "too many numbers": header((9,)),
    "objects": header((10,), "|O"),
    "no header": b"\x93NUMPY\x01\x00\xff\xff{",
    "another version": b"\x93NUMPY\x09\x00" + bytes(99),
    "nothing": b"",
    "text": b"0 1 0 1\n",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_arrays_are_refused_before_they_take_memory(tmp_path, name):
    path = tmp_path / "a.npy"
    path.write_bytes(DAMAGED[name])
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("values.npy", DAMAGED[name])
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"a\.npy: no mask .*0 or 1.*Make it again"):
            read_npy(path, "no mask", expected="0 or 1", remedy="Make it again.")
        with pytest.raises(DataError, match=r"a\.npz: .*cannot be read as \.npz.*it is whole"):
            read_npz(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_text_whose_numbers_are_no_letters(tmp_path):
    path = npz(tmp_path / "a.npz", words=np.array(["abc"]))
    content = path.read_bytes()
    assert content.count(b"a\0\0\0b") == 1
    with zipfile.ZipFile(path) as archive:
        member = archive.read("words.npy").replace(b"a\0\0\0b", struct.pack("<I", 2**30) + b"b")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("words.npy", member)
    with pytest.raises(DataError, match="words is no text"):
        read_npz(path)


@pytest.mark.parametrize("kind", ["missing", "pipe", "folder", "cut", "not an archive"])
def test_files_that_are_no_archives(tmp_path, kind):
    path = npz(tmp_path / "a.npz", **ARRAYS)
    content = path.read_bytes()
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(content[:-40] if kind == "cut" else b"PK" + content[2:60])
    with pytest.raises(DataError, match=r"a\.npz"):
        read_npz(path)
    with pytest.raises(DataError, match=r"a\.npz"):
        read_npy(path)
