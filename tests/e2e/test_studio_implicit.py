"""The view Implicit of the studio in headless Chromium: sliders, people, another's expression, a
scan that is dropped in, by real pointer and keyboard.
"""

from __future__ import annotations

import base64

import numpy as np
import pytest
import torch
from helpers.studio_pages import PATIENCE, watched_studio

from facemorph.apps.implicit.codes import draw_codes
from facemorph.apps.implicit.face_meshes import load_imface
from facemorph.apps.studio.views.implicit_faces import FINE
from facemorph.bench.pages import browser
from facemorph.bench.pages.browser import wait_for
from facemorph.geometry.meshes.mesh_files import Mesh, ply_bytes
from facemorph.geometry.scans.scan_placement import UNIT
from facemorph.systems.imface.code_statistics import expression_table, principal_components
from facemorph.systems.imface.evaluation import ImFaceEvaluation

pytestmark = pytest.mark.skipif(browser.why_not() is not None, reason=str(browser.why_not()))
START = {"folder": "", "seed": -1, "spread": 1, "edits": {}, "expression": -1, "giver": -1}
FINEST = """() => { const view = window.studio.view;
  return !!(view && view.shown && view.drawing.idle && view.shown.version === view.version
            && view.shown.detail === 'fine'); }"""
PLACES = """() => { const {buffer, byteOffset, byteLength} = window.studio.view.viewer.places.array;
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768)
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text); }"""
COVERED = """() => { const canvas = window.studio.view.canvas;
  const copy = document.createElement('canvas');
  copy.width = canvas.width; copy.height = canvas.height;
  const context = copy.getContext('2d');
  context.drawImage(canvas, 0, 0);
  const bytes = context.getImageData(0, 0, copy.width, copy.height).data;
  let covered = 0;
  for (let i = 3; i < bytes.length; i += 4) covered += bytes[i] > 0;
  return covered / (copy.width * copy.height); }"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    project = tmp_path_factory.mktemp("studio") / "project"
    with watched_studio(project, "implicit") as opened:
        yield opened


@pytest.fixture
def page(opened):
    """The page with the mean face."""
    page = opened.page
    wait_for(page, FINEST, PATIENCE)
    page.evaluate("start => window.studio.view.become(start)", START)
    wait_for(page, FINEST, PATIENCE)
    return page


@pytest.fixture(scope="module")
def system():
    return load_imface("@open:imface")


def view(page):
    return page.locator("#view-implicit")


def places(page):
    """Vertices of what is shown, in millimetres."""
    corners = np.frombuffer(base64.b64decode(page.evaluate(PLACES)), np.float32).reshape(-1, 6)
    return torch.from_numpy(corners[:, :3].copy())


def now(page, name):
    return page.evaluate("name => window.studio.view.now[name]", name)


def slider(page, name):
    track = view(page).locator(f'[data-slider="{name}"] input[type=range]')
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    return box["x"] + 8, box["y"] + box["height"] / 2, box["width"] - 16


def test_the_mean_face_is_there_and_drawn(page, system):
    mean = draw_codes(system, count=1, expression=0)[0]
    expected = system.surface(mean.identity, mean.expression, FINE[-1]).mesh.vertices * UNIT
    assert torch.allclose(places(page), expected.float(), atol=1e-3)
    assert 0.1 < page.evaluate(COVERED) < 0.9


def test_a_component_follows_the_hand_and_is_sharp_when_it_rests(page, system):
    x, y, width = slider(page, "expression 1")
    page.evaluate("() => { window.studio.log.length = 0; }")
    page.mouse.move(x + width / 2, y)
    page.mouse.down()
    for step in range(1, 12):
        page.mouse.move(x + width * (0.5 + 0.03 * step), y)
    wait_for(page, "() => window.studio.log.length > 0", PATIENCE)
    coarse = len(places(page))
    page.mouse.up()
    wait_for(page, FINEST, PATIENCE)
    value = now(page, "edits")["expression 1"]
    assert value > 0.5
    found = principal_components(expression_table(system).flatten(0, 1), 1)
    mean = draw_codes(system, count=1, expression=0)[0]
    shown = mean.expression + value * found.deviations[0] * found.directions[0]
    evaluation = ImFaceEvaluation(system.field, mean.identity, shown)
    vertices = places(page)
    assert float(evaluation.distance(vertices / UNIT).abs().max()) * UNIT < 1
    assert len(vertices) > 5 * coarse


def test_people_by_keyboard_undo_and_reload(page, system):
    page.evaluate("() => { Math.random = () => 0.4; }")  # always the same person
    page.keyboard.press("n")
    wait_for(page, "() => window.studio.view.shown.seed >= 0", PATIENCE)
    wait_for(page, FINEST, PATIENCE)
    seed = now(page, "seed")
    drawn = draw_codes(system, count=1, seed=seed, expression=0)[1]
    evaluation = ImFaceEvaluation(system.field, drawn.identity, drawn.expression)
    assert float(evaluation.distance(places(page) / UNIT).abs().max()) * UNIT < 1
    page.keyboard.press("Control+z")
    wait_for(page, "() => window.studio.view.shown.seed === -1", PATIENCE)
    page.keyboard.press("Control+y")
    wait_for(page, f"() => window.studio.view.shown.seed === {seed}", PATIENCE)
    wait_for(page, "() => !window.studio.unsaved && !window.studio.keeping", PATIENCE)
    page.reload()
    wait_for(page, "() => !!(window.studio && window.studio.ready)", PATIENCE)
    wait_for(page, FINEST, PATIENCE)
    assert now(page, "seed") == seed


def test_another_expression_is_worn(page, system):
    field = view(page).locator("label.field", has_text="Expression").locator("select")
    field.select_option("2")
    wait_for(page, "() => window.studio.view.shown.expression === 2", PATIENCE)
    wait_for(page, FINEST, PATIENCE)
    mean, table = draw_codes(system, count=1, expression=0)[0], expression_table(system).mean(1)
    shown = mean.expression + table[2] - table[0]
    evaluation = ImFaceEvaluation(system.field, mean.identity, shown)
    assert float(evaluation.distance(places(page) / UNIT).abs().max()) * UNIT < 1


def test_a_broken_scan_is_refused_and_a_scan_is_listed(page, opened, system, tmp_path):
    broken = tmp_path / "broken.ply"
    broken.write_bytes(b"no mesh")
    files = view(page).get_by_label("Scan files")
    files.set_input_files(broken)
    said = "document.getElementById('message').textContent"
    wait_for(page, f"() => {said}.includes('broken')", PATIENCE)
    codes = draw_codes(system, count=1, seed=4, expression=0)[1]
    mesh = system.surface(codes.identity, codes.expression, 32).mesh
    scan = tmp_path / "somebody.ply"
    scan.write_bytes(ply_bytes(Mesh(mesh.vertices * UNIT, mesh.faces)))
    files.set_input_files(scan)
    running = "[...window.studio.works.works.values()].filter(one => one.label.startsWith('Fit'))"
    wait_for(page, f"() => {running}.length === 1", PATIENCE)
    work = page.evaluate(f"{running}[0].id")
    page.evaluate("id => window.studio.ask('studio.cancel', {work: id})", work)
    wait_for(page, f"() => {running}[0].state === 'cancelled'", PATIENCE)
    assert (opened.project / "scans" / "somebody.ply").read_bytes() == scan.read_bytes()
    assert not list((opened.project / "scans").glob("broken*"))


def test_every_control_has_a_name(page):
    nameless = page.evaluate("""() => [...document.querySelectorAll(
      '#view-implicit button, #view-implicit input, #view-implicit select')].filter(one =>
      !(one.getAttribute('aria-label') || one.textContent.trim() || one.closest('label')))
      .map(one => one.outerHTML)""")
    assert nameless == []
