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
from facemorph.jobs.pages.page import document, page_asset
from facemorph.jobs.records import FAILED, Row, Settings
from facemorph.storage.files import write_whole

FIGURES = {
    "error_percent": ("Landmark error", "% of the distance between the pupils"),
    "mean_mm": ("Distance to the scan, mean", "mm"),
    "percentile_95_mm": ("95 % of the face are nearer than", "mm"),
    "scan_percentile_95_mm": ("95 % of the scan's face are nearer than", "mm"),
    "share": ("Share of the scan's face within 2 mm", ""),
    "yaw": ("Yaw", "degrees"),
    "pitch": ("Pitch", "degrees"),
    "roll": ("Roll", "degrees"),
    "frames": ("Frames", ""),
    "missing": ("Frames without a face", ""),
    "segments": ("Pieces without a cut", ""),
}


class FitRow(Row, total=False):
    """What became of one input.

    ``stamp`` is that of the file and its landmark file, ``settings`` the key of what the fit
    follows from besides. Photographs and videos have ``error_percent`` of the distance between the
    pupils; photographs angles in degrees; videos numbers of frames; scans their
    distance, mean and 95th percentile, from the face to the scan and back, over the share of the
    face that is ``covered``, the ``share`` of the scan's face within 2 mm, and how the head lies in
    them: ``rotation``, ``shift`` and ``scale``.
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
    mean_mm: float
    percentile_95_mm: float
    covered: float
    scan_mean_mm: float
    scan_percentile_95_mm: float
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
    summary = f"<p>{counts['fitted']} fitted, {counts['failed']} failed.</p>"
    config = html.escape(json.dumps(settings, indent=1))
    details = f"<details><summary>Settings</summary><pre>{config}</pre></details>"
    path = Path(path)
    page = document(
        "Fitted faces",
        summary + body + details,
        footer="Rendered heads are synthetic images, made by facemorph.",
        scripts=[page_asset("turning_heads.js")],
    )
    write_whole(path, page.encode())
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
