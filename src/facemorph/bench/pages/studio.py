"""``facemorph bench studio``: the studio in headless Chromium, driven by a real pointer, with a
fake webcam.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from facemorph.apps.reenactment.reenactor import Reenactor
from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
from facemorph.bench.pages.browser import ServedPage, open_page, serving_page, wait_for, why_not
from facemorph.bench.table import Row, missing, row
from facemorph.errors import MissingExtra
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image, to_bytes

BARS: dict[str, tuple[str | None, str]] = {
    "cold start to a usable page with the samples fitted": ("<= 8", "s"),
    "the same, to the first careful morph": (None, "s"),
    "head slider, portrait warp at 384 px": (">= 12", "/s"),
    "the same, pointer to drawn, 95 % within": ("<= 120", "ms"),
    "the same by @open:gdpw": (">= 5", "/s"),
    "release to the newest sharp picture, slowest of 5": ("<= 400", "ms"),
    "webcam from a recorded clip": (">= 6", "/s"),
    "the same, lag, 95 % within": ("<= 400", "ms"),
    "generator slider, @open:gif at 128 px": (">= 8", "/s"),
    "the same by @open:varitex": (">= 8", "/s"),
    "component slider of @open:imface, coarse mesh": (">= 4", "/s"),
    "morph, time slider": (None, "/s"),
    "its pointer to drawn, 95 % within": (None, "ms"),
    "page weight, first load": ("<= 1.5", "MB"),
    "memory of the server after these": ("<= 2.5", "GiB"),
}
CLIP_FRAMES, CLIP_RATE, CLIP_SIZE = 75, 15, (320, 240)  # of the fake webcam
DRAG_SECONDS = 4.0
FAST = ("draft", "gif", "varitex", "coarse")  # what is drawn while a hand moves
STARTING = 300.0  # seconds: functions are compiled at the first start on a machine
SHOWN = """() => { const view = window.studio && window.studio.view;
  return !!(view && view.shown && view.shown.version === view.version
            && view.shown.detail !== 'draft' && view.drawing.idle); }"""
FITTED = """() => !!(window.studio && window.studio.ready && window.studio.photographs.length
  && window.studio.photographs.every(one => one.state !== 'waiting'))"""
# One picture after the other, each asked for when the one before is there.
CLOSED_LOOP = """async ([seconds, detail]) => {
  const view = window.studio.view, start = performance.now();
  let count = 0;
  while (performance.now() - start < seconds * 1000) {
    const value = (1 + Math.sin(++count / 5)) / 4;
    await view.drawNow({name: view.opened.name, edits: {'exp jawOpen': value}, detail,
                        asked: performance.now(), version: view.version});
  }
  return count / (performance.now() - start) * 1000;
}"""
TRANSFERRED = """() => performance.getEntriesByType('resource')
  .concat(performance.getEntriesByType('navigation'))
  .reduce((sum, one) => sum + one.transferSize, 0)"""


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: Not used; the suites share their options.
    """
    reason = why_not()
    if reason is not None:
        return [missing(name, reason, bar) for name, (bar, _) in BARS.items()]
    values = measure()
    return [row(name, values[name], unit, bar) for name, (bar, unit) in BARS.items()]


@dataclass(frozen=True)
class OpenStudio:
    """A studio that runs, and its page.

    Attributes:
        page: Of Playwright.
        server: What serves it.
        project: Its folder.
        began: ``perf_counter`` before it was started.
        ready: The same when the page could be used and all photographs had been looked at.
    """

    page: Any
    server: ServedPage
    project: Path
    began: float
    ready: float


@contextmanager
def open_studio(
    project: Path, view: str | None = None, arguments: tuple[str, ...] = ()
) -> Iterator[OpenStudio]:
    """The studio with its page open, ready when all photographs have been looked at.

    Args:
        project: Its folder.
        view: What is opened first.
        arguments: Further ones of the browser.
    """
    began = time.perf_counter()
    with (
        serving_page(["studio", "--project", str(project)]) as server,
        open_page(server.url, arguments=arguments) as page,
    ):
        wait_for(page, FITTED, STARTING)
        ready = time.perf_counter()
        if view is not None:
            page.locator(f"#tab-{view}").click()
        yield OpenStudio(page, server, project, began, ready)


def measure() -> dict[str, float]:
    """The figure of each of ``BARS``."""
    with tempfile.TemporaryDirectory() as scratch:
        clip = write_clip(Path(scratch) / "clip.y4m")
        with open_studio(Path(scratch) / "project", arguments=fake_webcam(clip)) as studio:
            page = studio.page
            wait_for(page, SHOWN)
            figures = [studio.ready - studio.began, time.perf_counter() - studio.began]
            weight = page.evaluate(TRANSFERRED) / 1e6
            morph = drag_slider(page, "time")
            page.locator("#tab-head").click()
            wait_for(page, SHOWN)
            rate, lag = drag_slider(page, "exp jawOpen")
            sharp = page.evaluate(CLOSED_LOOP, [DRAG_SECONDS, "sharp"])
            figures += [rate, lag, sharp, max(release_times(page))]
            figures += webcam(page)
            figures += others(page)
            figures += [*morph, weight, memory_of(studio.server.process)]
    return dict(zip(BARS, figures, strict=True))


