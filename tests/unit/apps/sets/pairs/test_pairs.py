"""Pairs of pictures of one person: one framing, one identity, views, splits, and bad input."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pytest
import torch
from helpers.driving import RATE, performance
from PIL import Image

from facemorph.apps.sets.pairs.pair_set import pairs_of
from facemorph.apps.sets.pairs.pairs import make_pairs
from facemorph.cli import run
from facemorph.errors import ConfigError, DataError
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.video_io import write_frames
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame

SIZE = 64


@pytest.fixture(scope="session")
def photographs(samples, tmp_path_factory):
    """Two people: one photograph at two resolutions, and one beside a broken file."""
    folder = tmp_path_factory.mktemp("pair_photographs")
    large = Image.open(samples[0]).convert("RGB")
    large.save(folder / "anna_1.png")
    large.resize((large.width * 5 // 8, large.height * 5 // 8), Image.LANCZOS).save(
        folder / "anna_2.png"
    )
    shutil.copy(samples[1], folder / "grace_1.png")
    (folder / "grace_2.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="session")
def pair_set(photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair_set")
    words = ["data", "pairs", str(photographs), "-o", str(folder), "--size", str(SIZE)]
    assert run([*words, "--views", "1", "--validation", "0"]) == 0
    return folder


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


def test_a_set_of_pairs(pair_set):
    index, pairs = read(pair_set, "index.json"), read(pair_set, "pairs.json")
    assert index["names"] == [
        *("anna_1", "anna_1_view01", "anna_2", "anna_2_view01"),
        *("grace_1", "grace_1_view01"),
    ]
    assert Counter(pairs["kind"])["genuine"] == 2
    assert Counter(pairs["kind"])["rendered"] == 3
    assert pairs["size"] == SIZE
    for source, target, kind in zip(
        *(pairs[key] for key in ("source", "target", "kind")), strict=True
    ):
        assert index["people"][source] == index["people"][target]
        views = ["view" in index["names"][row] for row in (source, target)]
        assert (
            views
            == {"genuine": [False, False], "rendered": [True, False], "reversed": [False, True]}[
                kind
            ]
        )
    report = read(pair_set, "report.json")
    assert report["unlike"] == {}
    assert report["counts"] == {"done": 2, "failed": 0, "missing": 0}
    assert report["left_out"] == 1
    grace = next(row for row in report["rows"] if row["name"] == "grace")
    assert [one["name"] for one in grace["left_out"]] == ["grace_2"]
    assert (pair_set / "overview.jpg").is_file()


def test_strangers_whose_names_begin_alike_are_said(samples, tmp_path, caplog):
    (tmp_path / "photographs").mkdir()
    for number, path in enumerate(samples):
        shutil.copy(path, tmp_path / f"photographs/woman_{number}.png")
    report = make_pairs([tmp_path / "photographs"], tmp_path / "set", size=SIZE, views=0)
    assert report["people"] == 1
    assert report["unlike"]["woman"] > 0.6
    assert any("look like several people: woman" in message for message in caplog.messages)


def test_photographs_of_two_resolutions_are_framed_alike(pair_set):
    first, second = (load_image(pair_set / f"images/anna_{n}.png") for n in (1, 2))
    assert first.shape == (3, SIZE, SIZE)
    # The same photograph: what differs is the resampling.
    assert float((first - second).abs().mean()) < 0.01
    report = read(pair_set, "report.json")
    assert {row["framing"] for row in report["rows"]} == {"common"}


def test_the_parameters_are_in_pixels_of_the_pictures(pair_set):
    parameters = FaceParameters.load(pair_set / "parameters.npz")
    assert len(parameters) == 6
    torch.testing.assert_close(parameters.identity[0], parameters.identity[2])  # one person
    assert float((parameters.rotation[1] - parameters.rotation[0]).norm()) > 0.01  # a view
    model, detector = load_makehuman(), EmbeddedDetector()
    image = load_image(pair_set / "images/anna_1.png")
    large = torch.nn.functional.interpolate(image[None], scale_factor=4, mode="bicubic")[0]
    found = detector(large.clamp(0, 1))[0].points.float() / 4
    own = parameters[0]
    vertices = vertices_of(model, own)
    placed = camera_of(own, Frame(SIZE, SIZE)).project(model.landmarks(vertices)).pixels[0]
    inner = (found - placed)[17:].norm(dim=1).mean()
    assert float(inner) < 0.05 * SIZE  # of a face that fills two thirds of the crop


def test_the_same_call_changes_nothing_and_another_seed_moves_otherwise(
    pair_set, photographs, tmp_path
):
    shutil.copytree(pair_set, tmp_path / "again")
    before = {file.name: file.read_bytes() for file in (tmp_path / "again/images").iterdir()}
    words = ["data", "pairs", str(photographs), "--size", str(SIZE), "--views", "1"]
    words += ["--validation", "0"]
    assert run([*words, "-o", str(tmp_path / "again")]) == 0
    after = {file.name: file.read_bytes() for file in (tmp_path / "again/images").iterdir()}
    assert after == before
    assert run([*words, "-o", str(tmp_path / "other"), "--seed", "1"]) == 0
    own, other = (
        FaceParameters.load(folder / "parameters.npz") for folder in (pair_set, tmp_path / "other")
    )
    torch.testing.assert_close(own.rotation[0], other.rotation[0])
    assert float((own.rotation[1] - other.rotation[1]).norm()) > 1e-3


def test_frames_of_a_video_are_one_person(samples, tmp_path):
    pictures, _ = performance(samples[1], load_makehuman(), frames=6)
    write_frames(pictures, tmp_path / "talk.mp4", RATE)
    report = make_pairs([tmp_path / "talk.mp4"], tmp_path / "set", size=SIZE, frames=4, views=0)
    assert report["pictures"] == {"photograph": 0, "frame": 4, "view": 0}
    assert report["pairs"] == {"genuine": 12, "rendered": 0, "reversed": 0}
    assert report["people"] == 1


def test_genuine_pairs_are_limited_evenly_and_go_both_ways():
    pictures = [
        {"name": str(n), "file": "", "kind": "photograph", "of": str(n), "yaw": 0.0, "error": 0.0}
        for n in range(5)
    ]
    assert len(pairs_of(pictures, 40)) == 20
    few = pairs_of(pictures, 6)
    assert len(few) == 6
    assert {(b, a) for a, b, _ in few} == {(a, b) for a, b, _ in few}
    assert pairs_of(pictures, 0) == []
    assert {pair.kind for pair in few} == {"genuine"}


def test_views_that_are_turned_far_are_sources_only():
    def picture(name, kind, yaw):
        return {"name": name, "file": "", "kind": kind, "of": "a", "yaw": yaw, "error": 0.0}

    pictures = [picture("a", "photograph", 10.0)]
    pictures += [picture("b", "view", 27.0), picture("c", "view", -9.0)]
    assert [tuple(pair) for pair in pairs_of(pictures, 40)] == [
        (1, 0, "rendered"),
        (0, 1, "reversed"),
        (2, 0, "rendered"),
    ]


def test_people_are_divided_as_a_table_says(photographs, tmp_path, caplog):
    table = tmp_path / "splits.csv"
    table.write_text("person,split\ngrace,test\nnobody,validation\n")
    made = make_pairs([photographs], tmp_path / "set", size=SIZE, views=0, splits=table)
    assert made["splits"] == {"training": 1, "test": 1}
    assert "nobody" in caplog.text
    index = read(tmp_path / "set", "index.json")
    assert dict(zip(index["people"], index["split"], strict=True)) == {
        "anna": "training",
        "grace": "test",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("person,part\na,test\n", "lacks a column"),
        ("person,split\na,exam\n", "no such split"),
        ("person,split\na,test\na,training\n", "in two splits"),
    ],
)
def test_a_table_of_splits_is_checked(photographs, tmp_path, content, message):
    table = tmp_path / "splits.csv"
    table.write_text(content)
    with pytest.raises(DataError, match=message):
        make_pairs([photographs], tmp_path / "set", size=SIZE, splits=table)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    "option",
    [{"size": 8}, {"frames": 0}, {"views": 100}, {"genuine_pairs": -1}, {"validation": 1.0}],
)
def test_options_out_of_range_are_named(photographs, tmp_path, option):
    with pytest.raises(ConfigError) as caught:
        make_pairs([photographs], tmp_path / "set", **option)
    assert caught.value.where == next(iter(option))


def test_the_output_stays_apart_from_the_photographs(photographs):
    with pytest.raises(ConfigError, match="among the photographs"):
        make_pairs([photographs], photographs / "set")


def test_a_person_without_a_usable_picture_fails_and_the_others_are_made(
    photographs, tmp_path, capsys
):
    folder = tmp_path / "photographs"
    folder.mkdir()
    shutil.copy(photographs / "grace_1.png", folder)
    Image.new("RGB", (96, 96), "grey").save(folder / "wall_1.png")
    words = ["data", "pairs", str(folder), "-o", str(tmp_path / "set"), "--views", "0"]
    assert run([*words, "--size", str(SIZE)]) == 3
    assert "wall" in capsys.readouterr().err
    report = read(tmp_path / "set", "report.json")
    assert report["counts"] == {"done": 1, "failed": 1, "missing": 0}


def test_two_folders_with_equal_names_are_told_apart(photographs, tmp_path):
    for folder in ("neutral", "smiling"):
        (tmp_path / folder).mkdir()
        shutil.copy(photographs / "anna_1.png", tmp_path / folder / "anna_1.png")
    inputs = [tmp_path / "neutral", tmp_path / "smiling"]
    made = make_pairs(inputs, tmp_path / "set", size=SIZE, views=0, people="prefix")
    assert made["people"] == 1
    assert read(tmp_path / "set", "index.json")["names"] == ["neutral_anna_1", "smiling_anna_1"]
