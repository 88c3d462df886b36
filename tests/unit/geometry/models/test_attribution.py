"""Files made with a head model say whose it is, wherever their kind has a place for it."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import torch
from helpers import model_lookalikes as look
from PIL import Image

from facemorph.apps.heads.fit import fit
from facemorph.apps.heads.render import render
from facemorph.errors import FacemorphError
from facemorph.geometry.meshes.mesh_files import Mesh, glb_bytes, obj_files, ply_bytes, read_mesh
from facemorph.geometry.models.attribution import mesh_of, notice_of, picture_texts
from facemorph.geometry.models.flame import import_flame, load_flame
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.model_files import NAMES
from facemorph.geometry.models.parameters import FaceParameters

OPEN = (
    "Made with FLAME 2023 Open by T. Li, T. Bolkart, M. J. Black, H. Li and J. Romero (Max Planck "
    "Institute for Intelligent Systems), https://flame.is.tue.mpg.de, CC BY 4.0"
)


def asset_of(content):
    """The ``asset`` of a GLB, read without a library."""
    length = struct.unpack_from("<I", content, 12)[0]
    return json.loads(content[20 : 20 + length])["asset"]


@pytest.fixture(scope="module")
def flame(tmp_path_factory):
    """A look-alike of FLAME 2023 Open by its published name."""
    folder = tmp_path_factory.mktemp("flame")
    look.chumpy_pickle(look.flame_arrays(), folder / "flame2023_Open.pkl")
    look.npy_pickle(look.landmark_arrays(), folder / "landmark_embedding.npy")
    return folder / "flame2023_Open.pkl"


def test_every_model_of_ours_has_a_line_and_unknown_ones_have_none():
    for name in [*NAMES, "flame2020", "flame2023", "flame2023_open", "bfm2017", "bfm2019"]:
        if name == "flame":
            continue  # the imported one is named by its year
        line = notice_of(name)
        assert line.isascii()
        assert "\n" not in line
        assert "http" in line
        assert line.endswith("; shaped by facemorph")  # CC BY asks for a word on changes
    assert notice_of("flame2023_open").startswith(OPEN)
    for name in ("flame2020", "flame2023"):
        assert "CC BY" not in notice_of(name)
    assert notice_of("somebody's") == ""
    assert picture_texts("somebody's") == {}


def test_meshes_of_flame_carry_it_and_are_read_as_before(flame, tmp_path):
    model = load_flame(flame)
    mesh = mesh_of(model, model.mean)
    line = mesh.notice
    assert line.startswith(OPEN)
    obj = obj_files(mesh, "a")["a.obj"]
    assert obj.decode().splitlines()[1] == f"# {line}"
    assert asset_of(glb_bytes(mesh))["copyright"] == line
    header = ply_bytes(mesh).split(b"end_header\n")[0].decode()
    assert f"comment {line}" in header.splitlines()
    plain = Mesh(mesh.vertices, mesh.faces)
    for name, content, other in (
        ("a.obj", obj, obj_files(plain, "b")["b.obj"]),
        ("a.ply", ply_bytes(mesh), ply_bytes(plain)),
    ):
        assert b"Made with" not in other
        (tmp_path / name).write_bytes(content)
        (tmp_path / f"plain_{name}").write_bytes(other)
        read, expected = read_mesh(tmp_path / name), read_mesh(tmp_path / f"plain_{name}")
        assert torch.equal(read.vertices, expected.vertices)
        assert torch.equal(read.faces, expected.faces)
    assert "copyright" not in asset_of(glb_bytes(plain))


def test_an_imported_flame_keeps_its_licence(flame, tmp_path):
    kept = import_flame(flame, output=tmp_path / "kept")
    folder = kept if kept.is_dir() else kept.parent
    (file,) = [one for one in folder.iterdir() if "flame" in one.name]
    model = load_flame(file)
    assert notice_of(model.name).startswith(OPEN)
    path = tmp_path / "head.npz"
    FaceParameters.neutral(model).save(path)
    with np.load(path) as arrays:  # no pickle
        assert str(arrays["notice"]) == notice_of(model.name)
    assert FaceParameters.load(path).model == "flame2023_open"


def test_parameters_without_a_line_are_read(tmp_path):
    """Files from before there was one."""
    path = tmp_path / "old.npz"
    FaceParameters.neutral(load_makehuman()).save(path)
    with np.load(path) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "notice"}
    np.savez(path, **kept)
    assert FaceParameters.load(path).model == "makehuman"


@pytest.mark.slow
def test_render_and_fit_write_it(samples, tmp_path):
    line = notice_of("makehuman")
    assert "CC0" in line
    render(None, tmp_path / "head.png", size=48)
    with Image.open(tmp_path / "head.png") as picture:
        assert picture.text["Copyright"] == line
    render(None, tmp_path / "head.glb")
    assert asset_of((tmp_path / "head.glb").read_bytes())["copyright"] == line
    render(None, tmp_path / "head.obj")
    assert line in (tmp_path / "head.obj").read_text()
    fit([samples[0]], tmp_path / "fitted", obj=True, texture=64)
    stem = samples[0].stem
    assert asset_of((tmp_path / f"fitted/{stem}.glb").read_bytes())["copyright"] == line
    assert line in (tmp_path / f"fitted/{stem}.obj").read_text()
    with Image.open(tmp_path / f"fitted/{stem}.texture.png") as picture:
        assert picture.text["Copyright"] == line
    with np.load(tmp_path / f"fitted/{stem}.npz") as arrays:
        assert str(arrays["notice"]) == line


def test_a_line_that_is_no_text_harms_nothing(tmp_path):
    path = tmp_path / "odd.npz"
    FaceParameters.neutral(load_makehuman()).save(path)
    with np.load(path) as arrays:
        kept = dict(arrays)
    np.savez(path, **{**kept, "notice": np.zeros(3)})
    assert FaceParameters.load(path).model == "makehuman"
    np.savez(path, **{**kept, "model": np.zeros(3)})
    with pytest.raises(FacemorphError):
        FaceParameters.load(path)
