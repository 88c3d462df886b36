"""``facemorph bench editor``: the landmark editor in headless Chromium, driven by a real
pointer.
"""

from __future__ import annotations

import base64
import contextlib
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder
from facemorph.apps.studio.editor_preview import PreviewSolver
from facemorph.apps.studio.editor_session import open_session
from facemorph.bench.pages.browser import open_page, serving_page, wait_for, why_not
from facemorph.bench.photographs.frll import find_frll
from facemorph.bench.table import Row, missing, row
from facemorph.errors import MissingExtra
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.image_output import save_image
from facemorph.fields.image_fields import SplineImage
from facemorph.fields.warps.blended_pairs import warp_pair

FRLL_PAIR = ("001_03", "013_03")
BARS: dict[str, tuple[str | None, str]] = {
    "updates a second while dragging": (">= 12", "/s"),
    "pointer to draw, median": (None, "ms"),
    "pointer to draw, 95 % within": ("<= 90", "ms"),
    "server, median": (None, "ms"),
    "closed-loop round trips a second": (">= 30", "/s"),
    "release to final picture, slowest of 5": ("<= 300", "ms"),
    "WebGL against the Python renderer": (">= 38", "dB"),
}

CLOSED_LOOP = """async seconds => {
  const editor = window.editor, start = performance.now(), record = editor.record.bind(editor);
  const [x, y] = editor.points.sides[1][30];
  let drawn, count = 0;
  editor.record = line => { record(line); drawn(); };
  editor.beginDrag();
  while (performance.now() - start < seconds * 1000) {
    const done = new Promise(resolve => { drawn = resolve; });
    editor.drag(1, 30, [x + 6 * Math.sin(++count / 9), y], performance.now());
    await done;
  }
  const took = performance.now() - start;
  delete editor.record;
  editor.drag(1, 30, [x, y], performance.now());
  editor.endDrag();
  return count / took * 1000;
}"""
SETTLED = """() => { const editor = window.editor;
  return !!(editor && editor.shown && editor.shown.detail === 'still'
            && editor.shown.version === editor.points.version
            && editor.shown.time === editor.time); }"""
LAID_OUT = """() => window.editor.panels.every(panel =>
  panel.canvas.width === Math.round(panel.stage.clientWidth * panel.ratio)
  && panel.canvas.height === Math.round(panel.stage.clientHeight * panel.ratio))"""
PIXELS = """() => { const bytes = window.editor.view.pixels(); let text = '';
  for (let i = 0; i < bytes.length; i += 32768)
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text); }"""


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: FRLL; found by itself when None. Without it the two committed photographs are used.
    """
    reason = why_not()
    if reason is not None:
        return [missing(name, reason, bar) for name, (bar, _) in BARS.items()]
    inputs, label = pair_of(find_frll(folder))
    values = measure(inputs)
    return [row(f"{name} ({label})", values[name], unit, bar) for name, (bar, unit) in BARS.items()]


def pair_of(frll: Path | None) -> tuple[dict[str, Path], str]:
    """Inputs of the editor, and what to call them."""
    if frll is None:
        a, b = (sample_folder() / name for name in PHOTOGRAPHS)
        return {"a": a, "b": b}, "samples, 68 pairs"
    a, b = (frll / "neutral" / f"{name}.jpg" for name in FRLL_PAIR)
    return {
        "a": a,
        "b": b,
        "points_a": a.with_suffix(".tem"),
        "points_b": b.with_suffix(".tem"),
    }, "FRLL, 189 pairs"


def measure(inputs: dict[str, Path]) -> dict[str, float]:
    """The figure of each of ``BARS``."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(inputs, Path(scratch) / "points") as url,
        open_page(url) as page,
    ):
        wait_for(page, SETTLED)
        time.sleep(2)  # the other times are fetched
        psnr = peak_signal_to_noise(page, inputs)
        page.evaluate("window.editor.log.length = 0")
        seconds = drag(page, 4.0)
        log = np.array(page.evaluate("window.editor.log"))  # before the final pictures join it
        releases = release_waits(page)
        trips = page.evaluate(CLOSED_LOOP, 4)
    waited = log[:, 3] - log[:, 0]
    figures = (
        len(log) / seconds,
        statistics.median(waited),
        float(np.percentile(waited, 95)),
        statistics.median(log[:, 4]),
        trips,
        max(releases),
        psnr,
    )
    return dict(zip(BARS, figures, strict=True))


