"""Model files that are wrong, cut off, of another version, or would run something."""

from __future__ import annotations

import os
import pickle
import sys

import numpy as np
import pytest
import torch
from helpers import model_lookalikes as look

from facemorph.errors import ConfigError, DataError, FacemorphError, GeometryError, MissingExtra
from facemorph.geometry.models import ict
from facemorph.geometry.models.flame import load_flame
from facemorph.geometry.models.model_files import load_model
from facemorph.storage.pickled_arrays import read_pickle


@pytest.fixture(scope="module")
def arrays():
    return look.flame_arrays()


@pytest.fixture
def folder(tmp_path):
    np.savez(tmp_path / "landmark_embedding.npz", **look.landmark_arrays())
    return tmp_path


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_with_foreign_names_is_not_run(folder, protocol):
    path = folder / "generic_model.pkl"
    path.write_bytes(pickle.dumps({"v_template": Evil(folder / "made")}, protocol))
    with pytest.raises(DataError, match="not run") as caught:
        load_model(path)
    assert "mkdir" in str(caught.value)
    assert not (folder / "made").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"shapedirs": None}, "shapedirs"),
        ({"v_template": np.zeros((6890, 3))}, r"\(5023, 3\)"),  # SMPL
        ({"shapedirs": np.zeros((5023, 3, 10))}, "400"),
        ({"weights": np.full((5023, 5), np.nan)}, "not finite"),
        ({"f": np.full((9976, 3), 5023)}, "names something"),
        ({"posedirs": "text"}, "posedirs"),
    ],
)
def test_other_content(folder, arrays, change, text):
    path = folder / "generic_model.npz"
    np.savez(
        path, **{name: value for name, value in (arrays | change).items() if value is not None}
    )
    with pytest.raises(GeometryError, match=text) as caught:
        load_flame(path)
    assert "generic_model.npz" in str(caught.value)


def test_flame_without_its_landmarks(tmp_path, arrays):
    np.savez(tmp_path / "generic_model.npz", **arrays)
    with pytest.raises(MissingExtra, match="landmark_embedding"):
        load_flame(tmp_path / "generic_model.npz")
    (tmp_path / "table.txt").write_text(" ".join(map(str, range(68))))
    model = load_flame(tmp_path / "generic_model.npz", landmarks=tmp_path / "table.txt")
    torch.testing.assert_close(model.landmarks(model.mean[None])[0], model.mean[:68])
    for content in ("1 2 3", "one two", " ".join(["9999"] * 68)):
        (tmp_path / "table.txt").write_text(content)
        with pytest.raises(FacemorphError, match=r"table\.txt"):
            load_flame(tmp_path / "generic_model.npz", landmarks=tmp_path / "table.txt")


def test_flame_with_texture_and_masks(folder, arrays):
    generator = np.random.default_rng(0)
    np.savez(folder / "flame2023.npz", **arrays)
    uv = generator.uniform(size=(5118, 2))
    corners = generator.integers(0, 5118, (9976, 3))
    mean = generator.uniform(0, 255, (32, 32, 3))
    np.savez(
        folder / "FLAME_texture.npz",
        mean=mean,
        vt=uv,
        ft=corners,
        tex_dir=generator.normal(size=(32, 32, 3, 7)),
    )
    masks = {"face": np.arange(50), "left_ear": np.arange(60, 70), "right_ear": np.arange(70, 80)}
    (folder / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, 2))
    model = load_model(folder / "flame2023.npz")
    assert model.name == "flame2023"
    assert model.topology.masks["face"].sum() == 50
    assert model.topology.masks["ears"].sum() == 20
    np.testing.assert_allclose(model.topology.uv.numpy(), uv * [1, -1] + [0, 1], atol=1e-6)
    vertex = int(arrays["f"][-1, 2])  # the last corner that is written
    place = uv[corners[-1, 2]] * [1, -1] + [0, 1]
    y, x = np.clip(place[1] * 32 - 0.5, 0, 31), np.clip(place[0] * 32 - 0.5, 0, 31)
    from scipy.ndimage import map_coordinates

    expected = [
        map_coordinates(mean[..., channel], [[y], [x]], order=1)[0] / 255 for channel in (2, 1, 0)
    ]
    np.testing.assert_allclose(
        model.albedo(torch.zeros(1, 7))[0, vertex].numpy(), expected, atol=1e-5
    )


def test_deca_landmarks_hold_torch_tensors(folder, arrays):
    table = look.landmark_arrays()
    mixed = {
        name: torch.from_numpy(value) if name.startswith("dynamic") else value
        for name, value in table.items()
    }
    look.npy_pickle(mixed, folder / "landmark_embedding.npy")
    found = read_pickle(folder / "landmark_embedding.npy")
    for name, value in table.items():
        np.testing.assert_array_equal(found[name], value)


