"""The page of a study: complete in itself, and no text of the user's that a browser would run."""

from __future__ import annotations

import json
import re

import torch

from facemorph.jobs.pages.study_page import StudyPage, write_study_page

HOSTILE = '</script><script>alert(1)</script> & "quoted"'


def test_nothing_of_the_users_is_run(tmp_path):
    path = tmp_path / "study.html"
    page = StudyPage("abc", "likert", HOSTILE, 5, (HOSTILE, "much"))
    write_study_page(page, [{"id": "q1", "picture": torch.rand(3, 8, 8)}], path)
    text = path.read_text()
    assert "alert(1)</script>" not in text
    data = re.search(r'<script id=data type="application/json">(.*?)</script>', text).group(1)
    read = json.loads(data)
    assert read["question"] == HOSTILE
    assert read["ends"][0] == HOSTILE
    assert read["items"][0]["picture"].startswith("data:image/jpeg;base64,")


def test_nothing_is_loaded_from_elsewhere(tmp_path):
    path = tmp_path / "study.html"
    write_study_page(StudyPage("abc", "ab", "Which?", 2, ("", "")), [], path)
    text = path.read_text()
    assert not re.findall(r"(?:src|href)=", text)
    assert not re.findall(r"https?://", text)
    assert "fetch(" not in text
    assert "XMLHttpRequest" not in text
