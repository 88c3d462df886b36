"""The classic commands with everything that can be wrong: exit code 2, the file or key named,
nothing lost.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from facemorph import cli, load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import write_points

OLD = b"an older file"
COMMANDS = {
    "average": ["average", "A", "B"],
    "transform": ["transform", "A", "--from", "A", "--to", "B"],
    "caricature": ["caricature", "A", "--average", "B"],
    "symmetrize": ["symmetrize", "A"],
    "regions": ["regions", "A", "B"],
    "mask": ["mask", "A"],
}


@pytest.fixture
def refused(capfd, monkeypatch, tmp_path, samples):
    """The command must end with 2, name all texts, and leave older files and no part file."""
    monkeypatch.chdir(tmp_path)
    for name, path in zip(("a.png", "b.png"), samples, strict=True):
        shutil.copy(path, tmp_path / name)
    (tmp_path / "out.png").write_bytes(OLD)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def call(words, *says, output="out.png", size="64"):
        for path in tmp_path.rglob("*"):
            if path.is_file():
                before.setdefault(path, path.read_bytes())
        capfd.readouterr()
        code = cli.run([*words, "-o", output, "--size", size])
        errors = re.sub(r"\s+", " ", re.sub(r"[│╭╮╰╯─]", " ", capfd.readouterr().err))
        assert code == 2, errors
        assert "Traceback" not in errors
        for text in says:
            assert text in errors, errors
        assert {path: path.read_bytes() for path in before} == before
        assert not list(tmp_path.rglob("*.part"))
        assert not list(tmp_path.rglob("*.recipe.yaml"))

    return call


def words_of(name, a="a.png", b="b.png"):
    return [{"A": a, "B": b}.get(word, word) for word in COMMANDS[name]]


@pytest.mark.parametrize("name", COMMANDS)
def test_files_that_are_not_there_or_no_pictures(refused, name, tmp_path):
    refused(words_of(name, a="none.png"), "none.png")
    (tmp_path / "text.png").write_text("no picture")
    refused(words_of(name, a="text.png"), "text.png")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_face(refused, name, tmp_path):
    save_image(torch.full((3, 200, 200), 0.5), tmp_path / "wall.png")
    refused(words_of(name, a="wall.png"), "wall.png", "face")


@pytest.mark.parametrize("name", COMMANDS)
def test_outputs_that_cannot_be(refused, name, tmp_path):
    refused(words_of(name), "overwrite", "a.png", output="a.png")
    refused(words_of(name), "unknown kind of output", output="out.mp4")
    refused(words_of(name), "unknown kind of output", output="out")
    (tmp_path / "file").write_text("x")
    refused(words_of(name), "cannot be written", output="file/out.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    refused(words_of(name), "overwrite", output="link.png")


@pytest.mark.parametrize("name", COMMANDS)
def test_sizes_and_options(refused, name):
    refused(words_of(name), "size", size="3")
    refused([*words_of(name), "--align", "left"], "align")
    refused([*words_of(name), "--detector", "eyes"], "detector")
    refused([*words_of(name), "--points", "nowhere"], "no landmark file")


def test_companions_of_an_output_may_be_inputs(refused, tmp_path):
    shutil.copy(tmp_path / "a.png", tmp_path / "x.sheet.png")
    refused(words_of("average", a="x.sheet.png"), "overwrite", output="x.png")


def test_mixed_schemes_and_broken_points(refused, tmp_path):
    (tmp_path / "marks").mkdir()
    write_points(torch.rand(68, 2).double() * 200 + 100, tmp_path / "marks/a.pts", "ibug68")
    write_points(torch.rand(189, 2).double() * 200 + 100, tmp_path / "marks/b.tem", "frll189")
    for name in ("average", "transform", "caricature", "regions"):
        refused([*words_of(name), "--points", "marks"], "marks/a.pts", "marks/b.tem")
    shutil.copytree(tmp_path / "marks", tmp_path / "broken")
    (tmp_path / "broken/b.tem").write_text("189\n1 2\n")
    refused([*words_of("average"), "--points", "broken"], "b.tem")
    code = cli.run(["align", "a.png", "b.png", "-o", "folder", "--points", "marks"])
    assert code == 2
    assert not (tmp_path / "folder").exists()


def test_pictures_of_other_shapes(refused, tmp_path):
    save_image(load_image(tmp_path / "b.png")[:, :, :400], tmp_path / "narrow.png")
    refused(
        [*words_of("average", b="narrow.png"), "--align", "none"], "narrow.png", "align=portrait"
    )


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("average", ["--mean", "mode"], "mean"),
        ("transform", ["--shape", "nan"], "shape"),
        ("transform", ["--color", "99"], "color"),
        ("caricature", ["--texture", "inf"], "texture"),
        ("caricature", ["--shape", "11"], "shape"),
        ("regions", ["--eyes", "1.5"], "eyes"),
        ("regions", ["--time", "-1"], "time"),
        ("regions", ["--outside", "none"], "outside"),
        ("mask", ["--outline", "star"], "outline"),
        ("mask", ["--background", "blue"], "background"),
        ("mask", ["--feather", "nan"], "feather"),
    ],
)
def test_options(refused, name, options, text):
    refused([*words_of(name), *options], text)


def test_empty_folders(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(["average", "empty"], "empty", "no picture")


def test_delineation(refused, tmp_path):
    write_points(torch.rand(9, 2).double() * 100, tmp_path / "t.csv", "points9")
    refused(["delineate", "a.png", "none.tem", "b.png"], "none.tem", output="o.tem")
    refused(["delineate", "a.png", "t.csv", "b.png"], "unknown kind of output", output="o.png")
    refused(["delineate", "a.png", "t.csv", "b.png"], "overwrite", output="t.csv")


def test_redo(capfd, monkeypatch, tmp_path, samples):
    monkeypatch.chdir(tmp_path)
    picture = Path(shutil.copy(samples[0], tmp_path / "a.png"))
    assert cli.run(["symmetrize", "a.png", "-o", "s.png", "--size", "64"]) == 0
    assert cli.run(["redo", "s.recipe.yaml"]) == 0
    assert cli.run(["redo", "s.recipe.yaml", "-o", "s.png"]) == 2
    assert cli.run(["redo", "s.recipe.yaml", "-o", "a.png"]) == 2
    assert cli.run(["redo", "none.yaml"]) == 2
    assert cli.run(["redo", "a.png"]) == 2
    capfd.readouterr()
    picture.write_bytes(picture.read_bytes() + b"x")
    assert cli.run(["redo", "s.recipe.yaml"]) == 2
    errors = capfd.readouterr().err
    assert "a.png" in errors
    assert "changed" in errors
    shutil.copy(samples[0], picture)
    recipe = tmp_path / "s.recipe.yaml"
    recipe.write_text(
        re.sub(r"sha256_of_content: \w+", f"sha256_of_content: '{'0' * 64}'", recipe.read_text())
    )
    assert cli.run(["redo", "s.recipe.yaml"]) == 3
    assert "NOT identical" in capfd.readouterr().out
