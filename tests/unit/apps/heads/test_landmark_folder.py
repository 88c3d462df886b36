"""Landmark files for many photographs."""

from __future__ import annotations

import json

import pytest
import torch

from facemorph import cli, load_image
from facemorph.apps.heads.landmark_folder import find_landmarks
from facemorph.errors import ConfigError, DataError
from facemorph.faces.detection import find_face
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import read_points, write_points


@pytest.fixture
def photographs(samples, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for sample in samples:
        (folder / sample.name).write_bytes(sample.read_bytes())
    save_image(torch.rand(3, 64, 64), folder / "noise.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.mark.parametrize("kind", ["json", "csv", "pts"])
def test_files_hold_what_the_detector_finds(photographs, samples, tmp_path, kind):
    report = find_landmarks(samples, tmp_path / "points", kind=kind)
    assert report["counts"] == {"found": 2, "kept": 0, "failed": 0}
    for sample, row in zip(samples, report["rows"], strict=True):
        points, scheme = read_points(tmp_path / "points" / f"{sample.stem}.{kind}")
        expected = find_face(load_image(sample))
        assert scheme == row["scheme"] == "ibug68"
        assert float((points - expected.points).abs().max()) < 0.01
        assert row["score"] == pytest.approx(expected.score, abs=1e-3)


def test_the_command_says_what_failed_and_keeps_corrected_files(photographs, tmp_path, capfd):
    output = tmp_path / "points"
    words = ["landmarks", str(photographs), "-o", str(output), "--overlay"]
    assert cli.run(words) == 3
    captured = capfd.readouterr()
    assert "2 found, 2 failed" in captured.out
    assert "broken.jpg" in captured.err
    assert "noise.png: no face found" in captured.err
    corrected = output / "sample_hopper.json"
    write_points(torch.rand(68, 2) * 100, corrected, "ibug68")
    content = corrected.read_bytes()
    assert cli.run(words) == 3
    assert "2 kept, 2 failed" in capfd.readouterr().out
    assert corrected.read_bytes() == content
    assert cli.run([*words, "--again"]) == 3
    assert corrected.read_bytes() != content
    rows = json.loads((output / "landmarks.json").read_text())["rows"]
    assert {row["status"] for row in rows} == {"found", "failed"}
    drawn = load_image(output / "sample_hopper.landmarks.jpg")
    plain = load_image(photographs / "sample_hopper.png")
    changed = ((drawn - plain).abs().max(0).values > 0.3).float().mean()
    assert 0.0005 < float(changed) < 0.05


def test_a_photograph_that_changed_is_looked_at_again_unless_corrected(samples, tmp_path):
    folder, output = tmp_path / "photographs", tmp_path / "points"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes(samples[0].read_bytes())
    assert find_landmarks([folder], output)["counts"] == {"found": 2, "kept": 0, "failed": 0}
    first = (output / "a.json").read_bytes()
    assert find_landmarks([folder], output)["counts"] == {"found": 0, "kept": 2, "failed": 0}
    write_points(torch.rand(68, 2) * 100, output / "b.json", "ibug68")
    corrected = (output / "b.json").read_bytes()
    for name in ("a", "b"):
        (folder / f"{name}.png").write_bytes(samples[1].read_bytes())
    assert find_landmarks([folder], output)["counts"] == {"found": 1, "kept": 1, "failed": 0}
    assert (output / "a.json").read_bytes() != first
    assert (output / "b.json").read_bytes() == corrected


def test_two_processes_find_the_same(photographs, tmp_path):
    reports = [
        find_landmarks([photographs], tmp_path / str(workers), workers=workers)
        for workers in (1, 2)
    ]
    assert reports[0]["counts"] == reports[1]["counts"] == {"found": 2, "kept": 0, "failed": 2}
    for path in (tmp_path / "1").glob("sample_*.json"):
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


def test_a_bug_is_a_row(photographs, tmp_path, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("facemorph.apps.heads.landmark_finder.find_face", broken)
    report = find_landmarks([photographs], tmp_path)
    assert report["counts"]["failed"] == 4
    assert {row["error"] for row in report["rows"]} == {"ImageError", "ZeroDivisionError"}


def test_wrong_options(samples, tmp_path):
    with pytest.raises(ConfigError, match="kind"):
        find_landmarks(samples, tmp_path, kind="xml")
    with pytest.raises(ConfigError, match="detector"):
        find_landmarks(samples, tmp_path, detector="nothing")
    other = tmp_path / "other"
    other.mkdir()
    (other / samples[0].name).write_bytes(samples[0].read_bytes())
    with pytest.raises(DataError, match="same name"):
        find_landmarks([samples[0], other], tmp_path / "out")
