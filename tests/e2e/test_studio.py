"""The studio as a user has it: the command in a process, its page in headless Chromium, real
pointer and keyboard, a fake webcam.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.studio_pages import PATIENCE, watched_studio
from PIL import Image

from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.apps.reenactment.reenactor import Reenactor
from facemorph.bench.pages import browser, studio
from facemorph.bench.pages.browser import wait_for
from facemorph.bench.pages.studio import FITTED, SHOWN
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import read_points

needs_browser = pytest.mark.skipif(browser.why_not() is not None, reason=str(browser.why_not()))
pytestmark = needs_browser
FIRST, SECOND = "sample_collins", "sample_hopper"
CANVAS = "() => window.studio.view.picture.toDataURL('image/png')"
SHARP_MESH = """() => { const viewer = window.studio.view.viewer;
  const sharp = !viewer.waiting && viewer.renderer.getPixelRatio() >= 1;
  if (sharp) window.sharpMesh = viewer.canvas.toDataURL('image/png');
  return sharp; }"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return tmp_path_factory.mktemp("studio") / "project"


@pytest.fixture(scope="module")
def asked():
    return []


@pytest.fixture(scope="module")
def opened(project, tmp_path_factory, asked):
    clip = studio.write_clip(tmp_path_factory.mktemp("clip") / "clip.y4m", 12)
    with watched_studio(project, arguments=studio.fake_webcam(clip)) as opened:
        opened.page.on("request", lambda request: asked.append(request.url))
        yield opened


@pytest.fixture
def page(opened):
    """The page with both samples chosen, in the view Morph."""
    page = opened.page
    page.evaluate(f"() => window.studio.select(['{FIRST}', '{SECOND}'])")
    return page


def show(page, view):
    page.locator(f"#tab-{view}").click()
    wait_for(page, f"() => !!(window.studio.current === '{view}' && window.studio.view)", PATIENCE)
    page.evaluate("() => window.studio.view.preparing")  # until then another photograph is shown
    wait_for(page, SHOWN, PATIENCE)


def canvas(page):
    """What the view shows: ``(3, H, W)``."""
    content = base64.b64decode(page.evaluate(CANVAS).split(",")[1])
    array = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def decibels(a, b):
    return -10 * float((a - b).square().mean().clamp(min=1e-9).log10())


def move_slider(page, name, share):
    x, y, width = studio.slider_on_screen(page, name)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + width * share, y, steps=6)
    page.mouse.up()
    wait_for(page, SHOWN, PATIENCE)


def test_the_morph_follows_the_slider_and_undo_takes_it_back(page):
    show(page, "morph")
    before = canvas(page)
    move_slider(page, "time", 0.15)
    after = canvas(page)
    assert decibels(before, after) < 30
    value = page.evaluate("window.studio.view.values.time")
    assert 0 < value < 0.35
    page.locator("body").click(position={"x": 5, "y": 5})
    page.keyboard.press("Control+z")
    wait_for(page, "() => window.studio.view.values.time === undefined", PATIENCE)
    wait_for(page, SHOWN, PATIENCE)
    assert decibels(canvas(page), before) > 60
    page.keyboard.press("Control+y")
    wait_for(page, f"() => window.studio.view.values.time === {value}", PATIENCE)
    wait_for(page, SHOWN, PATIENCE)
    assert decibels(canvas(page), after) > 60
    assert page.locator(".figures dd").count() == 4


def test_averages_and_caricatures(page):
    show(page, "morph")
    shown = {}
    for mode in ("average", "caricature", "morph"):
        page.get_by_label("Make", exact=True).select_option(mode)
        wait_for(page, SHOWN, PATIENCE)
        shown[mode] = canvas(page)
    assert decibels(shown["average"], shown["caricature"]) < 25
    assert decibels(shown["average"], shown["morph"]) < 30


def test_landmarks_are_edited_inside_the_page(page, project):
    show(page, "morph")
    before, _ = read_points(project / "points" / f"{FIRST}.json")
    version = page.evaluate(f"window.studio.photograph('{FIRST}').version")
    page.get_by_role("button", name="Edit landmarks").click()
    wait_for(
        page, "() => !!document.querySelector('iframe')?.contentWindow.editor?.shown", PATIENCE
    )
    inside = next(frame for frame in page.frames if "/edit/" in frame.url)
    inside.locator("#points0").focus()
    page.keyboard.press("n")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowUp")
    edited = inside.evaluate("window.editor.points.sides[0]")
    wait_for(
        page,
        "() => document.querySelector('iframe').contentWindow.editor.link.flying === null",
        PATIENCE,
    )
    page.get_by_role("button", name="Use these landmarks").click()
    wait_for(
        page,
        f"() => window.studio.photograph('{FIRST}').version > {version}"
        f" && window.studio.isReady('{FIRST}')",
        PATIENCE,
    )
    after, _ = read_points(project / "points" / f"{FIRST}.json")
    assert torch.allclose(after, torch.tensor(edited, dtype=torch.float64), atol=1e-3)
    assert float((after - before).norm(dim=1).max()) == pytest.approx(40, abs=1)
    assert page.locator("iframe").count() == 0


