"""Pictures of a study: found, drawn, ruined, and spoken for."""

from __future__ import annotations

import random

import pytest
import torch

from facemorph.apps.generation.study.answers import Answer, inattentive
from facemorph.apps.generation.study.study_files import (
    drawn,
    instruction,
    pictures_by_name,
    ruined,
)
from facemorph.errors import DataError
from facemorph.faces.files.image_output import save_image


def test_sheets_beside_a_report_are_no_pictures(tmp_path):
    for name in ("face_001.png", "faces.png", "b/face_002.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_image(torch.rand(3, 8, 8), tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    assert list(pictures_by_name(tmp_path)) == ["b/face_002", "face_001", "faces"]
    (tmp_path / "report.json").write_text("{}")
    assert list(pictures_by_name(tmp_path)) == ["b/face_002", "face_001"]
    save_image(torch.rand(3, 8, 8), tmp_path / "face_001.jpg")
    with pytest.raises(DataError, match="same name"):
        pictures_by_name(tmp_path)


def test_names_are_drawn_without_repetition(tmp_path):
    names = [f"{number:02d}" for number in range(30)]
    found = drawn(names, 12, random.Random(0), tmp_path)
    assert len(set(found)) == 12
    assert found == sorted(found)
    assert found == drawn(names, 12, random.Random(0), tmp_path)
    assert drawn(names, None, random.Random(0), tmp_path) == names
    with pytest.raises(DataError, match="not so many"):
        drawn(names, 31, random.Random(0), tmp_path)


def test_ruined_pictures_are_coarse_but_of_their_colour():
    image = 0.3 + 0.4 * torch.rand(3, 48, 48)
    bad = ruined(image, 3)
    assert bad.shape == image.shape
    assert len(bad[0].unique()) <= 36
    assert float((bad.mean() - image.mean()).abs()) < 0.1
    assert torch.equal(bad, ruined(image, 3))
    assert not torch.equal(bad, ruined(image, 4))


def test_instructions_can_be_read():
    pictures = [instruction(f"Choose {number}", 64) for number in (1, 2)]
    assert all(one.shape == (3, 64, 64) for one in pictures)
    assert float(pictures[0].min()) < 0.3
    assert not torch.equal(*pictures)


def test_who_is_left_out():
    items = {"q1": {"check": "left"}, "q2": {"check": "right"}, "q3": {"picture": "x", "a": "left"}}
    answers = [
        Answer("good", "q1", "left"),
        Answer("good", "q2", "right"),
        Answer("half", "q1", "left"),
        Answer("half", "q2", "left"),
        Answer("bad", "q1", "right"),
        Answer("bad", "q2", "left"),
        Answer("unchecked", "q3", "right"),
    ]
    assert inattentive(answers, items, 0) == {
        "half": "missed 1 of 2 checks",
        "bad": "missed 2 of 2 checks",
    }
    assert list(inattentive(answers, items, 1)) == ["bad"]
    assert inattentive(answers, items, 2) == {}
