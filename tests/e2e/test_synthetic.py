"""``facemorph data synth`` and ``facemorph data scans`` from the command line."""

from __future__ import annotations

import json

import pytest

from facemorph.cli import run
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.geometry.models.parameters import FaceParameters

TINY = ["--size", "64", "--texture", "64", "--skins", "2", "--workers", "1"]


def test_synth(tmp_path, capsys):
    arguments = [
        "data",
        "synth",
        "-o",
        str(tmp_path / "set"),
        "--count",
        "4",
        "--same-identity",
        "2",
        *TINY,
    ]
    assert run(arguments) == 0
    index = json.loads((tmp_path / "set/index.json").read_text())
    assert index["people"] == ["0000000", "0000000", "0000001", "0000001"]
    for file in index["files"]:
        assert read_synthetic_tag(tmp_path / "set" / file)["synthetic"] is True
    assert read_synthetic_tag(tmp_path / "set/overview.jpg")["synthetic"] is True
    assert len(FaceParameters.load(tmp_path / "set/parameters.npz")) == 4
    assert "4 done; 2 people" in capsys.readouterr().out
    assert run([*arguments, "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert "seed=0" in error
    assert "seed=1" in error
    assert run([*arguments[:-1], "0", "--shard", "5"]) == 2


def test_synth_without_labels(tmp_path):
    assert (
        run(
            [
                "data",
                "synth",
                "-o",
                str(tmp_path),
                "--count",
                "1",
                "--labels",
                "none",
                "--kind",
                "png",
                *TINY,
            ]
        )
        == 0
    )
    assert not (tmp_path / "parameters.npz").exists()
    assert load_image(tmp_path / "images/0000/0000000.png").shape == (3, 64, 64)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["images"]


@pytest.mark.parametrize(
    "extra", [["--labels", "colour"], ["--skin", "nowhere"], ["--kind", "bmp"]]
)
def test_synth_bad_input(tmp_path, capsys, extra):
    assert run(["data", "synth", "-o", str(tmp_path / "set"), "--count", "1", *TINY, *extra]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_scans(tmp_path, capsys):
    arguments = [
        "data",
        "scans",
        "-o",
        str(tmp_path),
        "--identities",
        "2",
        "--expressions",
        "2",
        "--noise",
    ]
    assert run(arguments) == 0
    assert len((tmp_path / "1/2.bnd").read_text().splitlines()) == 68
    assert (tmp_path / "2/1.ply").is_file()
    assert "4 scans" in capsys.readouterr().out
    assert load_image(tmp_path / "overview.jpg").shape[0] == 3
    assert run([*arguments, "--holes"]) == 2
    assert run(["data", "scans", "-o", str(tmp_path / "other"), "--expressions", "40"]) == 2