def others(page: Any) -> list[float]:
    """Pictures a second of both generators, and meshes a second of the implicit faces."""
    page.locator("#tab-generate").click()
    found = []
    for model in ("gif", "varitex"):
        wait_for(page, SHOWN, STARTING)
        page.get_by_label("Model", exact=True).select_option(model)
        wait_for(page, f"() => window.studio.view.shown?.model === '{model}'", STARTING)
        wait_for(page, SHOWN, STARTING)
        found.append(drag_slider(page, "exp jawOpen")[0])
    page.locator("#tab-implicit").click()
    wait_for(page, "() => window.studio.view?.shown?.detail === 'fine'", STARTING)
    name = page.locator("#view-implicit .slider").first.get_attribute("data-slider")
    found.append(drag_slider(page, name)[0])
    return found


def drag_slider(page: Any, name: str, seconds: float = DRAG_SECONDS) -> tuple[float, float]:
    """Drag a slider to and fro.

    Returns:
        Pictures a second, and the milliseconds from the pointer to the drawn picture that 95 % stay
        below.
    """
    x, y, width = slider_on_screen(page, name)
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate("window.studio.log.length = 0")
    start, step = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step += 1
        page.mouse.move(x + width * (0.3 + 0.25 * math.sin(step / 20)), y)
        time.sleep(0.015)
    took = time.perf_counter() - start
    log = page.evaluate("window.studio.log")
    page.mouse.up()
    wait_for(page, SHOWN)
    waits = [milliseconds for _, milliseconds, detail in log if detail in FAST]
    return len(waits) / took, float(np.percentile(waits, 95)) if waits else float("nan")


def release_times(page: Any, count: int = 5) -> list[float]:
    """Milliseconds from letting a slider go to the newest sharp picture."""
    waits = []
    for turn in range(count):
        x, y, width = slider_on_screen(page, "exp mouthSmileLeft")
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + width * (0.2 + 0.1 * turn), y, steps=4)
        page.mouse.up()
        waits.append(wait_for(page, SHOWN))
    return waits


def slider_on_screen(page: Any, name: str) -> tuple[float, float, float]:
    """The left end of a slider in the window, and its width."""
    view = page.evaluate("window.studio.current")
    track = page.locator(f'#view-{view} [data-slider="{name}"] input[type=range]')
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    return box["x"] + 8, box["y"] + box["height"] / 2, box["width"] - 16


def webcam(page: Any, seconds: float = 8.0) -> tuple[float, float]:
    """Frames a second that the photograph follows, and the lag that 95 % of them stay below."""
    page.get_by_role("button", name="Webcam").click()
    wait_for(page, "() => window.studio.view.webcam.seen > 3")
    page.evaluate("() => { const cam = window.studio.view.webcam; cam.lags = []; cam.seen = 0; }")
    time.sleep(seconds)
    seen, lags = page.evaluate(
        "() => { const cam = window.studio.view.webcam; return [cam.seen, cam.lags]; }"
    )
    page.get_by_role("button", name="Webcam").click()
    return seen / seconds, float(np.percentile(lags, 95))


def fake_webcam(clip: Path) -> tuple[str, ...]:
    """Arguments of Chromium by which a clip is its webcam."""
    return (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={clip}",
    )


def write_clip(path: Path, frames: int = CLIP_FRAMES) -> Path:
    """A clip of a committed photograph that talks and turns, as Chromium takes it for a webcam."""
    person = Reenactor(sample_folder() / PHOTOGRAPHS[0], size=256)
    width, height = CLIP_SIZE
    with av.open(str(path), "w", format="yuv4mpegpipe") as container:
        stream = container.add_stream("rawvideo", rate=CLIP_RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            phase = number / frames * 2 * math.pi
            moved = person.parameters.with_expression(
                jawOpen=0.3 * math.sin(3 * phase) ** 2, browInnerUp=0.5 * math.sin(phase) ** 2
            )
            turned = moved.rotation + torch.tensor([[0.0, 0.25 * math.sin(phase), 0.0]])
            picture = person(replace(moved, rotation=turned))
            canvas = np.full((height, width, 3), 128, np.uint8)
            square = torch.nn.functional.interpolate(picture[None], (height, height))[0]
            left = (width - height) // 2
            canvas[:, left : left + height] = to_bytes(square)
            frame = av.VideoFrame.from_ndarray(canvas, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def memory_of(process: int) -> float:
    """Gibibytes of memory that a process holds."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 2**20
    return float("nan")


def screenshots(folder: str | Path) -> list[Path]:
    """Each view with the committed photographs, as ``studio-VIEW.jpg``.

    ``python -c "from facemorph.bench.pages.studio import screenshots; screenshots('docs/images')"``

    Raises:
        MissingExtra: The page cannot be driven here.
    """
    reason = why_not()
    if reason is not None:
        raise MissingExtra("no screenshot can be made", found=reason)
    made = []
    with tempfile.TemporaryDirectory() as scratch, open_studio(Path(scratch) / "p") as studio:
        page = studio.page
        for view in ("morph", "head", "generate", "implicit"):
            page.locator(f"#tab-{view}").click()
            wait_for(page, SHOWN, STARTING)
            if view in ("head", "generate"):
                page.locator(f"#view-{view}").get_by_role("button", name="Smile").click()
                wait_for(page, SHOWN, STARTING)
            if view == "implicit":
                page.locator("#view-implicit").get_by_role("button", name="New person").click()
                wait_for(page, "() => window.studio.view.shown?.detail === 'fine'", STARTING)
            time.sleep(2)  # variations
            shot = Path(scratch) / f"{view}.png"
            page.screenshot(path=str(shot))
            target = Path(folder) / f"studio-{view}.jpg"
            made.append(save_image(load_image(shot), target, synthetic=True, quality=88))
    return made
