"""Frames as files: their names, the table of their times, and what an earlier run left."""

from __future__ import annotations

import csv

import pytest
import torch

from facemorph.errors import ConfigError, OutputError
from facemorph.faces.files.video_io import write_frames

SHARES = [0.0, 0.125, 0.5, 1.0]


def frames(count=4):
    return (torch.full((3, 8, 8), index / 10) for index in range(count))


def table(folder):
    with (folder / "times.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("index", ["frame_0000.png", "frame_0001.png", "frame_0002.png", "frame_0003.png"]),
        (
            "percent",
            ["frame_000.00.png", "frame_012.50.png", "frame_050.00.png", "frame_100.00.png"],
        ),
        (
            "time",
            [
                "frame_0000.000.png",
                "frame_0000.040.png",
                "frame_0000.080.png",
                "frame_0000.120.png",
            ],
        ),
    ],
)
def test_names_and_times(tmp_path, names, expected):
    files = write_frames(frames(), tmp_path / "out", 25.0, names=names, shares=SHARES)
    assert [path.name for path in files] == expected == sorted(expected)
    rows = table(tmp_path / "out")
    assert [row["file"] for row in rows] == expected
    assert [float(row["percent"]) for row in rows] == [0, 12.5, 50, 100]
    assert [float(row["seconds"]) for row in rows] == pytest.approx([0, 0.04, 0.08, 0.12])


def test_frames_without_a_whole_have_no_percent(tmp_path):
    write_frames(frames(), tmp_path / "out", 25.0)
    assert [row["percent"] for row in table(tmp_path / "out")] == [""] * 4
    with pytest.raises(OutputError, match="no percent of a whole"):
        write_frames(frames(), tmp_path / "other", 25.0, names="percent")
    assert not (tmp_path / "other").exists()


def test_other_names_of_an_earlier_run_are_removed(tmp_path, caplog):
    write_frames(frames(), tmp_path / "out", 25.0)
    files = write_frames(frames(2), tmp_path / "out", 25.0, names="percent", shares=[0.0, 1.0])
    assert sorted((tmp_path / "out").glob("*.png")) == files
    assert len(table(tmp_path / "out")) == 2
    assert "4 frames of an earlier run are removed" in caplog.text


def test_names_are_for_folders_and_sizes_for_gifs(tmp_path):
    with pytest.raises(ConfigError, match="folder of pictures"):
        write_frames(frames(), tmp_path / "a.mp4", names="time")
    for output, size in (("a.mp4", 1.0), ("out", 1.0), ("a.gif", 0.0), ("a.gif", float("nan"))):
        with pytest.raises(ConfigError, match="a largest size is for a GIF"):
            write_frames(frames(), tmp_path / output, max_megabytes=size)
    assert not list(tmp_path.iterdir())
