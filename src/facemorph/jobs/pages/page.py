"""The frame of every page: one style sheet, and nothing that is loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Sequence

from facemorph.storage.files import ASSETS

NO_PHOTOGRAPH = (
    "Synthetic images, made by facemorph. "
    "Do not present a morph as the photograph of a real person."
)


def page_asset(name: str) -> str:
    """Text of a style sheet or script of ``assets/pages``."""
    return (ASSETS / "pages" / name).read_text(encoding="utf-8")


def document(title: str, body: str, *, footer: str, scripts: Sequence[str] = ()) -> str:
    """A whole HTML page.

    Args:
        title: Title and heading, as plain text.
        body: HTML of what the page shows.
        footer: Plain text below it.
        scripts: Scripts that run at its end.
    """
    shown = html.escape(title)
    code = "".join(f"<script>\n{script}</script>" for script in scripts)
    return (
        '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width='
        f'device-width"><title>{shown}</title><style>\n{page_asset("style.css")}</style>\n'
        f"<body><h1>{shown}</h1>{body}\n"
        f"<footer>{html.escape(footer)}</footer>\n{code}</body></html>\n"
    )