def test_truncated_files(folder, arrays):
    small = {name: value[:40] if value.ndim else value for name, value in arrays.items()}
    look.chumpy_pickle(small, folder / "a.pkl")
    np.savez(folder / "a.npz", **small)
    look.write_bfm(folder / "a.h5", vertices=300, modes=(4, 3, 2))
    for name in ("a.pkl", "a.npz", "a.h5"):
        content = (folder / name).read_bytes()
        for share in (0, 0.3, 0.95):
            (folder / name).write_bytes(content[: int(len(content) * share)])
            with pytest.raises((DataError, GeometryError), match=name[:3]):
                load_model(folder / name)


def h5(path, change=None):
    import h5py

    look.write_bfm(path, vertices=400, modes=(4, 3, 2))
    with h5py.File(path, "a") as file:
        for key, value in (change or {}).items():
            del file[key]
            if value is not None:
                file[key] = value


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"expression": None}, "expression/model/mean"),  # the model of 2009
        ({"shape/model/pcaVariance": None}, "pcaVariance"),
        ({"shape/model/pcaBasis": np.zeros((1200, 9))}, "pcaVariance"),
        ({"shape/model/mean": np.full(1200, np.nan)}, "not finite"),
        ({"shape/model/mean": np.zeros(1199)}, "3 numbers"),
        ({"shape/representer/points": np.zeros((3, 399))}, "points"),
        ({"shape/representer/cells": np.full((3, 5), 400)}, "names something"),
        ({"expression/model/pcaVariance": -np.ones(3)}, "negative"),
        ({"shape": None, "expression": None, "color": None}, "missing"),
    ],
)
def test_other_bfm(tmp_path, change, text):
    h5(tmp_path / "model2019_face12.h5", change)
    with pytest.raises(GeometryError, match=text):
        load_model(tmp_path / "model2019_face12.h5")


def test_bfm_beside_it(tmp_path):
    path = tmp_path / "model2019_face12.h5"
    h5(path)
    model = load_model(path)
    assert model.name == "bfm2019"
    height = model.mean[model.topology.faces.flatten(), 1]
    v = model.topology.uv[model.topology.faces_uv.flatten(), 1]
    assert torch.corrcoef(torch.stack([height, v]))[0, 1] < -0.9  # v down
    (tmp_path / "face12.json").write_text("{}")
    with pytest.raises(DataError, match="textureMapping"):
        load_model(path)
    (tmp_path / "face12.json").unlink()
    plain = load_model(path)
    assert plain.topology.uv.min() >= 0
    assert plain.topology.uv.max() <= 1
    (tmp_path / "landmarks68.txt").unlink()
    with pytest.raises(MissingExtra, match="landmarks68"):
        load_model(path)


def test_h5_without_its_package(tmp_path, monkeypatch):
    h5(tmp_path / "a.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra, match="h5py"):
        load_model(tmp_path / "a.h5")


def test_names(tmp_path, monkeypatch):
    assert load_model().name == load_model("makehuman").name == "makehuman"
    with pytest.raises(ConfigError, match="makehuman"):
        load_model("makehumn")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ConfigError, match=r"\.txt"):
        load_model(tmp_path / "a.txt")
    monkeypatch.setattr(ict, "pretrained_folder", lambda: tmp_path)
    with pytest.raises(MissingExtra, match="facemorph import ict"):
        load_model("ict")


@pytest.mark.parametrize(
    "values",
    [
        {"a": [1, 2.5, "text", None, True], "b": (1, {"c": b"bytes"})},
        [np.arange(3), np.float32(2)],
        {"x": np.arange(6, dtype=np.uint8).reshape(2, 3), "y": np.array([True])},
    ],
)
@pytest.mark.parametrize("protocol", range(6))
def test_plain_values(tmp_path, values, protocol):
    path = tmp_path / "values.pkl"
    path.write_bytes(pickle.dumps(values, protocol))
    found = read_pickle(path)
    assert repr(found).replace(" ", "") == repr(values).replace(" ", "")


def test_values_that_refer_to_themselves(tmp_path):
    path = tmp_path / "values.pkl"
    circle = []
    circle.append(circle)
    path.write_bytes(pickle.dumps(circle))
    with pytest.raises(DataError, match="not run"):
        read_pickle(path)
    bomb = []
    for _ in range(60):
        bomb = [bomb, bomb]  # 2**60 lists if spelled out
    path.write_bytes(pickle.dumps(bomb))
    assert len(read_pickle(path)) == 2


def test_sparse_matrices_and_their_faults(tmp_path):
    from scipy import sparse

    path = tmp_path / "sparse.pkl"
    dense = np.where(np.random.default_rng(0).uniform(size=(5, 40)) < 0.1, 1.5, 0)
    for kind in (sparse.csc_matrix, sparse.csr_matrix, sparse.csr_array):
        path.write_bytes(pickle.dumps(kind(dense), 2))
        np.testing.assert_array_equal(read_pickle(path), dense)
    broken = sparse.csr_matrix(dense)
    broken.indices[0] = 4000
    path.write_bytes(pickle.dumps(broken, 2))
    with pytest.raises(DataError, match="not run"):
        read_pickle(path)
