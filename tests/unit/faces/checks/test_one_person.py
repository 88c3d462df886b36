"""Pictures under one name that show several people are found and said."""

from __future__ import annotations

import pytest

from facemorph.faces.checks import one_person
from facemorph.faces.checks.one_person import say_unlike_names, unlike_names
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.image_io import load_image


@pytest.fixture(scope="module")
def points(samples):
    detector = EmbeddedDetector(tile=False)
    return {path: detector(load_image(path))[0].points for path in samples}


def test_strangers_under_one_name_are_found(samples, points):
    one, other = samples
    people = {"anna": [one, one], "all": [one, other, one], "grace": [other]}
    found = unlike_names(people, points.__getitem__)
    assert list(found) == ["all"]
    assert 0.6 < found["all"] < 1.2


def test_names_with_most_pictures_are_looked_at(samples, points, monkeypatch):
    one, other = samples
    seen = []

    def points_of(path):
        seen.append(path)
        return points[path]

    monkeypatch.setattr(one_person, "NAMES", 1)
    assert unlike_names({"few": [one, other], "many": [one] * 9}, points_of) == {}
    assert seen == [one] * 4


def test_what_is_said(caplog):
    say_unlike_names({})
    assert not caplog.messages
    say_unlike_names({"female": 0.81, "male": 0.774})
    (message,) = caplog.messages
    for text in ("female 0.81, male 0.77", "--people", "each"):
        assert text in message
