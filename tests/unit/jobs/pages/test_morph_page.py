"""The HTML page: complete in itself, its slider, and no text of the user's that the browser would
run.
"""

from __future__ import annotations

import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from facemorph import morph
from facemorph.errors import OutputError
from facemorph.faces.files.image_output import to_picture
from facemorph.jobs.outputs import beside
from facemorph.jobs.pages.morph_page import LABELS, ReportSection, write_report

HOSTILE = '<script>alert(1)</script> & "quoted" {{body}} {{title}}'


class Page(HTMLParser):
    """Tags with their attributes, and the text inside some of them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open = [], {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in self.open[-1:]:
            self.texts.setdefault(tag, []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def picture_in(uri):
    head, content = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    assert picture.format == "JPEG"
    return picture


def script_values(script):
    values = json.loads(script)
    return values["frames"], values["times"]


def section(title="A morph", count=3, **metrics):
    frames = [torch.full((3, 20, 30), index / max(count - 1, 1)) for index in range(count)]
    times = [index / max(count - 1, 1) for index in range(count)]
    return ReportSection(title, frames, metrics, torch.rand(3, 40, 60), times)


@pytest.fixture(scope="module")
def page(samples, tmp_path_factory):
    """A real report, with its result."""
    result = morph(*samples, tmp_path_factory.mktemp("page") / "a <b> & c.mp4", size=128, frames=5)
    return result, beside(result.files[0], "report.html").read_text(encoding="utf-8")


def test_self_contained(page):
    text = page[1]
    parsed = Page(text)
    for address in (
        "http://",
        "https://",
        "//cdn",
        "@import",
        "url(",
        "fetch(",
        "XMLHttpRequest",
        "file:",
    ):
        assert address not in text, address
    for tag in ("link", "iframe", "object", "embed", "base", "form"):
        assert parsed.all(tag) == []
    for _, attributes in parsed.tags:
        for key, value in attributes.items():
            assert key not in ("href", "srcset", "action", "onload", "onerror"), key
            if key == "src":
                assert value.startswith("data:image/jpeg;base64,")
    assert all("src" not in attributes for attributes in parsed.all("script"))


def test_pictures_and_slider(page):
    result, text = page
    parsed = Page(text)
    view, sheet = parsed.all("img")
    slider = parsed.all("input")[0]
    assert slider["type"] == "range"
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "4", "2")
    assert slider["aria-label"]
    assert all(image["alt"] for image in (view, sheet))
    data, code = parsed.texts["script"]
    frames, times = script_values(data)
    assert times == [0, 0.25, 0.5, 0.75, 1]
    assert len(frames) == 5
    assert frames[2] == view["src"]
    for uri, frame in zip(frames, result.frames, strict=True):
        shown = np.asarray(picture_in(uri), float)
        assert np.abs(shown - np.asarray(to_picture(frame), float)).mean() < 4
    wide, high = picture_in(sheet["src"]).size
    assert wide > 5 * 256
    assert high > 2 * 256
    for name in ("view", "time", "shown"):
        assert f'".{name}"' in code
        assert [1 for _, attributes in parsed.tags if attributes.get("class") == name] == [1]
    assert 'addEventListener("input", show)' in code


def test_figures_and_settings(page):
    result, text = page
    parsed = Page(text)
    headings = parsed.texts["th"]
    for key, (label, unit, _) in LABELS.items():
        assert label in headings
        assert f"{result.metrics[key]:.4g} {unit}".strip() in [
            cell.strip() for cell in parsed.texts["td"]
        ]
    settings = json.loads("".join(parsed.texts["pre"]))
    assert settings["config"] == result.metrics["config"]
    assert settings["inputs"] == result.metrics["inputs"]
    assert "Synthetic images" in text
    assert parsed.texts["title"] == ["Face morph: a <b> & c.mp4"]


@pytest.mark.slow
def test_long_sequences_are_thinned_out(samples, tmp_path):
    result = morph(*samples, tmp_path / "long.gif", size=32, frames=60)
    slider = Page(beside(result.files[0], "report.html").read_text()).all("input")[0]
    assert slider["max"] == "24"


@pytest.mark.parametrize("count", [1, 2, 7])
def test_slider_range(tmp_path, count):
    parsed = Page(write_report([section(count=count)], tmp_path / "r.html").read_text())
    assert parsed.all("input")[0]["max"] == str(count - 1)
    frames, times = script_values(parsed.texts["script"][0])
    assert len(frames) == len(times) == count


def test_texts_of_the_user_are_escaped(tmp_path):
    metrics = {
        "landmark_error_px": 0.5,
        "seconds": {HOSTILE: 1.0},
        "config": {"warp": HOSTILE},
        "inputs": {"a": {"file": f"/x/{HOSTILE}</pre></section>.png"}},
    }
    text = write_report([section(HOSTILE, **metrics)], tmp_path / "r.html", HOSTILE).read_text()
    parsed = Page(text)
    assert len(parsed.all("script")) == 2  # the slider's data, and what moves it
    assert not any("alert(1)" in script for script in parsed.texts["script"])
    assert len(parsed.all("section")) == 1
    assert len(parsed.all("body")) == 1
    assert parsed.texts["title"] == parsed.texts["h1"] == [HOSTILE]
    assert parsed.texts["h2"] == [HOSTILE]
    assert json.loads("".join(parsed.texts["pre"]))["config"]["warp"] == HOSTILE


@pytest.mark.slow
def test_hostile_file_name_through_the_whole_app(samples, tmp_path):
    name = "<script>alert(1)<&>.png"
    photograph = tmp_path / name
    photograph.write_bytes(samples[0].read_bytes())
    result = morph(photograph, samples[1], tmp_path / "out" / "<img onerror=alert(2)>.png", size=32)
    text = next(path for path in result.files if path.suffix == ".html").read_text()
    parsed = Page(text)
    assert len(parsed.all("script")) == 2
    assert not any("onerror" in attributes for _, attributes in parsed.tags)
    assert name in "".join(parsed.texts["pre"])


def test_several_sections(tmp_path):
    parts = [section("one", 2), section("two", 3), section("three", 4)]
    parsed = Page(write_report(parts, tmp_path / "r.html", "All").read_text())
    assert parsed.texts["h2"] == ["one", "two", "three"]
    assert [slider["max"] for slider in parsed.all("input")] == ["1", "2", "3"]
    assert [len(script_values(data)[0]) for data in parsed.texts["script"][:3]] == [2, 3, 4]


def test_missing_figures_have_no_row(tmp_path):
    text = write_report(
        [section(heldout_landmark_error_px=None, fold_over_percent=0.0)], tmp_path / "r.html"
    )
    rows = Page(text.read_text()).texts["th"]
    assert rows == ["Fold-over"]


def test_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"r\.html"):
        write_report([section()], tmp_path / "nowhere" / "r.html")
