"""Folders as people expect them: numbers in order, nothing hidden, what is not read is said."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from facemorph.jobs.input_files import picture_files
from facemorph.storage.folders import listed, natural_key

SUFFIXES = (".jpg", ".png")


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_numbers_are_in_order(tmp_path):
    touch(tmp_path, "img10.jpg", "img2.JPG", "img1.png", "b.jpg", "A.jpg", "img2b.jpg")
    names = [path.name for path in listed(tmp_path, SUFFIXES)]
    assert names == ["A.jpg", "b.jpg", "img1.png", "img2.JPG", "img2b.jpg", "img10.jpg"]
    assert [path.name for path in picture_files([tmp_path])] == names


def test_hidden_files_are_left_aside(tmp_path):
    touch(tmp_path, "a.jpg", "._a.jpg", ".hidden/b.jpg", "in/c.jpg", "__MACOSX/._c.jpg")
    assert [path.name for path in listed(tmp_path, SUFFIXES)] == ["a.jpg"]
    deep = [path.relative_to(tmp_path).as_posix() for path in listed(tmp_path, SUFFIXES, deep=True)]
    assert deep == ["a.jpg", "in/c.jpg"]


@pytest.mark.parametrize(
    "function", [lambda one: listed(one, SUFFIXES), lambda one: picture_files([one])]
)
def test_pictures_that_are_not_read_are_said(tmp_path, caplog, function):
    touch(tmp_path, "a.jpg", "b.CR2", "c.cr2", "d.jxl", "notes.txt", "points.csv")
    with caplog.at_level(logging.WARNING):
        function(tmp_path)
    assert "3 files are not read (CR2 2, JXL 1)" in caplog.text
    assert "notes" not in caplog.text
    caplog.clear()
    (tmp_path / "c.cr2").unlink()
    (tmp_path / "d.jxl").unlink()
    with caplog.at_level(logging.WARNING):
        function(tmp_path)
    assert "1 file is not read (CR2 1); save it as JPEG or PNG." in caplog.text


def test_those_of_phones_are_said_with_the_package_that_reads_them(tmp_path, caplog):
    touch(tmp_path, "a.jpg", "b.HEIC", "d.avif")
    with caplog.at_level(logging.WARNING):
        listed(tmp_path, SUFFIXES)
    assert "2 files are not read (AVIF 1, HEIC 1)" in caplog.text
    assert "pip install pillow-heif" in caplog.text


def test_other_files_are_no_news(tmp_path, caplog):
    touch(tmp_path, "a.jpg", "notes.txt", "points.csv")
    listed(tmp_path, SUFFIXES)
    assert not caplog.text


def test_folders_with_the_name_of_pictures(tmp_path):
    (tmp_path / "a.jpg").mkdir()
    touch(tmp_path, "a.jpg/b.jpg")
    assert listed(tmp_path, SUFFIXES) == []
    assert listed(tmp_path, SUFFIXES, deep=True) == [tmp_path / "a.jpg/b.jpg"]


def test_any_names_can_be_compared():
    names = ["1", "a", "1a", "a1", "²", "１", "a/2", "a10/1", "a2/1", ""]
    found = sorted(map(Path, names), key=natural_key)
    assert found.index(Path("a2/1")) < found.index(Path("a10/1"))