@contextlib.contextmanager
def serving(inputs: dict[str, Path], stem: Path) -> Iterator[str]:
    """``facemorph edit`` in a process of its own; its address."""
    words = ["edit", str(inputs["a"]), str(inputs["b"]), "-o", str(stem)]
    for key in ("points_a", "points_b"):
        if key in inputs:
            words += [f"--{key.replace('_', '-')}", str(inputs[key])]
    with serving_page(words) as page:
        yield page.url


def drag(page: Any, seconds: float, index: int = 30) -> float:
    """Drag a point of photograph B about, and let it go; the seconds that it took."""
    x, y = point_on_screen(page, 1, index)
    page.mouse.move(x, y)
    page.mouse.down()
    start, step = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step += 1
        page.mouse.move(x + 10 * math.sin(step / 12), y + 8 * (1 - math.cos(step / 12)))
        time.sleep(0.012)
    took = time.perf_counter() - start
    page.mouse.up()
    return took


def release_waits(page: Any, index: int = 30, releases: int = 5) -> list[float]:
    """Drag a point a few times more: milliseconds from each release to the final picture."""
    waits = []
    for turn in range(releases):
        wait_for(page, SETTLED)
        x, y = point_on_screen(page, 1, index)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 3 * (-1) ** turn, y, steps=4)
        page.mouse.up()
        waits.append(wait_for(page, SETTLED))
    return waits


def point_on_screen(page: Any, side: int, index: int) -> tuple[float, float]:
    """Where a point of photograph 0 or 1 is in the window, once the page has taken note of its
    size.
    """
    wait_for(page, LAID_OUT)
    box = page.locator(f"#points{side}").bounding_box()
    x, y = page.evaluate(
        "([side, index]) => { const panel = window.editor.panels[side];"
        " return panel.toScreen(window.editor.points.sides[side][index]); }",
        [side, index],
    )
    return box["x"] + x, box["y"] + y


def shown_picture(page: Any) -> Tensor:
    """What the page has drawn: ``(3, H, W)`` in [0, 1]."""
    width, height = page.evaluate(
        "[window.editor.view.canvas.width, window.editor.view.canvas.height]"
    )
    raw = np.frombuffer(base64.b64decode(page.evaluate(PIXELS)), np.uint8).reshape(height, width, 4)
    return torch.from_numpy(raw[..., :3].copy()).permute(2, 0, 1).float() / 255


def peak_signal_to_noise(page: Any, inputs: dict[str, Path]) -> float:
    """Decibels between what the page shows and the package's renderer for the same points."""
    state = page.evaluate(
        "(({points, time}) => ({points: points.sides, ids: points.ids, time}))(window.editor)"
    )
    with tempfile.TemporaryDirectory() as scratch:
        session = open_session(
            inputs["a"],
            inputs["b"],
            Path(scratch) / "points",
            points_a=inputs.get("points_a"),
            points_b=inputs.get("points_b"),
        )
    session.take(torch.tensor(state["points"], dtype=torch.float64), state["ids"])
    pair = session.pair
    with torch.no_grad():
        flow = PreviewSolver(pair.frame, session.smoothing).flow(*session.landmarks())
        first, second = warp_pair(
            flow, SplineImage(pair.image_a), SplineImage(pair.image_b), pair.frame, state["time"]
        )
    expected = torch.lerp(first, second, float(state["time"])).clamp(0, 1)
    error = float((shown_picture(page) - expected).square().mean())
    return -10 * math.log10(max(error, 1e-12))


def screenshot(path: str | Path) -> Path:
    """The editor with the two committed photographs, a pair selected and the face blended alone, as
    a picture.

    ``python -c "from facemorph.bench.pages.editor import screenshot;
    screenshot('docs/images/editor.jpg')"``

    Raises:
        MissingExtra: The page cannot be driven here.
    """
    reason = why_not()
    if reason is not None:
        raise MissingExtra("no screenshot can be made", found=reason)
    inputs, _ = pair_of(None)
    with (
        tempfile.TemporaryDirectory() as scratch,
        serving(inputs, Path(scratch) / "points") as url,
        open_page(url) as page,
    ):
        page.get_by_label("Face only").check()
        wait_for(page, SETTLED)
        x, y = point_on_screen(page, 1, 8)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x, y + 4, steps=4)
        page.mouse.up()
        wait_for(page, "window.editor.errors.length > 0 && window.editor.missingTime() === null")
        shot = Path(scratch) / "shot.png"
        page.screenshot(path=str(shot))
        return save_image(load_image(shot), path, synthetic=True, quality=90)
