"""Studies made, answered and evaluated: by hand, in a browser, and wrongly."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter

import numpy as np
import pytest
import torch

from facemorph import cli
from facemorph.apps.generation.study.make_study import ab, likert
from facemorph.apps.generation.study.results import results
from facemorph.bench.pages.browser import chromium
from facemorph.errors import ConfigError, DataError, ImageError
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image

NAMES = [f"face_{number}" for number in range(6)]


@pytest.fixture
def folders(tmp_path):
    """Pictures of A are red, of B green, of the reference blue; B lacks the last one."""
    found = []
    for channel, name in enumerate(("a", "b", "reference")):
        folder = tmp_path / name
        folder.mkdir()
        for number, one in enumerate(NAMES[: 5 if name == "b" else 6]):
            picture = 0.1 * torch.rand(3, 24, 24)
            picture[channel] += 0.5 + 0.05 * number
            save_image(picture, folder / f"{one}.png", synthetic=name != "reference")
        found.append(folder)
    return found


def write_answers(path, study, participant, answers):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["study", "participant", "question", "answer", "seconds"])
        for question, answer in answers.items():
            writer.writerow([study, participant, question, answer, "1.0"])
    return path


def answers_to(key, wanted, checks=True):
    """Answers that choose A where ``wanted`` says so, and pass checks, or miss them."""
    found = {}
    for name, item in key["items"].items():
        if "check" in item:
            right = item["check"]
            found[name] = right if checks else {"left": "right", "right": "left"}[right]
        else:
            other = {"left": "right", "right": "left"}[item["a"]]
            found[name] = item["a"] if wanted(item["picture"]) else other
    return found


# ------------------------------------------------------------
# making
def test_sides_are_what_the_key_says(folders, tmp_path):
    key = ab(folders[0], folders[1], tmp_path / "out", reference=folders[2], checks=3, size=32)
    assert key["left_out"] == 1
    pairs = [one for one in key["items"].values() if "picture" in one]
    assert sorted(one["picture"] for one in pairs) == NAMES[:5]
    with (tmp_path / "out" / "questions.csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert rows.keys() == key["items"].keys()
    for name, item in key["items"].items():
        shown = {
            place: load_image(tmp_path / "out" / rows[name][place])
            for place in ("left", "right", "reference")
        }
        assert all(one.shape == (3, 32, 32) for one in shown.values())
        main = {place: int(one.mean((1, 2)).argmax()) for place, one in shown.items()}
        assert main["reference"] == 2
        if "check" in item:
            right = item["check"]
            assert torch.equal(shown[right], shown["reference"])
            wrong = {"left": "right", "right": "left"}[right]
            assert not torch.equal(shown[wrong], shown["reference"])
            assert rows[name]["check"] == right
        else:
            assert main[item["a"]] == 0
            assert main[{"left": "right", "right": "left"}[item["a"]]] == 1
            assert rows[name]["a_side"] == item["a"]
    page = (tmp_path / "out" / "study.html").read_text()
    assert page.count("data:image/jpeg") == 3 * 8
    assert "http" not in re.sub(r"data:image/jpeg;base64,[^\"]*", "", page)
    assert "a_side" not in page
    assert "face_" not in page


def test_the_seed_decides(folders, tmp_path):
    keys = [
        ab(folders[0], folders[1], tmp_path / str(number), seed=seed, questions=4, size=32)
        for number, seed in enumerate((0, 0, 1))
    ]
    assert keys[0]["items"] == keys[1]["items"]
    assert keys[0]["study"] == keys[1]["study"]
    assert keys[0]["items"] != keys[2]["items"]
    assert keys[0]["study"] != keys[2]["study"]
    assert len(keys[0]["items"]) == 6


def test_sides_are_fair(folders, tmp_path):
    many = tmp_path / "many"
    many.mkdir()
    for number in range(60):
        save_image(torch.rand(3, 8, 8), many / f"{number}.png")
    key = ab(many, many, tmp_path / "out", checks=0, size=32)
    assert 18 <= Counter(one["a"] for one in key["items"].values())["left"] <= 42


def test_addresses_for_platforms(folders, tmp_path):
    likert(folders[0], tmp_path, url="https://example.org/s/", size=32)
    with (tmp_path / "questions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["picture"].startswith("https://example.org/s/pictures/q") for row in rows)


def test_impossible_studies(folders, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="no pictures"):
        likert(empty, tmp_path / "x")
    save_image(torch.rand(3, 8, 8), empty / "other.png")
    with pytest.raises(DataError, match="same names"):
        ab(folders[0], empty, tmp_path / "x")
    with pytest.raises(DataError, match="not so many"):
        ab(folders[0], folders[1], tmp_path / "x", questions=7)
    with pytest.raises(ConfigError, match="scale"):
        likert(folders[0], tmp_path / "x", scale=1)
    with pytest.raises(ConfigError, match="checks"):
        ab(folders[0], folders[1], tmp_path / "x", checks=-1)
    with pytest.raises(ImageError):
        ab(folders[0], tmp_path / "nowhere", tmp_path / "x")


# ------------------------------------------------------------
# results
def test_preferences(folders, tmp_path, capsys):
    key = ab(folders[0], folders[1], tmp_path / "study", checks=2, size=32)
    files = []
    for number, chosen in enumerate((5, 4, 3)):
        wanted = set(NAMES[:chosen])
        given = answers_to(key, lambda name, wanted=wanted: name in wanted)
        files.append(write_answers(tmp_path / f"{number}.csv", key["study"], f"p{number}", given))
    careless = answers_to(key, lambda name: False, checks=False)
    files.append(write_answers(tmp_path / "careless.csv", key["study"], "careless", careless))
    key_file = tmp_path / "study" / "key.json"
    words = ["study", "results", *map(str, files), "--key", str(key_file)]
    assert cli.run([*words, "-o", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "careless, missed 2 of 2 checks" in said
    assert "80.0%" in said
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["participants"] == 4
    assert report["dropped"] == {"careless": "missed 2 of 2 checks"}
    assert (report["preference"]["chosen"], report["preference"]["answers"]) == (12, 15)
    assert [report["pictures"][name]["chosen"] for name in NAMES[:5]] == [3, 3, 3, 2, 1]
    assert report["people"]["p2"]["share"] == pytest.approx(0.6)
    assert (tmp_path / "out" / "results.svg").is_file()
    kept = results(files, tmp_path / "out", key=key_file, allowed=2, interval="exact")
    assert kept["preference"]["answers"] == 20
    assert kept["dropped"] == {}


def test_ratings_by_picture_and_folder(tmp_path):
    for group in ("one", "two"):
        (tmp_path / "in" / group).mkdir(parents=True)
        for number in range(3):
            save_image(torch.rand(3, 8, 8), tmp_path / "in" / group / f"{number}.png")
    key = likert(tmp_path / "in", tmp_path / "study", scale=7, checks=1, size=32)
    generator, files, given = np.random.default_rng(0), [], {}
    for person in range(4):
        rated = {}
        for name, item in key["items"].items():
            value = int(item["check"]) if "check" in item else int(generator.integers(1, 8))
            rated[name] = value
            given.setdefault(item.get("picture"), []).append(value)
        files.append(write_answers(tmp_path / f"{person}.csv", key["study"], f"p{person}", rated))
    report = results(files, tmp_path / "out", key=tmp_path / "study" / "key.json")
    given.pop(None)
    for name, values in given.items():
        assert report["pictures"][name]["median"] == np.median(values)
        assert (
            report["pictures"][name]["histogram"] == np.bincount(values, minlength=8)[1:].tolist()
        )
    both = [value for name, values in given.items() if name.startswith("one/") for value in values]
    assert report["groups"]["one"]["mean"] == pytest.approx(np.mean(both))
    assert report["ratings"]["answers"] == 24
    assert sum(report["medians"].values()) == 6


def test_results_of_mechanical_turk(folders, tmp_path):
    key = ab(folders[0], folders[1], tmp_path / "study", size=32)
    path = tmp_path / "batch.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["HITId", "WorkerId", "Input.study", "Input.id", "Answer.answer"])
        for question, answer in answers_to(key, lambda name: True).items():
            writer.writerow(["x", "W", key["study"], question, answer])
    report = results([path], tmp_path / "out", key=tmp_path / "study" / "key.json")
    assert report["preference"]["chosen"] == 5


def test_wrong_answers(folders, tmp_path):
    key = ab(folders[0], folders[1], tmp_path / "study", size=32)
    name, key_file = next(iter(key["items"])), tmp_path / "study" / "key.json"

    def evaluate(study, answers, path="x.csv", count=1):
        file = write_answers(tmp_path / path, study, "p", answers)
        return results([file] * count, tmp_path / "out", key=key_file)

    good = answers_to(key, lambda picture: True)
    with pytest.raises(DataError, match="line 2: this is an answer of another study"):
        evaluate("other", good)
    with pytest.raises(DataError, match="no such question"):
        evaluate(key["study"], {**good, "q99": "left"})
    with pytest.raises(DataError, match=r"left \| right"):
        evaluate(key["study"], {name: "middle"})
    with pytest.raises(DataError, match="before"):
        evaluate(key["study"], good, count=2)
    with pytest.raises(DataError, match="no answers are left"):
        evaluate(key["study"], answers_to(key, lambda picture: True, checks=False))
    half = {question: "" if question == name else answer for question, answer in good.items()}
    assert evaluate(key["study"], half)["participants"] == 1  # open questions are allowed
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="columns are missing"):
        results([tmp_path / "columns.csv"], tmp_path / "out", key=key_file)
    with pytest.raises(DataError, match="not the key"):
        results([tmp_path / "x.csv"], tmp_path / "out", key=tmp_path / "columns.csv")
    scale = likert(folders[0], tmp_path / "scale", size=32)
    file = write_answers(tmp_path / "y.csv", scale["study"], "p", {next(iter(scale["items"])): "6"})
    with pytest.raises(DataError, match="no such answer"):
        results([file], tmp_path / "out", key=tmp_path / "scale" / "key.json")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"study": "x", "kind": "ab", "scale": 2}', '{"study": "x", "kind": "hair"}'],
)
def test_keys_that_are_none(tmp_path, content):
    (tmp_path / "key.json").write_text(content)
    file = write_answers(tmp_path / "x.csv", "x", "p", {"q1": "left"})
    with pytest.raises(DataError, match=r"key\.json: this is not the key of a study"):
        results([file], tmp_path / "out", key=tmp_path / "key.json")


# ------------------------------------------------------------
# in a browser
@pytest.fixture
def page():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if chromium() is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium(), headless=True)
        yield browser.new_page()
        browser.close()


def download(page, path):
    with page.expect_download() as waiting:
        page.click("#download")
    waiting.value.save_as(path)
    return path


def expect_progress(page, text):
    """Wait until the page says how far one is: a busy machine takes its time."""
    script = "text => document.querySelector('#progress').innerText === text"
    page.wait_for_function(script, arg=text)


@pytest.mark.slow
def test_a_comparison_in_a_browser(folders, tmp_path, page):
    key = ab(folders[0], folders[1], tmp_path / "study", reference=folders[2], size=64)
    page.goto((tmp_path / "study" / "study.html").as_uri())
    page.fill("#participant", 'Ann "A", 7')
    page.press("#participant", "Enter")
    given = answers_to(key, lambda picture: picture != NAMES[0])
    for number, answer in enumerate(given.values()):
        expect_progress(page, f"{number + 1} of {len(given)}")
        assert page.locator("#shown img").count() == 3
        if number == 0:  # a wrong answer, taken back
            page.keyboard.press("ArrowRight" if answer == "left" else "ArrowLeft")
            page.keyboard.press("Backspace")
        if number == 2:
            page.reload()  # answers are kept
            expect_progress(page, f"{number + 1} of {len(given)}")
        if number % 2:
            page.click(f"#answers button[value={answer}]")
        else:
            page.keyboard.press("ArrowLeft" if answer == "left" else "ArrowRight")
    file = download(page, tmp_path / "answers.csv")
    report = results([file], tmp_path / "out", key=tmp_path / "study" / "key.json")
    assert list(report["people"]) == ['Ann "A", 7']
    assert (report["preference"]["chosen"], report["preference"]["answers"]) == (4, 5)
    assert report["pictures"][NAMES[0]]["chosen"] == 0


def test_ratings_in_a_browser(folders, tmp_path, page):
    key = likert(folders[0], tmp_path / "study", size=64)
    page.goto((tmp_path / "study" / "study.html").as_uri())
    page.click("#start")
    given = {
        name: item.get("check", str(1 + number % 5))
        for number, (name, item) in enumerate(key["items"].items())
    }
    for number, answer in enumerate(given.values()):
        if number % 2:
            page.keyboard.press(answer)
        else:
            page.click(f"#answers button[value='{answer}']")
    file = download(page, tmp_path / "answers.csv")
    report = results([file], tmp_path / "out", key=tmp_path / "study" / "key.json")
    wanted = [int(given[name]) for name, item in key["items"].items() if "picture" in item]
    assert report["ratings"]["mean"] == pytest.approx(sum(wanted) / len(wanted))
