"""A perceptual study as one HTML page without any other file, which keeps answers to itself."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from facemorph.jobs.pages.morph_page import data_uri
from facemorph.jobs.pages.page import document, page_asset
from facemorph.storage.files import write_whole

QUALITY = 92


@dataclass
class StudyPage:
    """What a page asks.

    Attributes:
        study: Name of the study.
        kind: ``ab`` or ``likert``.
        question: What is asked of each.
        scale: Highest rating.
        ends: What the lowest and the highest rating mean.
    """

    study: str
    kind: str
    question: str
    scale: int
    ends: tuple[str, str]


def write_study_page(
    page: StudyPage, questions: Sequence[Mapping[str, str | Tensor]], path: Path
) -> None:
    """Write the page; it does not tell which side is whose.

    Args:
        page: What is asked.
        questions: Of each ``id``, and pictures ``(3, H, W)`` by their place, from left to right.
        path: The file.

    Raises:
        OutputError: It cannot be written.
    """
    items = [
        {
            name: value if isinstance(value, str) else data_uri(value, QUALITY)
            for name, value in one.items()
        }
        for one in questions
    ]
    data = json.dumps({**asdict(page), "items": items}).replace("<", "\\u003c")
    body = (
        f"<main id=study><p id=question>{html.escape(page.question)}</p>"
        "<div id=shown></div><div id=answers></div><p class=note id=hint></p>"
        "<p id=progress aria-live=polite></p></main>"
        f'<script id=data type="application/json">{data}</script>'
    )
    written = document(
        "Study",
        body,
        footer="Pictures may be synthetic. Answers stay on this device until you hand them on.",
        scripts=[page_asset("study.js")],
    )
    write_whole(path, written.encode())
