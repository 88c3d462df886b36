"""Exports of the studio: commands in processes of their own, stopped when asked."""

from __future__ import annotations

import threading
import time

import pytest

from facemorph.apps.studio.exports import Exports, share_of
from facemorph.apps.studio.project import Project
from facemorph.apps.studio.work import Workshop

pytestmark = pytest.mark.usefixtures("short_reports")

PATIENCE = 300


@pytest.fixture
def over():
    return threading.Event()


@pytest.fixture
def exports(tmp_path, over):
    workshop = Workshop("exports", lambda work: over.set() if work.is_over else None)
    with Project(tmp_path / "project").opened() as project:
        yield Exports(project, workshop)
    workshop.close()


@pytest.mark.slow
def test_a_command_makes_what_it_says(exports, samples, over):
    output = exports.project.export("points", ".json")
    words = ["landmarks", str(samples[0]), "-o", str(output.parent)]
    work = exports.run(words, output.with_name("sample_collins.json"))
    assert over.wait(PATIENCE)
    assert work.state == "done", work.text
    assert "sample_collins.json" in work.result
    assert exports.names()
    assert exports.command(["morph", "a b.png"]) == "facemorph morph 'a b.png'"


def test_a_command_that_fails_says_why(exports, over, tmp_path):
    output = exports.project.export("nothing", ".png")
    work = exports.run(["morph", "absent.png", "other.png", "-o", str(output)], output)
    assert over.wait(PATIENCE)
    assert work.state == "failed"
    assert "absent.png" in work.text
    assert "Traceback" not in work.text


def test_a_command_that_is_stopped_leaves_no_process(exports, over, samples):
    output = exports.project.export("long", ".mp4")
    words = ["morph", *map(str, samples), "-o", str(output), "--frames", "2000", "--size", "1024"]
    work = exports.run(words, output)
    while not work.text:  # what it does is told once its process is there
        time.sleep(0.01)
    exports._workshop.cancel(work.id)
    assert over.wait(PATIENCE)
    assert work.state == "cancelled"
    assert not output.exists()


@pytest.mark.parametrize(
    ("line", "share"),
    [
        ("frames 37% 0:01", 0.37),
        ("3/8 done", 0.375),
        ("2 of 4", 0.5),
        ("nothing", 0.1),
        ("9/0", 0.1),
    ],
)
def test_progress(line, share):
    assert share_of(line, 0.1) == pytest.approx(share)


def test_parts_of_files_that_are_written_just_now_are_not_listed(exports):
    folder = exports.project.export("x", ".png").parent
    for name in ("face.png", ".face.mp4.77.part", "face.png.12.part"):
        (folder / name).write_bytes(b"x")
    (folder / "gone.png").symlink_to(folder / "nothing.png")
    assert exports.names() == ["face.png"]