def test_the_head_moves_as_python_moves_it(page, project, samples):
    page.evaluate(f"() => window.studio.select(['{SECOND}'])")
    show(page, "head")
    rest = canvas(page)
    page.get_by_role("searchbox", name="Search sliders").fill("jawopen")
    assert page.locator(".slider:visible").count() == 1
    move_slider(page, "exp jawOpen", 0.4)
    edits = page.evaluate("window.studio.view.edits")
    assert list(edits) == ["exp jawOpen"]
    shown = canvas(page)
    assert decibels(shown, rest) < 32
    person = Reenactor(samples[1], size=384)
    words = Edits(person.model, person.parameters, person.frame.width)
    expected = person(words.apply(f"exp jawOpen {edits['exp jawOpen']:.4g}"))
    assert decibels(shown, expected) > 30
    drawn = page.evaluate("window.studio.view.viewer.frames")
    page.get_by_role("searchbox", name="Search sliders").fill("smile")
    move_slider(page, "exp mouthSmileLeft", 0.5)
    moved = page.evaluate("window.studio.view.edits")
    assert moved["exp mouthSmileRight"] == moved["exp mouthSmileLeft"]  # both sides together
    wait_for(page, f"() => window.studio.view.viewer.frames > {drawn}", PATIENCE)
    page.get_by_role("searchbox", name="Search sliders").fill("")
    page.get_by_role("button", name="Reset").click()
    wait_for(page, SHOWN, PATIENCE)
    assert decibels(canvas(page), rest) > 45


def test_presets_keyboard_and_help(page):
    show(page, "head")
    page.get_by_role("button", name="Surprise").click()
    assert page.evaluate("window.studio.view.edits['exp eyeWideLeft']") > 0.5
    wait_for(page, SHOWN, PATIENCE)
    slider = page.get_by_label("Yaw", exact=True)
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("window.studio.view.edits['global_pose yaw']") == pytest.approx(3, abs=0.5)
    page.keyboard.press("Control+z")
    wait_for(page, SHOWN, PATIENCE)
    page.keyboard.press("F1")
    assert page.get_by_role("dialog").is_visible()
    assert "both sides together" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    page.locator("#tab-head").focus()
    page.keyboard.press("ArrowLeft")
    wait_for(page, "() => window.studio.current === 'morph'", PATIENCE)
    page.keyboard.press("2")
    wait_for(page, "() => window.studio.current === 'head'", PATIENCE)


def test_the_head_is_drawn_in_3d(page):
    show(page, "head")
    pictures = []
    for look in ("texture", "plain", "wireframe", "normals"):
        page.get_by_label("Look", exact=True).select_option(look)
        page.evaluate("() => new Promise(requestAnimationFrame)")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        wait_for(page, SHARP_MESH, PATIENCE)  # without a GPU coarse at first
        content = page.evaluate("() => window.sharpMesh")
        image = Image.open(io.BytesIO(base64.b64decode(content.split(",")[1])))
        pictures.append(np.asarray(image.convert("RGBA")).astype(float))
        assert 0.1 < (pictures[-1][..., 3] > 0).mean() < 0.9
    for first, second in itertools.pairwise(pictures):
        assert np.abs(first - second).mean() > 2
    page.get_by_label("Look", exact=True).select_option("texture")


def test_the_webcam_moves_the_photograph_and_is_recorded(page, project):
    page.evaluate(f"() => window.studio.select(['{SECOND}'])")
    show(page, "head")
    before = canvas(page)
    page.get_by_role("button", name="Webcam").click()
    wait_for(page, "() => window.studio.view.webcam.seen > 8", PATIENCE)
    page.get_by_role("button", name="Record").click()
    wait_for(
        page,
        "() => /[4-9] recorded|\\d\\d recorded/.test("
        "document.getElementById('status').textContent)",
        PATIENCE,
    )
    pictures = [canvas(page)]
    page.get_by_role("button", name="Stop recording").click()
    page.get_by_role("button", name="Webcam").click()
    assert decibels(pictures[0], before) < 45
    work = "() => [...window.studio.works.works.values()].pop()"
    wait_for(page, f"() => ['done', 'failed'].includes(({work})()?.state)", PATIENCE)
    made = page.evaluate(work)
    assert made["state"] == "done", made["text"]
    assert (project / "exports" / made["result"][0]).suffix == ".mp4"


