"""Weights of an average: numbers, tables, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from facemorph.apps.morphing.averages import average_faces
from facemorph.apps.morphing.classics import average
from facemorph.errors import ConfigError, DataError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.pair import prepare_faces
from facemorph.faces.procrustes import mean_shape
from facemorph.jobs.picture_weights import weights_of

NAMES = [Path("a/one.jpg"), Path("a/two.png"), Path("b/three.webp")]


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "weights.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_numbers_and_tables(table):
    assert weights_of("1, 0.5,2", NAMES) == [1, 0.5, 2]
    assert weights_of([3, 0, 1], NAMES) == [3, 0, 1]
    assert weights_of(table("file,weight\nthree.webp,3\none,1\n\ntwo.png,2\n"), NAMES) == [1, 2, 3]
    assert weights_of(str(table("\ufeffone.jpg;1\ntwo;2\nthree;0\n")), NAMES) == [1, 2, 0]
    assert weights_of(table("a/x.jpg,1\nb/x.jpg,2\n"), [Path("a/x.jpg"), Path("b/x.jpg")]) == [1, 2]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("1,2", "not as many weights"),
        ([1.0, 2.0, 3.0, 4.0], "not as many weights"),
        ("1,-2,1", "no average.*found -2"),
        ("1,nan,1", "no average"),
        ("1,inf,1", "no average"),
        ([0.0, 0.0, 0.0], "no average.*0 alone"),
        ("1,two,1", "no such weights"),
        ("missing.csv", "no such weights"),
    ],
)
def test_numbers_that_are_no_weights(given, match):
    with pytest.raises(ConfigError, match=match):
        weights_of(given, NAMES)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("one,1\ntwo,1\nthree,1\nfour,1\n", "name photographs that are not given.*four"),
        ("one,1\ntwo,1\n", r"leave photographs out.*three\.webp"),
        ("one,1\none.jpg,1\ntwo,1\nthree,1\n", "line 2: a weight that is not of one"),
        ("one,1\ntwo,x\nthree,1\n", "line 2: these weights cannot be read"),
        ("one,1,2\n", "line 1: these weights cannot be read"),
        ("", "leave photographs out"),
    ],
)
def test_tables_that_are_no_weights(table, text, match):
    with pytest.raises(DataError, match=match):
        weights_of(table(text), NAMES)


def test_two_of_one_name_need_their_folders(table):
    with pytest.raises(DataError, match="with their folders"):
        weights_of(table("x,1\n"), [Path("a/x.jpg"), Path("b/x.jpg")])


@pytest.mark.parametrize("mean", ["procrustes", "plain"])
def test_a_weight_is_so_many_times_the_face(samples, mean):
    """Twice the weight is twice the face, none is none, and alike is as without."""
    a, b = prepare_faces(list(samples)[:2], size=64)
    for weights, faces in (([2.0, 1.0], [a, a, b]), ([0.0, 3.0], [b]), ([5.0, 5.0], [a, b])):
        found, expected = average_faces([a, b], mean, weights), average_faces(faces, mean)
        torch.testing.assert_close(found.points, expected.points, atol=1e-6, rtol=0)
        torch.testing.assert_close(found.image, expected.image, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="unusable weights"):
        average_faces([a, b], mean, [1.0])


def test_the_mean_shape_of_weighted_sets_is_that_of_repeated_ones():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    sets = [base + 0.2 * torch.randn(9, 2, generator=generator) for _ in range(3)]
    found = mean_shape(sets, torch.tensor([1.0, 2.0, 3.0]))
    repeated = [sets[0], sets[1], sets[1], sets[2], sets[2], sets[2]]
    torch.testing.assert_close(found, mean_shape(repeated))


def test_weights_follow_their_photographs_past_those_left_out(samples, tmp_path, caplog):
    a, b = list(samples)[:2]
    empty = save_image(torch.full((3, 64, 64), 0.5), tmp_path / "empty.png", synthetic=True)
    (tmp_path / "w.csv").write_text(f"{a.stem},1\nempty,5\n{b.stem},3\n")
    options = {"size": 64, "skip_failed": True}
    found = average([a, empty, b], tmp_path / "x.png", weights=str(tmp_path / "w.csv"), **options)
    expected = average([a, b], tmp_path / "y.png", weights=[1.0, 3.0], size=64)
    torch.testing.assert_close(found.faces[0].image, expected.faces[0].image)
    recipes = [yaml.safe_load((tmp_path / f"{one}.recipe.yaml").read_text()) for one in "xy"]
    assert recipes[0]["arguments"]["weights"] == "w.csv"
    assert "w.csv" in [one["file"] for one in recipes[0]["inputs"]]
    assert recipes[1]["arguments"]["weights"] == [1.0, 3.0]


def test_mixed_sizes_are_said_in_a_line(samples, caplog):
    a, b = (load_image(path) for path in list(samples)[:2])
    average([a, a], size=64)
    assert "scaled" not in caplog.text
    small = torch.nn.functional.interpolate(b[None], scale_factor=0.25, mode="area")[0]
    average([a, small], size=256)
    texts = [record.getMessage() for record in caplog.records]
    lines = [text for text in texts if "are scaled" in text]
    assert len(lines) == 1
    assert "2 photographs of 2 sizes" in lines[0]
    assert "frames of 256 pixels; enlarged: picture 2 (2.0 times)." in lines[0]
