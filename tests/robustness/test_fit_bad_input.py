"""Model files, parameters and videos that are wrong or cut off, through the commands: exit code 2
or a failed row.
"""

from __future__ import annotations

import json

import pytest
import torch

from facemorph import cli
from facemorph.faces.files.video_io import write_frames
from facemorph.geometry.models.makehuman import load_makehuman
from facemorph.geometry.models.parameters import FaceParameters


@pytest.fixture(scope="module")
def parameters(tmp_path_factory):
    path = tmp_path_factory.mktemp("parameters") / "face.npz"
    FaceParameters.neutral(load_makehuman()).save(path)
    return path


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_parameters_that_are_cut_off(parameters, tmp_path, share, capfd):
    content = parameters.read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: int(share * len(content))])
    assert cli.run(["render", str(tmp_path / "cut.npz"), "-o", str(tmp_path / "a.png")]) == 2
    said = capfd.readouterr().err
    assert "cut.npz" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.pkl", b"cos\nsystem\n(S'touch /tmp/facemorph-was-here'\ntR."),
        ("model.pkl", b"\x80\x04"),
        ("model.npz", b"PK\x03\x04 and no more"),
        ("model.h5", b"\x89HDF\r\n\x1a\n"),
        ("model.txt", b""),
    ],
)
@pytest.mark.parametrize("command", ["fit", "render", "animate"])
def test_model_files_that_are_none(samples, parameters, tmp_path, name, content, command, capfd):
    (tmp_path / name).write_bytes(content)
    words = {
        "fit": ["fit", str(samples[0]), "-o", str(tmp_path / "out")],
        "render": ["render", "-o", str(tmp_path / "a.png")],
        "animate": [
            "animate",
            str(samples[0]),
            "--driving",
            str(parameters),
            "-o",
            str(tmp_path / "a.gif"),
        ],
    }
    assert cli.run([*words[command], "--model", str(tmp_path / name)]) == 2
    assert name in capfd.readouterr().err
    assert not (tmp_path / "a.png").exists()
    assert not (tmp_path / "a.gif").exists()


def test_videos_without_a_face_cut_off_or_none_are_failed_rows(tmp_path):
    write_frames(torch.full((6, 3, 64, 64), 0.4), tmp_path / "grey.mp4", 10)
    content = (tmp_path / "grey.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.mp4").write_text("a video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    names = ["grey", "cut", "text", "empty"]
    assert (
        cli.run(
            ["fit", *(str(tmp_path / f"{name}.mp4") for name in names), "-o", str(tmp_path / "out")]
        )
        == 3
    )
    rows = json.loads((tmp_path / "out" / "fit.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["failed"] * 4
    assert rows[0]["error"] == "NoFaceFound"
    assert {row["error"] for row in rows[1:]} == {"DataError"}


def test_scans_that_are_empty_broken_or_not_numbers_are_failed_rows(tmp_path):
    (tmp_path / "empty.obj").write_text("")
    (tmp_path / "nan.obj").write_text("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    (tmp_path / "outside.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n")
    (tmp_path / "torn.glb").write_bytes(b"glTF\x02")
    names = ["empty.obj", "nan.obj", "outside.obj"]
    assert (
        cli.run(
            [
                "fit",
                *(str(tmp_path / name) for name in [*names, "torn.glb"]),
                "-o",
                str(tmp_path / "out"),
            ]
        )
        == 3
    )
    rows = json.loads((tmp_path / "out" / "fit.json").read_text())["rows"]
    assert len(rows) == 4
    assert all(row["status"] == "failed" for row in rows)


def test_two_inputs_of_one_name_are_refused(samples, tmp_path, capfd):
    (tmp_path / "sample_hopper.jpg").write_bytes(b"")
    assert (
        cli.run(
            [
                "fit",
                str(samples[1]),
                str(tmp_path / "sample_hopper.jpg"),
                "-o",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    assert "same name" in capfd.readouterr().err
