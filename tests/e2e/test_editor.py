"""The landmark editor as a user has it: the command in a process, its page in headless Chromium,
real pointer drags.
"""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.request
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from helpers import forked

from facemorph.bench.pages import browser
from facemorph.bench.pages import editor as drive
from facemorph.faces.files.landmark_files import read_points

needs_browser = pytest.mark.skipif(drive.why_not() is not None, reason=str(drive.why_not()))
SETTLED = drive.SETTLED


def wait_for(page, condition):
    return drive.wait_for(page, condition, patience=300)


@pytest.fixture(scope="module")
def stem(tmp_path_factory):
    return tmp_path_factory.mktemp("editor") / "points"


@pytest.fixture(scope="module")
def inputs(root):
    return {
        "a": root / "data/sample/sample_collins.png",
        "b": root / "data/sample/sample_hopper.png",
    }


@pytest.fixture(scope="module")
def asked():
    return []


@pytest.fixture(scope="module")
def url(inputs, stem):
    with drive.serving(inputs, stem) as url:
        yield url


@pytest.fixture(scope="module")
def opened(url, asked):
    with drive.open_page(url, asked) as page:
        page.set_default_timeout(300_000)
        yield page


@pytest.fixture
def page(opened):
    """The page as it was at the beginning."""
    wait_for(opened, SETTLED)
    opened.evaluate(
        "() => { while (window.editor.points.undo()); window.editor.select(-1); "
        "window.editor.changed(); }"
    )
    wait_for(opened, SETTLED)
    return opened


def points(page):
    return np.array(page.evaluate("window.editor.points.sides"))


def drag(page, side, index, by, steps=6):
    x, y = drive.point_on_screen(page, side, index)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=steps)
    page.mouse.up()


def scale(page, side):
    return page.evaluate("side => window.editor.panels[side].view.scale", side)


@needs_browser
def test_a_drag_changes_the_points_and_the_morph_and_undo_takes_it_back(page):
    before, picture = points(page), drive.shown_picture(page)
    drag(page, 1, 30, (20, 12))
    wait_for(page, SETTLED)
    after = points(page)
    expected = before.copy()
    expected[1, 30] += np.array([20, 12]) / scale(page, 1)
    assert np.abs(after - expected).max() < 0.02
    assert float((drive.shown_picture(page) - picture).abs().max()) > 0.05
    page.keyboard.press("Control+z")
    wait_for(page, SETTLED)
    assert np.array_equal(points(page), before)
    assert torch.equal(drive.shown_picture(page), picture)
    page.keyboard.press("Control+y")
    assert np.array_equal(points(page), after)


@needs_browser
def test_the_morph_follows_while_dragging(page):
    x, y = drive.point_on_screen(page, 0, 8)
    page.evaluate("window.editor.log.length = 0")
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 4):
        page.mouse.move(x, y + 5 * step)
        wait_for(page, f"window.editor.log.length >= {step}")
    detail = page.evaluate("window.editor.shown.detail")
    page.mouse.up()
    assert detail == "drag"
    wait_for(page, SETTLED)


@needs_browser
def test_newest_state_wins_and_one_request_is_in_flight(page):
    wait_for(page, "window.editor.missingTime() === null && !window.editor.link.flying")
    most, shown, version = page.evaluate("""async () => {
      const editor = window.editor, link = editor.link, send = link.socket.send.bind(link.socket);
      let flying = 0, most = 0;
      const receive = link.receive.bind(link);
      link.socket.send = text => { most = Math.max(most, ++flying); send(text); };
      link.receive = reply => { flying--; receive(reply); };
      editor.beginDrag();
      const [x, y] = editor.points.sides[0][30];
      for (let i = 1; i <= 200; i++) editor.drag(0, 30, [x + i / 20, y], performance.now());
      editor.endDrag();
      const wanted = editor.points.version;
      const done = () => editor.shown.version === wanted && editor.shown.detail === 'still';
      while (!done()) await new Promise(r => setTimeout(r, 5));
      delete link.socket.send; delete link.receive;
      return [most, editor.shown.version, wanted]; }""")
    assert most == 1
    assert shown == version


