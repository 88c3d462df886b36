"""Recipes: what they hold, that they repeat, and what they may never do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from facemorph import load_image, morph
from facemorph.apps.morphing.classics import average, mask, symmetrize
from facemorph.errors import ChecksumError, ConfigError, DataError, OutputError
from facemorph.jobs import recipe as module
from facemorph.jobs.recipe import content_sha256, read_recipe, recipe_path
from facemorph.jobs.redo import redo
from facemorph.storage.files import sha256_of

pytestmark = pytest.mark.usefixtures("short_reports")

SIZE = 64


@pytest.fixture(scope="module")
def averaged(samples, tmp_path_factory):
    """Copies of both photographs and their average beside them; tests copy the folder."""
    folder = tmp_path_factory.mktemp("averaged")
    files = [Path(shutil.copy(path, folder)) for path in samples]
    average(files, folder / "mean.png", size=SIZE)
    return folder


@pytest.fixture
def made(averaged, tmp_path):
    """A copy of both photographs and their average."""
    return Path(shutil.copytree(averaged, tmp_path, dirs_exist_ok=True))


def edit(folder, **changes):
    path = folder / "mean.recipe.yaml"
    content = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(content.get(key), dict):
            content[key] |= value
        else:
            content[key] = value
    path.write_text(yaml.safe_dump(content))
    return path


def test_what_a_recipe_holds(made, samples):
    recipe = read_recipe(made / "mean.recipe.yaml")
    names = [path.name for path in samples]
    assert recipe["function"] == "average"
    assert recipe["arguments"] == {
        "pictures": names,
        "mean": "procrustes",
        "weights": None,
        "size": SIZE,
        "points": None,
        "detector": "embedded",
        "min_score": None,
        "align": "portrait",
        "skip_failed": False,
        "frontal": False,
    }
    assert recipe["inputs"] == [{"file": path.name, "sha256": sha256_of(path)} for path in samples]
    assert recipe["output"]["file"] == "mean.png"
    assert recipe["versions"]["torch"] == torch.__version__
    assert {"facemorph", "numpy", "python", "machine", "threads"} < set(recipe["versions"])


def test_redo_repeats(made, tmp_path_factory):
    assert redo(made / "mean.recipe.yaml").identical
    assert redo(made / "mean.recipe.yaml").files == []
    again = redo(made / "mean.recipe.yaml", made / "again.png")
    assert again.identical
    assert again.files == [made / "again.png", made / "again.recipe.yaml"]
    assert np.array_equal(
        np.asarray(Image.open(made / "again.png")), np.asarray(Image.open(made / "mean.png"))
    )
    assert redo(made / "again.recipe.yaml").identical
    moved = tmp_path_factory.mktemp("moved") / "all"
    shutil.move(made, moved)
    assert redo(moved / "mean.recipe.yaml").identical
    moved.rename(made)


def test_redo_says_where_it_differs(made, caplog):
    path = edit(made, output={"sha256_of_content": "0" * 64}, versions={"torch": "0.1"})
    result = redo(path)
    assert not result.identical
    assert result.differences == [f"torch 0.1, now {torch.__version__}"]
    assert "torch 0.1" in caplog.text


def test_changed_and_missing_inputs_are_named(made, samples):
    first = made / samples[0].name
    content = first.read_bytes()
    first.write_bytes(content + b" ")
    with pytest.raises(ChecksumError, match="has changed") as raised:
        redo(made / "mean.recipe.yaml")
    assert Path(raised.value.where).name == first.name
    first.unlink()
    with pytest.raises(ChecksumError, match="gone") as raised:
        redo(made / "mean.recipe.yaml")
    assert Path(raised.value.where).name == first.name


def test_redo_overwrites_nothing(made, samples):
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    for output, error in (
        ("mean.png", OutputError),
        (samples[0].name, OutputError),
        ("x.jpg", ConfigError),
        ("x", ConfigError),
    ):
        with pytest.raises(error):
            redo(made / "mean.recipe.yaml", made / output)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before


def test_a_polygon_s_file_counts_as_an_input(samples, tmp_path):
    polygon = tmp_path / "polygon.csv"
    polygon.write_text("10,10\n54,10\n54,54\n10,54\n")
    files = [Path(shutil.copy(path, tmp_path)) for path in samples]
    morph(*files, tmp_path / "half.png", size=SIZE, mask=polygon, report=False)
    path = tmp_path / "half.recipe.yaml"
    assert {item["file"] for item in read_recipe(path)["inputs"]} >= {"polygon.csv"}
    assert redo(path).identical
    polygon.write_text("10,10\n50,10\n50,54\n10,54\n")
    with pytest.raises(ChecksumError, match="has changed"):
        redo(path)
    morph(*files, tmp_path / "named.png", size=SIZE, mask="lower_face", report=False)
    assert redo(tmp_path / "named.recipe.yaml").identical


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"function": "save_image"}, "may not"),
        ({"function": "os.system"}, "may not"),
        ({"seed": 1}, "may not"),
        ({"facemorph_recipe": 2}, "no recipe"),
        ({"arguments": []}, "another kind"),
        ({"arguments": {"output": "/tmp/elsewhere.png"}}, "no such argument"),
        ({"arguments": {"size": "64"}}, "no such argument"),
        ({"arguments": {"size": True}}, "no such argument"),
        ({"arguments": {"pictures": "a.png"}}, "no such argument"),
        ({"arguments": {"pictures": [{"_target_": "os.system"}]}}, "no such argument"),
        ({"arguments": {"pictures": ["/etc/hostname"]}}, "without a sha256"),
        ({"arguments": {"points": ["../x.tem"]}}, "without a sha256"),
        ({"arguments": {"new": 1}}, "no such argument"),
        ({"inputs": [{"file": 3}]}, "incomplete"),
        ({"inputs": "a.png"}, "another kind"),
        ({"output": {"file": None}}, "incomplete"),
        ({"versions": None}, "another kind"),
    ],
)
def test_what_recipes_may_not_do(made, changes, text):
    with pytest.raises(DataError, match=text):
        redo(edit(made, **changes))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- 1",
        b"\xff\xfe\x00",
        b"a: [",
        b"!!python/object/apply:os.getcwd []",
        b"[" * 5000,
        b"x" * 4_000_001,
    ],
)
def test_files_that_are_no_recipes(tmp_path, content):
    path = tmp_path / "x.recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(DataError):
        redo(path)
    with pytest.raises(DataError):
        redo(tmp_path / "none.recipe.yaml")


def test_only_listed_functions_exist():
    import importlib

    for name, where in module.FUNCTIONS.items():
        assert getattr(importlib.import_module(where), name).recorded_files, name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["m.png", "m.jpg", "m.gif", "m.mp4", "frames"])
def test_morphs_have_recipes(samples, tmp_path, name):
    options = {"size": SIZE, "report": False, "shape_time": "ease", "texture_time": 0.3}
    result = morph(*samples, tmp_path / name, frames=3, **options)
    path = recipe_path(tmp_path / name)
    assert result.files[-1] == path
    assert read_recipe(path)["arguments"]["shape_time"] == "ease"
    assert redo(path).identical


def test_trained_warps_are_inputs(samples, tmp_path):
    from facemorph.jobs.recipe import _inside, _plain

    release = tmp_path / "release"
    release.mkdir()
    (release / "b").write_text("b")
    (release / "a").write_text("a")
    assert list(_inside(release)) == [release / "a", release / "b"]
    assert list(_inside("tps")) == []
    assert _plain(release, tmp_path) == "release"
    assert _plain("tps", tmp_path) == "tps"


def test_tensors_leave_no_recipe_and_no_old_one(samples, tmp_path):
    output = tmp_path / "m.png"
    average(samples, output, size=SIZE)
    assert recipe_path(output).exists()
    result = average([load_image(path) for path in samples], output, size=SIZE)
    assert result.files == [output]
    assert not recipe_path(output).exists()
    assert symmetrize(samples[0], size=SIZE).files == []


def test_the_callers_random_numbers_are_left_alone(samples):
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    symmetrize(samples[0], size=SIZE)
    assert torch.equal(torch.rand(2), wanted)


def test_content_is_pixels_and_size(samples, tmp_path):
    array = np.zeros((4, 6, 3), np.uint8)
    for name, one in (
        ("a.png", array),
        ("b.png", array),
        ("c.png", array.reshape(6, 4, 3)),
        ("d.png", array + 1),
    ):
        Image.fromarray(one).save(tmp_path / name)
    digest = {name: content_sha256([tmp_path / f"{name}.png"]) for name in "abcd"}
    assert digest["a"] == digest["b"]
    assert len(set(digest.values())) == 3
    mask(samples[0], tmp_path / "alpha.png", size=SIZE, background="transparent")
    before = content_sha256([tmp_path / "alpha.png"])
    Image.open(tmp_path / "alpha.png").convert("RGB").save(tmp_path / "flat.png")
    assert content_sha256([tmp_path / "flat.png"]) != before
