"""Checking a folder of photographs."""

from __future__ import annotations

import json

import pytest
import torch

from facemorph import cli, load_image
from facemorph.apps.sets.data_check import check_folder
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.pair import prepare_face


@pytest.fixture
def folder(samples, tmp_path):
    """Two good photographs with landmarks."""
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for name, sample in zip(("ann", "bob"), samples, strict=True):
        face = prepare_face(sample, size=192)
        save_image(face.image, photographs / f"{name}.png")
        write_points(face.points, photographs / f"{name}.json", "ibug68")
    return photographs


def problems(report):
    return {
        row["file"].rsplit("/", 1)[1]: row["problems"] for row in report["rows"] if row["problems"]
    }


def test_a_good_folder(folder, capfd):
    (folder / "pairs.txt").write_text("ann bob\n")
    report = check_folder(folder, points=folder, pairs=folder / "pairs.txt")
    assert report["problems"] == 0
    assert [row["size"] for row in report["rows"]] == [[192, 192], [192, 192]]
    assert cli.run(["data", "check", str(folder), "--points", str(folder)]) == 0
    assert "2 pictures (192 x 192), 0 problems" in capfd.readouterr().out


def test_everything_that_can_be_wrong(folder, capfd):
    (folder / "copy.png").write_bytes((folder / "ann.png").read_bytes())
    (folder / "damaged.png").write_bytes((folder / "ann.png").read_bytes()[:900])
    save_image(torch.rand(3, 64, 64), folder / "noise.png")
    save_image(
        torch.cat([load_image(folder / "ann.png"), load_image(folder / "bob.png")], 2),
        folder / "two.png",
    )
    write_points(torch.rand(68, 2) * 500 + 200, folder / "bob.json", "ibug68")
    write_points(torch.rand(5, 2) * 60, folder / "noise.csv", "points5")
    (folder / "pairs.txt").write_text("ann bob\nann ann\nann bob\nann nobody.jpg\n")
    report = check_folder(folder, points=folder, pairs=folder / "pairs.txt")
    found = problems(report)
    assert found["copy.png"][0] == "the same file as ann.png"
    assert "damaged" in found["damaged.png"][0]
    assert found["noise.png"][0] == "no face found"
    assert "points5" in found["noise.png"][1]
    assert found["two.png"][0] == "2 faces found"
    assert "no landmark file" in found["two.png"][1]
    assert "outside of the picture" in found["bob.png"][0]
    assert "ann.png" not in found
    assert report["left_out"] == ["line 2: self-pair", "line 3: duplicate of line 1"]
    assert report["pairs"] == [f"line 4: there is no {folder}/nobody.jpg"]
    assert report["problems"] == sum(map(len, found.values())) + 1
    output = folder.parent / "report.json"
    assert cli.run(["data", "check", str(folder), "--no-faces", "--json", str(output)]) == 3
    assert "copy.png: the same file as ann.png" in capfd.readouterr().out
    assert json.loads(output.read_text())["problems"] == 2


def test_a_face_that_the_picture_cuts(folder):
    image = load_image(folder / "bob.png")
    save_image(image[:, :, 96:], folder / "bob.png")
    found = problems(check_folder(folder))["bob.png"]
    assert found == ["no face found"] or "the face is cut" in found[0]


def test_no_pictures(tmp_path, capfd):
    assert cli.run(["data", "check", str(tmp_path)]) == 2
    assert "no picture" in capfd.readouterr().err