@needs_browser
def test_adding_and_deleting_pairs(page):
    before = points(page)
    x, y = drive.point_on_screen(page, 0, 27)
    page.keyboard.down("Alt")
    page.mouse.click(x, y - 40)
    page.keyboard.up("Alt")
    wait_for(page, "window.editor.points.count === 69")
    wait_for(page, SETTLED)
    added = points(page)
    # The other end of the pair is where the warp already had it: the warp stays nearly as it was.
    other = added[1, 68] - before[1, 27]
    assert abs(other[0]) < 30
    assert other[1] < 0
    wait_for(page, "window.editor.errors.length === 69")
    assert page.evaluate("window.editor.errors[68]") < 1
    page.keyboard.press("Delete")
    assert np.array_equal(points(page), before)
    page.get_by_role("button", name="Add pair").click()
    x, y = drive.point_on_screen(page, 1, 8)
    page.mouse.click(x, y + 30)
    wait_for(page, "window.editor.points.count === 69")
    assert page.evaluate("window.editor.points.ids[68]") == 68
    page.evaluate("window.editor.select(10)")
    page.get_by_role("button", name="Delete pair").click()
    assert points(page).shape[1] == 68
    wait_for(page, "document.getElementById('status').textContent.includes('ibug68')")


@needs_browser
def test_keyboard(page):
    before = points(page)
    page.locator("#points1").focus()
    for key in ("n", "n", "p", "n", "ArrowRight", "Shift+ArrowUp"):
        page.keyboard.press(key)
    expected = before.copy()
    expected[1, 1] += [1, -10]
    assert np.abs(points(page) - expected).max() < 1e-9
    page.keyboard.press("l")
    assert page.evaluate("window.editor.showNumbers")
    page.keyboard.press("l")
    page.keyboard.press("a")
    wait_for(page, "window.editor.points.count === 69")
    assert page.evaluate("document.activeElement.id") == "points1"
    wait_for(page, "document.getElementById('status').textContent.startsWith('Pair 68')")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "time"


@needs_browser
def test_zoom_about_the_pointer_and_pan(page):
    before = points(page)
    x, y = drive.point_on_screen(page, 0, 40)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    wait_for(page, "window.editor.panels[0].fitted === false")
    now = drive.point_on_screen(page, 0, 40)
    assert max(abs(now[0] - x), abs(now[1] - y)) < 1
    box = page.locator("#points0").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 35, box["y"] + 25, steps=3)
    page.mouse.up()
    moved = drive.point_on_screen(page, 0, 40)
    assert np.allclose(np.subtract(moved, now), [30, 20], atol=0.5)
    page.locator("#points0").focus()
    page.keyboard.press("0")
    assert np.array_equal(points(page), before)


@needs_browser
def test_the_slider_needs_no_server_after_an_edit(page, inputs):
    wait_for(page, "window.editor.missingTime() === null")
    seen = []
    for value in ("0", "0.37", "1"):
        page.evaluate("window.editor.log.length = 0")
        page.locator("#time").fill(value)
        wait_for(page, SETTLED)
        assert page.evaluate("window.editor.log.length") == 0
        assert drive.peak_signal_to_noise(page, inputs) > 38
        seen.append(drive.shown_picture(page))
    assert float((seen[0] - seen[2]).abs().mean()) > 0.02
    page.locator("#time").fill("0.5")
    wait_for(page, SETTLED)


@needs_browser
def test_webgl_is_the_python_picture(page, inputs):
    assert drive.peak_signal_to_noise(page, inputs) > 38
    drag(page, 0, 8, (0, 15))
    wait_for(page, SETTLED)
    assert drive.peak_signal_to_noise(page, inputs) > 38


@needs_browser
def test_the_face_alone(page):
    whole = drive.shown_picture(page)
    page.get_by_label("Face only").check()
    wait_for(page, SETTLED)
    wait_for(page, "window.editor.view.last[2] === true")
    face = drive.shown_picture(page)
    page.get_by_label("Face only").uncheck()
    wait_for(page, "window.editor.view.last[2] === false")
    centre = (slice(None), slice(240, 260), slice(240, 260))
    assert float((face - whole)[centre].abs().max()) < 0.02
    assert float((face - whole)[:, :40].abs().mean()) > 0.05  # the background is A's alone


