"""A morph as one HTML page without any other file: a time slider, the figures, the
contact sheet.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from facemorph.faces.files.image_output import to_picture
from facemorph.jobs.pages.page import NO_PHOTOGRAPH, document, page_asset
from facemorph.storage.files import write_whole

LABELS = {
    "landmark_error_px": ("Landmark error", "px", "source landmarks carried to the target"),
    "alignment_px": (
        "Half-way alignment",
        "px",
        "distance of both landmark sets where they should meet",
    ),
    "heldout_landmark_error_px": (
        "Held-out landmark error",
        "px",
        "fitted on every other landmark, measured on the rest",
    ),
    "inverse_error_px": ("Inverse error, mean", "px", "half-way to either end and back"),
    "inverse_error_max_px": ("Inverse error, largest", "px", ""),
    "fold_over_percent": ("Fold-over", "%", "pixels of the half-way maps that turn over"),
    "min_determinant": ("Smallest area factor", "", "0 or less would be a fold"),
    "bending_energy": ("Bending energy", "", "mean squared second derivative of the half-way maps"),
    "identity_distance_a": (
        "Identity distance to A",
        "",
        "half-way picture; below 0.5 counts as the same person",
    ),
    "identity_distance_b": ("Identity distance to B", "", ""),
}


@dataclass
class ReportSection:
    """One morph of a report.

    Attributes:
        title: Heading.
        frames: Pictures ``(3, H, W)`` in [0, 1], from time 0 to time 1.
        metrics: The content of ``metrics.json``.
        sheet: Contact sheet ``(3, H, W)``.
        times: Time of each frame.
    """

    title: str
    frames: Sequence[Tensor]
    metrics: Mapping[str, Any]
    sheet: Tensor
    times: Sequence[float] = field(default_factory=list)


def write_report(
    sections: Sequence[ReportSection], path: str | Path, title: str = "Face morph"
) -> Path:
    """Write the page.

    Raises:
        OutputError: It cannot be written.
    """
    body = "\n".join(_section(section) for section in sections)
    page = document(title, body, footer=NO_PHOTOGRAPH, scripts=[page_asset("time_sliders.js")])
    path = Path(path)
    write_whole(path, page.encode())
    return path


def _section(section: ReportSection) -> str:
    frames_and_times = json.dumps(
        {
            "frames": [data_uri(frame, 88) for frame in section.frames],
            "times": [round(float(time), 4) for time in section.times],
        }
    )
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{_number(section.metrics[key])} {unit}</td>"
        f"<td class=note>{html.escape(note)}</td></tr>"
        for key, (name, unit, note) in LABELS.items()
        if section.metrics.get(key) is not None
    )
    seconds = section.metrics.get("seconds", {})
    spent = ", ".join(f"{html.escape(stage)} {value:.2f} s" for stage, value in seconds.items())
    middle = len(section.frames) // 2
    config = html.escape(
        json.dumps({key: section.metrics.get(key) for key in ("inputs", "config")}, indent=1)
    )
    return f"""<section><h2>{html.escape(section.title)}</h2><div class=two><div>
<img class=view alt="morph at the slider's time" src="{data_uri(section.frames[middle], 88)}">
<label>A <input type=range class=time min=0 max={len(section.frames) - 1} value={middle}
aria-label="time of the morph"> B</label><output class=shown></output></div>
<div><table>{rows}</table><p class=note>{spent}. px = 1/512 of the longer side.</p>
<details><summary>Inputs and settings</summary><pre>{config}</pre></details></div></div>
<img class=sheet alt="contact sheet" src="{data_uri(section.sheet, 90)}">
<script type="application/json" class=slider>{frames_and_times}</script></section>"""


def _number(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else html.escape(str(value))


def data_uri(image: Tensor, quality: int) -> str:
    """A picture ``(3, H, W)`` as the text of a JPEG that a page holds itself."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
