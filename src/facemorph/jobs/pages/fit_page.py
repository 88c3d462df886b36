"""Fitted faces as one HTML page without any other file: overlays, figures, and heads that turn when
dragged.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from facemorph.jobs.pages.morph_page import data_uri
from facemorph.jobs.records import FAILED, Row, Settings
from facemorph.storage.files import write_whole

FIGURES = {
    "error_percent": ("Landmark error", "% of the distance between the pupils"),
    "distance_mm": ("Distance to the scan, median", "mm"),
    "yaw": ("Yaw", "degrees"),
    "pitch": ("Pitch", "degrees"),
    "roll": ("Roll", "degrees"),
    "frames": ("Frames", ""),
    "missing": ("Frames without a face", ""),
    "segments": ("Pieces without a cut", ""),
}


class FitRow(Row, total=False):
    """What became of one input.

    ``stamp`` is that of the file and its landmark file, ``settings`` the key of what the fit follows
    from besides. Photographs and videos have ``error_percent`` of the distance between the pupils;
    photographs angles in degrees; videos numbers of frames; scans their median ``distance_mm``, and
    how the head lies in them: ``rotation``, ``shift`` and ``scale``.
    """

    file: str
    stamp: str
    settings: str
    error_percent: float
    yaw: float
    pitch: float
    roll: float
    frames: int
    missing: int
    segments: int
    frames_per_second: float
    first_frame: int
    last_frame: int
    distance_mm: float
    share: float
    scale: float
    rotation: list[float]
    shift: list[float]
    landmarks: str


@dataclass
class FitSection:
    """One input of a report.

    Attributes:
        row: Its row of ``fit.json``.
        sheet: Overlays ``(3, H, W)``; None where it failed, and late in a long list: the page links
            to the file.
        table: Rows (pitch) of columns (yaw) of pictures; None without.
        mesh: Small picture of the shaded head.
    """

    row: FitRow
    sheet: Tensor | None = None
    table: Sequence[Sequence[Tensor]] | None = None
    mesh: Tensor | None = None


def write_fit_report(
    sections: Sequence[str], counts: Mapping[str, int], path: str | Path, settings: Settings
) -> Path:
    """Write the page.

    Args:
        sections: What ``section_html`` gives for each input.
        counts: How many are fitted and failed.
        path: Of the page.
        settings: What is shown as such.

    Raises:
        OutputError: It cannot be written.
    """
    body = "\n".join(sections)
    head, tail = PAGE.split("{{body}}")
    summary = f"<p>{counts['fitted']} fitted, {counts['failed']} failed.</p>"
    config = html.escape(json.dumps(settings, indent=1))
    details = f"<details><summary>Settings</summary><pre>{config}</pre></details>"
    path = Path(path)
    write_whole(path, (head + summary + body + details + tail).encode())
    return path


def section_html(section: FitSection) -> str:
    """One input as a part of the page."""
    row, title = section.row, html.escape(Path(section.row["file"]).name)
    if row.get("status") == FAILED:
        return (
            f"<section class=failed><h2>{title}</h2><p>{html.escape(row['reason'])}</p></section>"
        )
    shown: Mapping[str, Any] = dict(row)
    figures = "".join(
        f"<tr><th>{name}</th><td>{shown[key]:.4g}</td><td class=note>{unit}</td></tr>"
        for key, (name, unit) in FIGURES.items()
        if shown.get(key) is not None
    )
    files = ", ".join(
        f'<a href="{html.escape(name, quote=True)}">{html.escape(name)}</a>'
        for name in row["files"]
    )
    table = ""
    if section.table is not None:
        frames = json.dumps([[data_uri(frame, 82) for frame in line] for line in section.table])
        table = (
            '<figure class=table tabindex=0 role=img aria-label="textured head: drag it, or use '
            'the arrow keys">'
            f'<img alt="" draggable=false><figcaption>drag, or arrow keys</figcaption>'
            f'<script type="application/json">{frames}</script></figure>'
        )
    sheet = (
        ""
        if section.sheet is None
        else f'<img class=sheet alt="overlays" src="{data_uri(section.sheet, 88)}">'
    )
    return (
        f"<section><h2>{title}</h2><div class=two>{table}<div><table>{figures}</table><p "
        f"class=note>{files}</p>"
        f"</div></div>{sheet}</section>"
    )


PAGE = """<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">
<title>Fitted faces</title><style>
body{font:16px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1c1c22;
background:#fafafa}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.5rem}.two{display:flex;gap:1.5rem;flex-wrap:wrap}
.two>div{flex:1 1 22rem}img{max-width:100%;border-radius:6px}.sheet{margin-top:1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .5rem;
border-bottom:1px solid #ddd;font-weight:400}td:nth-child(2){font-variant-numeric:tabular-nums;white-space:nowrap}
figure.table{margin:0;cursor:grab;touch-action:none;user-select:none}figure.table:active{cursor:grabbing}
figure.table img{display:block;width:20rem}figcaption,.note{color:#666;font-size:.85rem}
.failed p{color:#8a1f11}pre{overflow:auto;font-size:.75rem;background:#eee;padding:.6rem}
footer{margin:3rem 0;color:#666}
</style><body><h1>Fitted faces</h1>{{body}}
<footer>Rendered heads are synthetic images, made by facemorph.</footer>
<script>
for (const figure of document.querySelectorAll("figure.table")) {
  const frames = JSON.parse(figure.querySelector("script").textContent), view = figure.querySelector("img");
  const last = [frames.length - 1, frames[0].length - 1], place = [last[0] / 2, last[1] / 2];
  let from = null;
  const show = () => {
    const at = place.map((value, axis) => Math.min(last[axis], Math.max(0, Math.round(value))));
    view.src = frames[at[0]][at[1]];
    figure.dataset.row = at[0];
    figure.dataset.column = at[1];
  };
  const move = (rows, columns) => {
    place[0] = Math.min(last[0], Math.max(0, place[0] + rows));
    place[1] = Math.min(last[1], Math.max(0, place[1] + columns));
    show();
  };
  figure.addEventListener("pointerdown", (event) => {
    from = [event.clientX, event.clientY];
    figure.setPointerCapture(event.pointerId);
  });
  figure.addEventListener("pointermove", (event) => {
    if (!from) return;
    const width = view.clientWidth || 320;
    move((event.clientY - from[1]) / width * last[0] * 1.5, (event.clientX - from[0]) / width * last[1] * 1.2);
    from = [event.clientX, event.clientY];
  });
  for (const name of ["pointerup", "pointercancel"]) figure.addEventListener(name, () => { from = null; });
  figure.addEventListener("keydown", (event) => {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    move(...step);
  });
  show();
}
</script></body></html>
"""
