"""The data-set commands as a user runs them: exit codes, messages, signals, Hydra sweeps and job
launchers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import forked

from facemorph import cli
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.landmark_files import write_points
from facemorph.faces.pair import prepare_face


@pytest.fixture
def people(samples, tmp_path, monkeypatch):
    """A working folder with two photographs, their landmarks and a list."""
    monkeypatch.chdir(tmp_path)
    for name, sample in zip(("ann", "bob"), samples, strict=True):
        face = prepare_face(sample, size=128)
        save_image(face.image, tmp_path / f"{name}.png")
        write_points(face.points, tmp_path / f"{name}.pts", "ibug68")
    (tmp_path / "pairs.txt").write_text("ann bob\nbob ann\nann ann\n")
    return tmp_path


WORDS = [
    "morph-dataset",
    "pairs.txt",
    "--images",
    ".",
    "-o",
    "out",
    "--size",
    "64",
    "--workers",
    "1",
]


def test_all_pairs_done(people, capfd):
    assert (
        cli.run([*WORDS, "--points", ".", "--time", "0.3", "--time", "0.7", "--suffix", "jpg"]) == 0
    )
    assert "2 done, 1 skipped" in capfd.readouterr().out
    assert sorted(path.name for path in (people / "out").glob("*.jpg")) == [
        f"{pair}_t{t}.jpg" for pair in ("ann_bob", "bob_ann") for t in ("0.300", "0.700")
    ]


def test_some_pairs_failed(people, capfd):
    (people / "pairs.txt").write_text("ann bob\nann missing.png\n")
    (people / "missing.pts").write_bytes((people / "ann.pts").read_bytes())
    assert cli.run([*WORDS, "--points", "."]) == 3
    captured = capfd.readouterr()
    assert "1 done, 1 failed" in captured.out
    assert "line 2, ann_missing" in captured.err
    assert "there is no such picture" in captured.err
    rows = json.loads((people / "out/report.json").read_text())["rows"]
    assert [row["status"] for row in rows] == ["done", "failed"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--warp", "nothing"], "thin_plate_flow"),
        (["--shard", "3/2"], "K/N"),
        (["--name", "x"], "{a}"),
        (["--points", "nowhere"], "points"),
        (["--time", "2"], "0 to 1"),
    ],
)
def test_wrong_words(people, words, says, capfd):
    assert cli.run([*WORDS, *words]) == 2
    assert says in capfd.readouterr().err
    assert not list((people / "out").glob("*.png"))


def test_a_folder_that_cannot_be_written(people, capfd):
    (people / "out").write_text("a file")
    assert cli.run([*WORDS, "--points", "."]) == 2
    assert "out" in capfd.readouterr().err
    assert (people / "out").read_text() == "a file"


def test_a_hydra_sweep_over_shards(people, capfd):
    assert (
        cli.run(
            [
                "dataset",
                "pairs=pairs.txt",
                "images=.",
                "output=out",
                "+points=.",
                "+size=64",
                "+workers=1",
                "-m",
                "shard=0/2,1/2",
            ]
        )
        == 0
    )
    report = json.loads((people / "out/report.json").read_text())
    assert report["counts"] == {"done": 2, "failed": 0, "skipped": 1, "missing": 0}
    assert (people / "out/records.1-of-2.jsonl").is_file()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["pairs=pairs.txt"], "images"),
        (["pairs=pairs.txt", "images=.", "output=out", "+sise=64"], "sise"),
        (["pairs=none.txt", "images=.", "output=out"], "none.txt"),
    ],
)
def test_wrong_hydra_words(people, words, says, capfd):
    assert cli.run(["dataset", *words]) == 2
    assert says in capfd.readouterr().err


def test_hydra_ends_with_three_where_pairs_failed(people):
    (people / "pairs.txt").write_text("ann bob\nann missing.png\n")
    assert (
        cli.run(
            [
                "dataset",
                "pairs=pairs.txt",
                "images=.",
                "output=out",
                "+points=.",
                "+size=64",
                "+workers=1",
            ]
        )
        == 3
    )


@pytest.mark.slow
def test_jobs_of_the_submitit_launcher(people):
    """What a Slurm cluster would run, by submitit's local executor."""
    pytest.importorskip(
        "hydra_plugins.hydra_submitit_launcher", reason="the extra `sweep` is not installed"
    )
    words = [
        sys.executable,
        "-m",
        "facemorph.cli",
        "dataset",
        "pairs=pairs.txt",
        f"images={people}",
        f"output={people}/out",
        f"+points={people}",
        "+size=64",
        "+workers=1",
        "-m",
        "shard=0/2,1/2",
        "hydra/launcher=submitit_local",
    ]
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, cwd=people, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((people / "out/report.json").read_text())["counts"]["done"] == 2


def started(words, folder, pictures):
    """The command in a process, once it has made some pictures."""
    process = forked.start(*words, folder=folder)
    limit = time.monotonic() + 600
    while (
        process.poll() is None
        and len(list((folder / "out").glob("*.png"))) < pictures
        and time.monotonic() < limit
    ):
        time.sleep(0.05)
    return process


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_finished(people, number, code):
    for index in range(40):
        for suffix in (".png", ".pts"):
            os.link(people / f"bob{suffix}", people / f"bob{index}{suffix}")
    (people / "pairs.txt").write_text("".join(f"ann bob{index}\n" for index in range(40)))
    words = ["-m", "facemorph.cli", *WORDS, "--points", ".", "--size", "512"]
    process = started(words, people, pictures=3)
    try:
        process.send_signal(number)
        _, errors = process.communicate(timeout=900)
    finally:
        process.kill()
    assert process.returncode == code, errors
    assert "continues" in errors
    report = json.loads((people / "out/report.json").read_text())
    assert report["counts"]["done"] == len(list((people / "out").glob("*.png"))) >= 3
    assert report["counts"]["missing"] > 0
    assert not list((people / "out").glob("*.part"))


@pytest.mark.slow
def test_a_second_signal_stops_at_once(people):
    for index in range(40):
        for suffix in (".png", ".pts"):
            with contextlib.suppress(FileExistsError):
                os.link(people / f"bob{suffix}", people / f"bob{index}{suffix}")
    (people / "pairs.txt").write_text("".join(f"ann bob{index}\n" for index in range(40)))
    words = [
        "-m",
        "facemorph.cli",
        *WORDS,
        "--points",
        ".",
        "--size",
        "512",
        "--workers",
        "2",
    ]
    process = started(words, people, pictures=2)
    try:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=900)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert (people / "out/report.json").is_file()
    assert not list((people / "out").glob(".*.part"))
