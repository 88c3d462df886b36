"""A folder of pictures as one HTML page: sorted by any metric, filtered by name; it asks nothing of
the network.
"""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from facemorph.jobs.pages.page import NO_PHOTOGRAPH, document, page_asset
from facemorph.storage.files import write_whole


def write_gallery(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    title: str,
    summary: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page.

    Args:
        rows: For each picture ``file`` (a path, or one relative to the page), ``name`` and any
            numbers.
        path: The page.
        title: Heading.
        summary: Numbers of all pictures together.

    Returns:
        The path.

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(path)
    metrics = sorted({key for row in rows for key, value in row.items() if _is_number(value)})
    items = [
        {
            "src": _address(row["file"], path.parent),
            "name": str(row["name"]),
            **{key: row.get(key) if _is_number(row.get(key)) else None for key in metrics},
        }
        for row in rows
    ]
    figures = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(_shown(value))}</td></tr>"
        for key, value in (summary or {}).items()
    )
    # "<" cannot end the script element early when it is written as an escape.
    data = json.dumps({"items": items, "metrics": metrics}).replace("<", "\\u003c")
    page = document(
        title,
        f"<table>{figures}</table>{CONTROLS}"
        f'<script type="application/json" id=data>{data}</script>',
        footer=NO_PHOTOGRAPH,
        scripts=[page_asset("gallery.js")],
    )
    write_whole(path, page.encode())
    return path


def _address(file: str | Path, folder: Path) -> str:
    relative = os.path.relpath(file, folder) if Path(file).is_absolute() else str(file)
    return quote(relative.replace(os.sep, "/"))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


CONTROLS = """<div class=bar><label>Sort by <select id=key></select></label>
<label><input type=checkbox id=down> largest first</label>
<label>Name <input id=filter type=search placeholder="part of a name"></label>
<output id=count></output></div><div id=grid></div>
"""