@needs_browser
def test_points_without_a_warp_say_why_and_the_picture_stays(page):
    picture = drive.shown_picture(page)
    page.evaluate("""() => { const editor = window.editor; editor.points.remember();
      editor.points.sides[1] = editor.points.sides[1].map(([x, y]) => [512 - x, y]);
      editor.points.version++; editor.changed(); }""")
    wait_for(page, "document.getElementById('message').textContent.includes('mirror')")
    assert torch.equal(drive.shown_picture(page), picture)
    page.keyboard.press("Control+z")
    wait_for(page, SETTLED)
    wait_for(page, "document.getElementById('message').textContent === ''")
    wait_for(page, "document.getElementById('folds').textContent === '0.00 %'")


@needs_browser
def test_narrow_windows(page):
    page.set_viewport_size({"width": 400, "height": 800})
    wait_for(page, "document.getElementById('stage0').clientWidth < 400")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.set_viewport_size(browser.VIEWPORT)
    wait_for(page, "document.getElementById('stage0').clientWidth > 400")


@needs_browser
def test_saving(page, stem):
    before = page.evaluate("window.editor.points.sides")
    drag(page, 0, 30, (5, 5))
    wait_for(page, SETTLED)
    wait_for(page, "document.title.startsWith('•')")
    # asks before leaving
    assert page.evaluate("!window.dispatchEvent(new Event('beforeunload', {cancelable: true}))")
    page.keyboard.press("Control+s")
    wait_for(page, "!window.editor.unsaved")
    assert not page.evaluate("!window.dispatchEvent(new Event('beforeunload', {cancelable: true}))")
    found = points(page)
    for side, name in enumerate("ab"):
        for suffix in ("json", "tem", "pts"):
            read, _ = read_points(stem.with_name(f"points.{name}.{suffix}"))
            assert np.abs(read.numpy() - found[side]).max() < 1e-9
    assert np.abs(found[0, 30] - before[0][30] - 5 / scale(page, 0)).max() < 0.02
    with page.expect_download() as download:
        page.locator("#downloads summary").click()
        page.locator("a[href='points/b.tem']").click()
    assert np.abs(read_points(stem.with_name("points.b.tem"))[0].numpy() - found[1]).max() < 1e-9
    assert download.value.suggested_filename.endswith(".tem")
    page.locator("#downloads summary").click()


@needs_browser
def test_without_webgl_the_server_draws(opened, url):
    page = opened.context.browser.new_page(viewport=browser.VIEWPORT)
    page.set_default_timeout(300_000)
    page.goto(url + "?mode=jpeg")
    wait_for(page, SETTLED)
    assert page.evaluate("document.getElementById('picture').naturalWidth") == 384
    old = page.evaluate("document.getElementById('picture').src")
    drag(page, 1, 30, (15, 0))
    wait_for(page, SETTLED)
    assert page.evaluate("document.getElementById('picture').src") != old
    page.keyboard.press("Control+z")
    wait_for(page, SETTLED)
    page.close()


@needs_browser
def test_no_request_leaves_the_host(page, asked, url):
    home = urlsplit(url)
    assert len(asked) > 8
    for one in asked:
        address = urlsplit(one)
        assert address.scheme in ("blob", "data") or address.netloc == home.netloc, one


def test_the_command_ends_well(inputs, tmp_path):
    pytest.importorskip("uvicorn", reason="needs the extra ui")
    words = ["edit", inputs["a"], inputs["b"], "-o", "points", "--no-browser"]
    server = forked.start("-m", "facemorph.cli", *words, folder=tmp_path)
    limit = time.monotonic() + 600
    while "\n" not in server.output and server.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    address = re.search(r"http://127\.0\.0\.1:\S+", server.output.splitlines()[0])[0]
    # The socket listens before the server does: what is answered is served.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address) as page:
        assert page.status == 200
    server.send_signal(signal.SIGINT)
    _, error = server.communicate(timeout=900)
    assert server.returncode == 0, error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


@needs_browser
def test_ctrl_c_keeps_unsaved_points(opened, inputs, tmp_path):
    page = opened.context.browser.new_page(viewport=browser.VIEWPORT)
    page.set_default_timeout(300_000)
    with drive.serving(inputs, tmp_path / "points") as url:
        page.goto(url)
        wait_for(page, SETTLED)
        drag(page, 1, 30, (10, 0))
        wait_for(page, SETTLED)
        expected = page.evaluate("window.editor.points.sides")
    wait_for(page, "document.getElementById('message').textContent.includes('does not answer')")
    page.close()
    kept = json.loads((tmp_path / "points.autosave.json").read_text())
    assert kept["points"] == expected