def test_an_export_is_the_command_that_is_copied(page, project):
    page.evaluate(f"() => window.studio.select(['{FIRST}', '{SECOND}'])")
    show(page, "morph")
    known = page.evaluate("window.studio.works.works.size")
    page.get_by_text("Export", exact=True).first.click()
    page.get_by_role("button", name="Picture (PNG)").click()
    wait_for(page, f"() => window.studio.works.works.size > {known}", PATIENCE)
    work = "() => [...window.studio.works.works.values()].pop()"
    wait_for(page, f"() => ['done', 'failed'].includes(({work})()?.state)", PATIENCE)
    made = page.evaluate(work)
    assert made["state"] == "done", made["text"]
    picture = load_image(project / "exports" / made["result"][0])
    wait_for(page, SHOWN, PATIENCE)
    assert decibels(canvas(page), picture) > 34
    command = page.evaluate("() => [...window.studio.works.commands.values()].pop()")
    recipe = next(name for name in made["result"] if name.endswith(".recipe.yaml"))
    assert command.startswith("facemorph morph ")
    assert "morph" in (project / "exports" / recipe).read_text()


def test_pictures_join_the_library_and_bad_ones_say_why(page, tmp_path, samples):
    meadow, broken = tmp_path / "meadow.png", tmp_path / "broken.png"
    Image.new("RGB", (200, 160), (90, 120, 60)).save(meadow)
    broken.write_bytes(b"no picture")
    wait_for(page, SHOWN, PATIENCE)  # a picture that comes later takes the message away
    page.locator("#files").set_input_files([str(samples[0]), str(meadow), str(broken)])
    wait_for(
        page,
        "() => /2 of 3 files read/.test(document.getElementById('status').textContent)",
        PATIENCE,
    )
    wait_for(page, "() => window.studio.photographs.length === 4", PATIENCE)
    wait_for(page, FITTED, PATIENCE)
    assert "broken" in page.locator("#message").inner_text()
    states = page.evaluate("window.studio.photographs.map(one => [one.id, one.state])")
    assert dict(states) == {
        FIRST: "ready",
        SECOND: "ready",
        f"{FIRST}-2": "ready",
        "meadow": "failed",
    }
    failed = page.locator('[data-photograph="meadow"]')
    assert "no face" in failed.inner_text()
    # A click that has begun on one survives that the other goes meanwhile.
    page.evaluate("() => { window.studio.works.details.open = false; window.studio.say(''); }")
    page.get_by_label(f"Remove {FIRST}-2").hover()
    page.mouse.down()
    page.evaluate("() => window.studio.ask('studio.remove', {photograph: 'meadow'})")
    wait_for(page, "() => window.studio.photographs.length === 3", PATIENCE)
    page.mouse.up()
    wait_for(page, "() => window.studio.photographs.length === 2", PATIENCE)


def test_a_lost_connection_and_a_reload_lose_nothing(page, project):
    page.evaluate(f"() => window.studio.select(['{FIRST}'])")
    show(page, "head")
    page.get_by_role("button", name="Smile", exact=True).click()
    edits = page.evaluate("window.studio.view.edits")
    page.evaluate("() => window.studio.link.socket.close()")
    wait_for(
        page, "() => !document.body.classList.contains('lost') && window.studio.link.open", PATIENCE
    )
    assert page.evaluate("window.studio.view.edits") == edits
    wait_for(page, "() => !window.studio.unsaved && !window.studio.keeping", PATIENCE)
    begun = json.loads((project / "studio.json").read_text())["views"]
    assert begun["shell"]["view"] == "head"
    page.reload()
    wait_for(page, "() => !!(window.studio && window.studio.ready)", PATIENCE)
    wait_for(page, SHOWN, PATIENCE)
    assert page.evaluate("window.studio.current") == "head"
    assert page.evaluate("window.studio.view.edits") == edits
    assert page.evaluate("window.studio.selection") == [FIRST]


def test_two_windows(page, opened):
    other = page.context.browser.new_page()
    other.set_default_timeout(PATIENCE * 1000)
    try:
        other.goto(opened.server.url)
        wait_for(other, FITTED, PATIENCE)
        other.evaluate(f"() => window.studio.select(['{SECOND}'])")
        show(other, "head")
        show(page, "head")
        assert page.evaluate("window.studio.selection") != other.evaluate("window.studio.selection")
    finally:
        other.close()
    move_slider(page, "global_pose yaw", 0.7)
    assert page.evaluate("window.studio.view.edits['global_pose yaw']") > 0


def test_nothing_is_asked_of_others(opened, asked):
    host = opened.server.url.split("/")[2]
    assert asked
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {host}


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_accessibility(page, root, theme):
    axe = Path(os.environ.get("FACEMORPH_AXE", root / "node_modules/axe-core/axe.min.js"))
    if not axe.is_file():
        pytest.skip("axe-core is not here: npm install --no-save axe-core")
    if page.evaluate("document.documentElement.dataset.theme") != theme:
        page.locator("#theme").click()
    page.evaluate(axe.read_text())
    for view in page.evaluate("[...window.studio.tabs.keys()]"):
        page.locator(f"#tab-{view}").click()
        wait_for(
            page, f"() => !!(window.studio.current === '{view}' && window.studio.view)", PATIENCE
        )
        found = page.evaluate(
            "async () => (await axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']}))"
            ".violations.map(one => [one.id, one.help, one.nodes.slice(0, 3).map(n => n.html)])"
        )
        assert found == [], view
