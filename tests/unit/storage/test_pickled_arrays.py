"""Arrays out of pickles that are parsed, never run."""

from __future__ import annotations

import contextlib
import os
import pickle

import numpy as np
import pytest
import torch

from facemorph.errors import DataError
from facemorph.storage.pickled_arrays import LARGEST, read_pickle, read_pickled_array


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["<f8", "<f4", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_protocol(tmp_path, protocol, kind, order):
    array = np.asarray(np.random.default_rng(0).normal(size=(68, 2)), dtype=kind, order=order)
    path = tmp_path / "points.dat"
    path.write_bytes(pickle.dumps(array, protocol))
    found = read_pickled_array(path)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, array.astype(np.float64))


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_run(tmp_path, protocol):
    target = tmp_path / "made"
    path = tmp_path / "points.dat"
    path.write_bytes(pickle.dumps([np.zeros(3), Evil(target)], protocol))
    with pytest.raises(DataError, match="not run"):
        read_pickled_array(path)
    path.write_bytes(pickle.dumps(Evil(target), protocol))
    with pytest.raises(DataError, match="not run"):
        read_pickled_array(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "thing",
    [
        [1.0, 2.0],
        {"a": 1},
        "text",
        None,
        np.array(["a"]),
        np.array([1, 2]),
        np.array([object()]),
        np.zeros(3, dtype="c16"),
        (np.zeros(2), np.zeros(2)),
    ],
)
def test_other_things_are_refused(tmp_path, thing):
    path = tmp_path / "points.dat"
    path.write_bytes(pickle.dumps(thing, 4))
    with pytest.raises(DataError, match="no plain array"):
        read_pickled_array(path)


def test_damaged_files(tmp_path):
    path = tmp_path / "points.dat"
    whole = pickle.dumps(np.random.default_rng(0).normal(size=(5, 2)), 4)
    generator = np.random.default_rng(1)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_pickled_array(path)
    for _ in range(200):  # any byte changed: an array or a message, never more
        damaged = bytearray(whole)
        damaged[generator.integers(len(whole))] = generator.integers(256)
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(DataError):
            assert read_pickled_array(path).dtype == np.float64
    path.write_bytes(b"\0" * (LARGEST + 1))
    with pytest.raises(DataError, match="bytes"):
        read_pickled_array(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_pickled_array(tmp_path / "nothing.dat")


def test_tensors_of_old_checkpoints_and_none_that_grow(tmp_path):
    """A torch tensor within a plain pickle, and one that a stride of 0 would blow up to
    terabytes.
    """
    path = tmp_path / "tensor.pkl"
    path.write_bytes(pickle.dumps({"values": torch.arange(6.0).view(2, 3).t()}))
    assert np.array_equal(read_pickle(path)["values"], np.arange(6.0).reshape(2, 3).T)
    path.write_bytes(pickle.dumps({"values": torch.zeros(1).expand(2**20, 2**20)}))
    with pytest.raises(DataError, match="without running"):
        read_pickle(path)
