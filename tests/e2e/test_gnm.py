"""``download``, ``import``, ``fit`` and ``render`` with GNM Head and FLAME, on look-alikes."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from helpers import model_lookalikes as look
from helpers.gnm_lookalike import write_gnm

from facemorph import cli
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models import flame, gnm
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.storage import pretrained


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_gnm(tmp_path_factory.mktemp("gnm"))[0]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of third-party weights."""
    for module in (pretrained, gnm, flame):
        monkeypatch.setattr(module, "pretrained_folder", lambda: tmp_path / "kept")
    return tmp_path / "kept"


def test_fit_then_render(model, samples, tmp_path, capfd):
    out = tmp_path / "out"
    words = ["fit", str(samples[0]), "--model", str(model), "-o", str(out), "--texture", "64"]
    assert cli.run(words) == 0, capfd.readouterr().err
    found = FaceParameters.load(out / f"{samples[0].stem}.npz")
    assert found.model == "gnm"
    assert found.expression.min() >= 0
    assert found.expression.max() <= 1
    picture = tmp_path / "head.png"
    words = ["render", str(out / f"{samples[0].stem}.npz"), "--model", str(model)]
    assert cli.run([*words, "--set", "jawOpen=.8", "-o", str(picture)]) == 0
    assert cli.run([*words, "-o", str(tmp_path / "shut.png")]) == 0
    assert (load_image(picture) - load_image(tmp_path / "shut.png")).abs().max() > 0.2


def test_render_by_name_after_import(model, kept, tmp_path, capfd):
    assert cli.run(["render", "--model", "gnm", "-o", str(tmp_path / "a.png")]) == 2
    assert "facemorph download gnm" in " ".join(capfd.readouterr().err.split())
    assert cli.run(["import", "gnm", str(model)]) == 0
    assert str(kept / "gnm_head.npz") in capfd.readouterr().out.replace("\n", "")
    words = ["render", "--model", "gnm", "--set", "mouthSmile=1"]
    assert cli.run([*words, "-o", str(tmp_path / "a.obj")]) == 0
    assert (tmp_path / "a.obj").stat().st_size > 10_000
    assert cli.run(["render", "--model", "gnm", "--list"]) == 0
    assert "jawOpen" in capfd.readouterr().out


def test_download(model, kept, tmp_path, capfd, monkeypatch):
    """Any of several sums is taken, what belongs to it comes along, others need a word."""
    table = model.with_name("head_sparse_68.txt").read_bytes()
    contents = {"gnm_head.npz": model.read_bytes(), "head_sparse_68.txt": table}
    asked = []

    def serve(url):
        asked.append(url)
        return iter([contents[url.rsplit("/", 1)[1]]])

    monkeypatch.setattr(pretrained, "https_blocks", serve)
    true = pretrained.registry()
    assert len([true["gnm"].sha256, *true["gnm"].also]) == 3
    digest = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    entries = {
        "gnm": pretrained.Weights(
            **(vars(true["gnm"]) | {"sha256": "0" * 64, "also": ["1" * 64, digest["gnm_head.npz"]]})
        ),
        "gnm_landmarks": pretrained.Weights(
            **(vars(true["gnm_landmarks"]) | {"sha256": digest["head_sparse_68.txt"]})
        ),
    }
    monkeypatch.setattr(pretrained, "registry", lambda path=None: entries)
    assert cli.run(["download", "gnm"]) == 0
    assert digest["gnm_head.npz"] in capfd.readouterr().err
    assert len(asked) == 2
    assert load_model("gnm").num_vertices == 582
    assert cli.run(["download", "gnm"]) == 0  # there already
    assert len(asked) == 2
    other, *_ = write_gnm(tmp_path, seed=5)
    assert cli.run(["download", "gnm", "--file", str(other)]) == 2
    message = "".join(capfd.readouterr().err.split())
    sum_of_other = hashlib.sha256(other.read_bytes()).hexdigest()
    assert sum_of_other in message
    assert "--accept-sha256" in message
    assert (kept / "gnm_head.npz").read_bytes() == contents["gnm_head.npz"]
    words = ["download", "gnm", "--file", str(other), "--accept-sha256"]
    assert cli.run([*words, sum_of_other[:20]]) == 2
    assert "64 hexadecimal digits" in " ".join(capfd.readouterr().err.split())
    assert cli.run([*words, sum_of_other]) == 0
    assert (kept / "gnm_head.npz").read_bytes() == other.read_bytes()


def test_import_flame_2023_open(kept, tmp_path, capfd):
    assert cli.run(["render", "--model", "flame", "-o", str(tmp_path / "a.png")]) == 2
    assert "facemorph import flame" in " ".join(capfd.readouterr().err.split())
    file = tmp_path / "flame2023_Open.pkl"
    arrays = look.flame_arrays()
    look.chumpy_pickle(arrays, file)
    assert cli.run(["import", "flame", str(file)]) == 2  # without its landmarks nothing is kept
    assert not kept.exists()
    look.npy_pickle(look.landmark_arrays(), tmp_path / "marks.npy")
    words = ["import", "flame", str(file), "--landmarks", str(tmp_path / "marks.npy")]
    assert cli.run(words) == 0
    written = kept / "imported_flame" / "flame2023_open.npz"
    assert str(written) in capfd.readouterr().out.replace("\n", "")
    found = load_model("flame")
    assert found.name == "flame2023_open"
    given = flame.load_flame(file, landmarks=tmp_path / "marks.npy")
    coefficients = torch.ones(1, 300), torch.ones(1, 100), torch.full((1, 4, 3), 0.2)
    torch.testing.assert_close(found.vertices(*coefficients), given.vertices(*coefficients))
    assert torch.equal(found.topology.landmarks.vertices, given.topology.landmarks.vertices)
    np.savez(tmp_path / "generic_model.npz", **arrays)
    words[2] = str(tmp_path / "generic_model.npz")
    assert cli.run(words) == 2  # another one is not put beside it
    assert "another FLAME" in " ".join(capfd.readouterr().err.split())
    assert cli.run([*words, "-o", str(tmp_path / "own")]) == 0
    assert load_model(tmp_path / "own" / "flame2020.npz").name == "flame2020"
