"""The view Generate of the studio in headless Chromium: sliders, people, variations, a painted
texture, undo and reload by real pointer and keyboard.
"""

from __future__ import annotations

import base64
import io
import shlex

import numpy as np
import pytest
import torch
from helpers.studio_pages import PATIENCE, watched_studio
from PIL import Image

from facemorph.apps.generation.figures.figure_faces import at_rest
from facemorph.apps.generation.generated_faces import FaceGenerator, changed, drawn_faces
from facemorph.apps.generation.texture_editing import neural_texture, shown
from facemorph.bench.pages import browser
from facemorph.bench.pages.browser import wait_for

pytestmark = pytest.mark.skipif(browser.why_not() is not None, reason=str(browser.why_not()))
START = {"model": "gif", "folder": "", "seed": 1, "spread": 1, "edits": {}, "lamp": "own"}
DRAWN = """() => { const view = window.studio.view;
  return !!(view && view.shown && view.drawing.idle && view.shown.version === view.version); }"""
PICTURE = "() => window.studio.view.picture.toDataURL('image/png')"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    project = tmp_path_factory.mktemp("studio") / "project"
    with watched_studio(project, "generate") as opened:
        yield opened


@pytest.fixture
def page(opened):
    """The page with person 1 of GIF, at rest."""
    page = opened.page
    wait_for(page, DRAWN, PATIENCE)
    page.evaluate("start => window.studio.view.become(start)", START)
    wait_for(page, DRAWN, PATIENCE)
    return page


def view(page):
    return page.locator("#view-generate")


def drawn(page):
    wait_for(page, DRAWN, PATIENCE)
    data = base64.b64decode(page.evaluate(PICTURE).partition(",")[2])
    array = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255


def far(one, other):
    return float((one - other).abs().mean())


def now(page, name):
    return page.evaluate("name => window.studio.view.now[name]", name)


def slide(page, name, share):
    """Move a slider with the pointer to a share of its way."""
    track = view(page).locator(f'[data-slider="{name}"] input[type=range]')
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    x, y, width = box["x"] + 8, box["y"] + box["height"] / 2, box["width"] - 16
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + share * width, y, steps=5)
    page.mouse.up()


def test_a_slider_and_the_lamp_draw_what_python_draws(page):
    slide(page, "exp jawOpen", 0.4)
    view(page).get_by_label("Lamp").select_option("left")
    picture, edits = drawn(page), now(page, "edits")
    assert set(edits) == {"exp jawOpen"}
    generator = FaceGenerator.load("@open:gif")
    face = at_rest(drawn_faces(generator, 1, now(page, "seed"), 1.0, "all"))
    strength = {"jawOpen": edits["exp jawOpen"]}
    face = changed(generator, face, strength, None, None, "left")
    assert far(picture, next(iter(generator.pictures(face)))) < 0.02


def test_people_come_and_go_by_keyboard_and_undo(page):
    first, seed = drawn(page), now(page, "seed")
    page.keyboard.press("n")
    wait_for(page, f"() => window.studio.view.shown.seed !== {seed}", PATIENCE)
    assert far(drawn(page), first) > 0.02
    page.keyboard.press("Control+z")
    wait_for(page, f"() => window.studio.view.shown.seed === {seed}", PATIENCE)
    assert far(drawn(page), first) < 0.001
    field = view(page).get_by_label("Seed")
    field.fill("77")
    field.press("Enter")
    wait_for(page, "() => window.studio.view.shown.seed === 77", PATIENCE)


def test_a_variation_is_taken_and_stays_after_a_reload(page):
    wait_for(page, "() => !!window.studio.view.varied", PATIENCE)
    third = view(page).get_by_role("button", name="Variation 3")
    third.focus()
    page.keyboard.press("Enter")
    wait_for(page, "() => window.studio.view.shown.folder !== ''", PATIENCE)
    picture, folder = drawn(page), now(page, "folder")
    wait_for(page, "() => !window.studio.unsaved && !window.studio.keeping", PATIENCE)
    page.reload()
    wait_for(page, "() => !!(window.studio && window.studio.ready)", PATIENCE)
    wait_for(page, DRAWN, PATIENCE)
    assert now(page, "folder") == folder
    assert far(drawn(page), picture) < 0.001


