"""Held-out pairs moved and measured: rows, summaries, videos, pages, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace

import pytest
import torch
from helpers.pairs import write_pairs

from facemorph.apps.reenactment.evaluate_reenactment import evaluate_reenactment
from facemorph.apps.reenactment.evaluation import moved_source
from facemorph.apps.reenactment.evaluation.held_out_pairs import HeldOutPairs
from facemorph.apps.reenactment.evaluation.moved_source import moved_camera
from facemorph.cli import run
from facemorph.errors import CheckpointError, ConfigError, DataError
from facemorph.faces.alignment import apply_affine
from facemorph.faces.files.image_io import load_image
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.rotations import rotation_from_euler
from facemorph.storage.checkpoint import RECORD, save_atomic
from facemorph.systems.gdpw.small_generator import SmallGenerator
from facemorph.systems.gdpw.small_system import SmallGDPW

SIDE = 48
METHODS = ["copy", "animate", "animate_aligned", "reenact"]


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A set whose person b is held out, with two pictures."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, SIDE)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained small system, which warps by the flow of the head."""
    torch.manual_seed(0)
    system = SmallGDPW(SmallGenerator((6, 8, 10), 32))
    generator = {
        "_target_": "facemorph.systems.gdpw.small_generator.SmallGenerator",
        "channels": [6, 8, 10],
        "resolution": 32,
    }
    config = {
        "system": {
            "_target_": "facemorph.systems.gdpw.small_system.SmallGDPW",
            "generator": generator,
        }
    }
    path = tmp_path_factory.mktemp("system") / "last.ckpt"
    save_atomic({"state_dict": system.state_dict(), RECORD: {"config": config}}, path)
    return path


@pytest.fixture(scope="module")
def clips(faces, tmp_path_factory):
    """The same set, all held out, person a a video of three frames."""
    folder = tmp_path_factory.mktemp("clips") / "set"
    shutil.copytree(faces, folder)
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, "split": ["test"] * 5}))
    pairs = json.loads((folder / "pairs.json").read_text())
    (folder / "pairs.json").write_text(json.dumps({**pairs, "kind": ["genuine"] * 6}))
    pictures = [{"name": f"face_{row}", "kind": "frame", "of": "film"} for row in range(3)]
    pictures += [{"name": f"face_{row}", "kind": "photograph", "of": "x"} for row in (3, 4)]
    (folder / "report.json").write_text(json.dumps({"rows": [{"pictures": pictures}, {}]}))
    return folder


@pytest.fixture(scope="module")
def crossed(clips, checkpoint, tmp_path_factory):
    output = tmp_path_factory.mktemp("crossed") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moved_source, "TEXELS", 128)
        report = evaluate_reenactment(clips, output, checkpoint, size=SIDE, cross=True)
    return output, report


@pytest.mark.slow
def test_all_is_measured_and_shown(crossed):
    output, report = crossed
    assert json.loads((output / "report.json").read_text()) == json.loads(json.dumps(report))
    assert report["people"] == 2
    assert report["summary"]["pairs"] == 4
    assert list(report["summary"]["figures"]) == METHODS
    copy, animate, _, reenact = report["summary"]["figures"].values()
    # Both turn the head to where it should be.
    assert max(animate["l1_face"], reenact["l1_face"]) < 0.9 * copy["l1_face"]
    rows = report["rows"]
    worst_first = [row["figures"]["reenact"]["l1_face"] for row in rows]
    assert worst_first == sorted(worst_first, reverse=True)
    mean = sum(worst_first) / len(rows)
    assert reenact["l1_face"] == pytest.approx(mean, abs=1e-3)
    better = [
        row["figures"]["animate"]["l1_face"] > one
        for row, one in zip(rows, worst_first, strict=True)
    ]
    assert report["summary"]["better"]["l1_face"] == 25 * sum(better)
    for row in rows:
        assert load_image(output / row["file"]).std() > 0.05
    page = (output / "gallery.html").read_text()
    assert page.index(f"1 {rows[0]['person']}: ") < page.index(f"4 {rows[3]['person']}: ")
    assert load_image(output / "sheet.png").shape[1] > 300


def test_faces_that_the_detector_does_not_know_are_counted(crossed):
    """Heads coloured by places are no faces for it."""
    report = crossed[1]
    for method, missed in report["summary"]["no_face"].items():
        some = [row["figures"][method] for row in report["rows"]]
        assert missed == sum(one["landmarks"] is None for one in some)
        assert all((one["landmarks"] is None) == (one["pose"] is None) for one in some)


