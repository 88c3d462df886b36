"""Prepared scans as files: how exact they are, FaceScape's trees, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from facemorph.errors import DataError
from facemorph.geometry.meshes.mesh_files import Mesh
from facemorph.geometry.scans.scan_files import (
    TREE,
    ListedScan,
    index_bytes,
    list_scans,
    read_scan,
    read_tree_arrays,
    scan_bytes,
)
from facemorph.geometry.scans.scan_sheets import PreparedScan


@pytest.fixture
def scan():
    def unit(count):
        return torch.nn.functional.normalize(torch.randn(count, 3), dim=1)

    surface = unit(300) * torch.rand(300, 1)
    return PreparedScan(
        surface,
        unit(300),
        unit(50),
        torch.rand(50) * 4 - 2,
        unit(50),
        torch.randn(68, 3),
        Mesh(torch.randn(5, 3), torch.tensor([[0, 1, 2], [2, 3, 4]])),
    )


def test_a_scan_comes_back_within_half_a_level(scan, tmp_path):
    (tmp_path / "1.npz").write_bytes(scan_bytes(scan))
    back = read_scan(tmp_path / "1.npz")
    for name, scale in (
        ("surface", 1),
        ("normals", 1),
        ("free", 1),
        ("distance", 2),
        ("gradient", 1),
    ):
        error = (getattr(back, name) - getattr(scan, name)).abs().max()
        assert float(error) <= 0.5 * scale / 32767 + 1e-7, name
    assert torch.equal(back.landmarks, scan.landmarks)
    assert torch.equal(back.sheet.vertices, scan.sheet.vertices)
    assert torch.equal(back.sheet.faces, scan.sheet.faces)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_damaged_files_are_refused(tmp_path, content):
    (tmp_path / "1.npz").write_bytes(content)
    with pytest.raises(DataError, match="prepared scan cannot be read"):
        read_scan(tmp_path / "1.npz")


def test_cut_off_and_foreign_archives_are_refused(scan, tmp_path):
    (tmp_path / "1.npz").write_bytes(scan_bytes(scan))
    whole = (tmp_path / "1.npz").read_bytes()
    (tmp_path / "1.npz").write_bytes(whole[: len(whole) // 2])
    np.savez(tmp_path / "2.npz", surface=np.zeros((3, 3)))
    for name in ("1.npz", "2.npz"):
        with pytest.raises(DataError, match="cannot be read"):
            read_scan(tmp_path / name)


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    np.savez(tmp_path / "1.npz", surface=np.array([{}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        read_scan(tmp_path / "1.npz")


def test_an_index_lists_what_was_written(tmp_path):
    scans = [
        ListedScan(tmp_path / "7/smile.npz", "7", "smile", "test"),
        ListedScan(tmp_path / "7/rest.npz", "7", "rest"),
    ]
    (tmp_path / "index.json").write_bytes(index_bytes(tmp_path, scans, "rest"))
    assert list_scans(tmp_path) == (scans, "rest")
    (tmp_path / "index.json").write_text(json.dumps({"unit": "millimetres", "scans": []}))
    with pytest.raises(DataError, match="index of scans"):
        list_scans(tmp_path)


def facescape(folder, identity, expression, surface=40, free=10):
    folder = folder / str(identity)
    folder.mkdir(exist_ok=True)
    shapes = dict(
        zip(TREE, ((surface, 3), (surface, 3), (free, 3), (free,), (free, 3)), strict=True)
    )
    for part, shape in shapes.items():
        np.save(folder / f"{expression}_{part}.npy", np.full(shape, identity + 0.1 * expression))
    np.savetxt(folder / f"{expression}.bnd", np.full((68, 3), identity))


def test_facescape_trees(tmp_path):
    for identity, expression in ((10, 1), (2, 1), (2, 13), (2, 3)):
        facescape(tmp_path, identity, expression)
    listed, neutral = list_scans(tmp_path)
    assert [(scan.identity, scan.expression) for scan in listed] == [
        ("2", "1"),
        ("2", "3"),
        ("2", "13"),
        ("10", "1"),
    ]
    assert neutral == "1"
    arrays = read_tree_arrays(listed[2].path)
    assert isinstance(arrays["surface"], np.memmap)
    assert {name: array.shape for name, array in arrays.items()} == {
        "surface": (40, 3),
        "normals": (40, 3),
        "free": (10, 3),
        "distance": (10,),
        "gradient": (10, 3),
        "landmarks": (68, 3),
    }
    np.save(tmp_path / "2/13_free_sdf.npy", np.zeros(9))
    with pytest.raises(DataError, match="do not fit together"):
        read_tree_arrays(listed[2].path)
    (tmp_path / "2/13_free_sdf.npy").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        read_tree_arrays(listed[2].path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="no prepared scans"):
        list_scans(tmp_path)