def test_a_person_that_was_found_while_the_page_was_away_is_taken(page):
    page.evaluate("""() => { const view = window.studio.view; view.now.finding =
      {folder: 'exports/nobody_found', model: 'gif'}; window.studio.keepAsItIs('generate'); }""")
    wait_for(page, "() => !window.studio.unsaved && !window.studio.keeping", PATIENCE)
    page.reload()
    wait_for(page, "() => !!(window.studio && window.studio.ready)", PATIENCE)
    wait_for(page, DRAWN, PATIENCE)
    wait_for(page, "() => window.studio.view.now.finding?.folder === 'exports/nobody_found'")
    taken = """made => { const view = window.studio.view; let folder = null;
      view.become = changes => { folder = changes.folder; };
      view.worked({id: 7, state: 'done', result: [made]});
      delete view.become; return [folder, view.now.finding]; }"""
    other, waiting = page.evaluate(taken, "nobody_found-2/comparison.png")
    assert other is None
    assert waiting is not None
    assert page.evaluate(taken, "nobody_found/comparison.png") == ["exports/nobody_found", None]
    assert page.evaluate(taken, "nobody_found/comparison.png") == [None, None]


def test_a_painted_texture_is_worn(page, tmp_path):
    view(page).get_by_label("Model").select_option("varitex")
    wait_for(page, "() => window.studio.view.shown.model === 'varitex'", PATIENCE)
    before = drawn(page)
    generator = FaceGenerator.load("@open:varitex")
    face = at_rest(drawn_faces(generator, 1, now(page, "seed"), 1.0, "all"))
    painted = shown(neural_texture(generator, face), 256)
    painted[1] = 0.9
    path = tmp_path / "green.png"
    array = (painted * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(array).save(path)
    view(page).get_by_label("Painted texture").set_input_files(path)
    wait_for(page, "() => window.studio.view.shown.folder !== ''", PATIENCE)
    after = drawn(page)
    middle = (slice(40, 90), slice(44, 84))
    change = (after - before)[:, middle[0], middle[1]].mean((1, 2))
    assert change[1] > 0.1
    assert change[1] > 3 * change[[0, 2]].abs().max()
    page.keyboard.press("Control+z")
    wait_for(page, "() => window.studio.view.shown.folder === ''", PATIENCE)
    assert far(drawn(page), before) < 0.001


def test_what_is_wrong_is_said(page, tmp_path):
    path = tmp_path / "wide.png"
    Image.new("RGB", (64, 32)).save(path)
    view(page).get_by_label("Model").select_option("varitex")
    wait_for(page, "() => window.studio.view.shown.model === 'varitex'", PATIENCE)
    view(page).get_by_label("Painted texture").set_input_files(path)
    said = "document.getElementById('message').textContent"
    wait_for(page, f"() => {said}.includes('square')", PATIENCE)


def test_the_command_and_the_code(page, opened):
    view(page).get_by_role("button", name="Copy command").click()
    status = "document.getElementById('status').textContent"
    wait_for(page, f"() => {status}.includes('facemorph sample')", PATIENCE)
    words = shlex.split(page.evaluate(status).removeprefix("Copied: "))
    assert words[words.index("--checkpoint") + 1] == "@open:gif"
    view(page).locator("summary", has_text="Export").click()
    view(page).get_by_role("button", name="Code and parameters").click()
    wait_for(page, "() => window.studio.works.names.length > 0", PATIENCE)
    name = page.evaluate("window.studio.works.names[0]")
    assert (opened.project / "exports" / name).is_file()


def test_every_control_has_a_name(page):
    nameless = page.evaluate("""() => [...document.querySelectorAll(
      '#view-generate button, #view-generate input, #view-generate select')].filter(one =>
      !(one.getAttribute('aria-label') || one.textContent.trim() || one.closest('label')))
      .map(one => one.outerHTML)""")
    assert nameless == []
