"""Every classic command on both photographs: its picture, its recipe, and the recipe's
repetition.
"""

from __future__ import annotations

import shlex
import shutil

import pytest
from PIL import Image

from facemorph import cli
from facemorph.faces.files.image_output import read_synthetic_tag
from facemorph.faces.files.landmark_files import read_points
from facemorph.jobs.recipe import read_recipe

pytestmark = pytest.mark.usefixtures("short_reports")

WORDS = {
    "average": ("average a.png b.png --mean plain -o out.png", "out.png"),
    "folder": ("average photographs -o out.webp", "out.webp"),
    "transform": (
        "transform a.png --from a.png --to b.png --shape 0.4 --color 0.5 --texture -1 -o out.png",
        "out.png",
    ),
    "caricature": ("caricature a.png --average photographs --shape 0.3 -o out.jpg", "out.jpg"),
    "symmetrize": ("symmetrize a.png --no-shape -o new/out.png", "new/out.png"),
    "regions": ("regions a.png b.png --time 0 --eyes 1 --mouth 0.5 -o out.png", "out.png"),
    "mask": ("mask a.png --outline oval --background transparent -o out.png", "out.png"),
    "morph": (
        "morph a.png b.png --style splicing --texture-time 0.6 --no-report -o out.png",
        "out.png",
    ),
    "video": (
        "morph a.png b.png --shape-time early --texture-time late --frames 4 --no-report -o "
        "out.mp4",
        "out.mp4",
    ),
}


@pytest.fixture
def here(tmp_path, monkeypatch, samples):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photographs").mkdir()
    for name, path in zip("ab", samples, strict=True):
        shutil.copy(path, tmp_path / f"{name}.png")
        shutil.copy(path, tmp_path / "photographs")
    return tmp_path


@pytest.mark.parametrize("name", WORDS)
def test_commands_and_their_recipes(here, name, capfd):
    words, output = WORDS[name]
    assert cli.run([*shlex.split(words), "--size", "96"]) == 0
    printed = capfd.readouterr()
    assert "next: facemorph" in printed.out
    assert output in printed.out
    path = here / output
    recipe = path.with_name("out.recipe.yaml")
    assert str(recipe.relative_to(here)) in printed.out
    assert read_recipe(recipe)["output"]["file"] == path.name
    if path.suffix != ".mp4":
        assert Image.open(path).size == (96, 96)
        assert read_synthetic_tag(path)["synthetic"] is True
    assert cli.run(["redo", str(recipe)]) == 0
    assert "identical" in capfd.readouterr().out
    again = f"again{path.suffix}"
    assert cli.run(["redo", str(recipe), "-o", again]) == 0
    if path.suffix != ".mp4":
        assert Image.open(again).tobytes() == Image.open(path).tobytes()


def test_align_then_average(here, capfd):
    assert cli.run(["align", "photographs", "-o", "aligned", "--size", "96"]) == 0
    assert cli.run(["redo", "aligned.recipe.yaml", "-o", "again"]) == 0
    assert sorted(path.name for path in (here / "again").iterdir()) == sorted(
        path.name for path in (here / "aligned").iterdir()
    )
    capfd.readouterr()
    assert (
        cli.run(
            shlex.split("average aligned --align none --points aligned --size 96 -o average.png")
        )
        == 0
    )
    assert "average of 2 faces, 68 landmarks" in capfd.readouterr().out
    assert cli.run(["redo", "average.recipe.yaml"]) == 0


def test_delineate_then_morph(here, capfd):
    assert cli.run(["align", "a.png", "-o", "aligned", "--size", "200"]) == 0
    words = "delineate aligned/a.png aligned/a.json b.png -o b.tem --size 128"
    assert cli.run(shlex.split(words)) == 0
    assert "68 landmarks of the scheme ibug68" in capfd.readouterr().out
    assert read_points("b.tem")[0].shape == (68, 2)
    assert cli.run(["redo", "b.recipe.yaml"]) == 0
    words = (
        "morph aligned/a.png b.png --points-a aligned/a.json --points-b b.tem --size 64 "
        "--no-report -o m.png"
    )
    assert cli.run(shlex.split(words)) == 0