def test_a_video_is_moved_from_its_first_frame(crossed):
    report = crossed[1]
    assert {row["source"] for row in report["rows"] if row["clip"]} == {"face_0"}
    assert [row["target"] for row in report["rows"] if row["clip"] == "film"] in (
        ["face_1", "face_2"],
        ["face_2", "face_1"],
    )
    flicker = {row["target"]: row["figures"]["animate"]["flicker"] for row in report["rows"]}
    assert [name for name, value in flicker.items() if value is not None] == ["face_2"]
    assert report["clips"].keys() == {"film"}
    assert report["clips"]["film"]["pairs"] == 2


def test_people_are_moved_as_others_and_turned(crossed):
    output, report = crossed
    assert list(report["cross"]) == ["driven", "yaw_+20", "yaw_-20", "jaw_open"]
    assert [row["driver"] for row in report["cross_rows"] if row["driver"]] == ["face_1", "face_4"]
    for row in report["cross_rows"]:
        strip = load_image(output / row["file"])
        assert strip.shape[2] == (4 if row["driver"] else 3) * 166
    sides = [
        load_image(output / f"pictures/cross_yaw_{sign}20_face_0.png")[..., -160:] for sign in "+-"
    ]
    assert float((sides[0] - sides[1]).abs().mean()) > 0.01
    assert (output / "cross.png").is_file()


@pytest.mark.slow
def test_command(faces, checkpoint, tmp_path, capsys):
    words = ["evaluate-reenactment", str(faces), "-o", str(tmp_path / "out"), "--size", str(SIDE)]
    words += ["--checkpoint", str(checkpoint), "--split", "validation", "--count", "1"]
    assert run(words) == 0
    said = capsys.readouterr().out
    assert "1 pairs of 1 held-out people" in said
    assert "l1_face" in said
    assert str(tmp_path / "out/gallery.html") in said
    assert "cross.png" not in said
    assert run([*words, "--split", "test"]) == 2
    assert "split test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "where"),
    [
        ({"size": 31}, "size"),
        ({"size": 64}, "size"),
        ({"count": 0}, "count"),
        ({"split": "x"}, "split"),
    ],
)
def test_numbers_out_of_range(faces, checkpoint, tmp_path, words, where):
    words = {"size": SIDE, "split": "validation"} | words
    with pytest.raises(ConfigError, match=where):
        evaluate_reenactment(faces, tmp_path, checkpoint, **words)


def test_a_checkpoint_of_another_system(faces, tmp_path):
    with pytest.raises(CheckpointError, match="another system"):
        evaluate_reenactment(faces, tmp_path, "@open:gif", size=SIDE, split="validation")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("report.json", '{"rows": [{"pictures": [{}]}]}', "report"),
        ("pairs.json", '{"source": [9], "target": [0], "kind": ["genuine"]}', "fit together"),
    ],
)
def test_damaged_sets(faces, tmp_path, file, content, message):
    shutil.copytree(faces, tmp_path / "set")
    (tmp_path / "set" / file).write_text(content)
    with pytest.raises(DataError, match=message):
        HeldOutPairs(tmp_path / "set", load_makehuman(), "validation", SIDE, 10)


def test_smaller_pictures(faces):
    model = load_makehuman()
    own, half = (HeldOutPairs(faces, model, "validation", side, 10) for side in (SIDE, SIDE // 2))
    assert [(one.source, one.target) for one in half.pairs] == [(3, 4), (4, 3)]
    blocks = own.picture(3).view(3, SIDE // 2, 2, SIDE // 2, 2).mean((2, 4))
    assert float((half.picture(3) - blocks).abs().mean()) < 0.02
    torch.testing.assert_close(half.parameters.origin * 2, own.parameters.origin)


def test_moved_camera():
    """It sees points where the similarity carries their pixels."""
    draw = torch.Generator().manual_seed(3)
    points = torch.randn(1, 20, 3, generator=draw)
    turn = rotation_from_euler(*torch.tensor([[0.3], [-0.2], [0.1]]))
    camera = Camera(turn, torch.tensor([[30.0, 20.0]]), torch.tensor([1.2]))
    cos, sin = 0.8 * math.cos(0.4), 0.8 * math.sin(0.4)
    matrix = torch.tensor([[cos, -sin, 5.0], [sin, cos, -3.0]])
    moved = moved_camera(camera, matrix)
    expected = apply_affine(camera.project(points).pixels, matrix)
    torch.testing.assert_close(moved.project(points).pixels, expected)
    torch.testing.assert_close(
        moved_camera(camera, torch.eye(2, 3)).project(points).pixels,
        replace(camera).project(points).pixels,
    )
