"""Files of a folder as people expect them: in the order of their numbers, without hidden ones, and
with a word on pictures that are not read.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

# Pictures of cameras, phones and programs that have to be saved as others first.
PHONES = (".heic", ".heif", ".avif")
CAMERAS = (".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf")
PROGRAMS = (".jp2", ".j2k", ".jxl", ".gif", ".svg", ".psd", ".xcf", ".eps", ".ai")
NOT_READ = (*PHONES, *CAMERAS, *PROGRAMS)

logger = logging.getLogger(__name__)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sorts names by the numbers in them: ``img2`` before ``img10``.

    >>> sorted(map(Path, ["img10.png", "img2.png", "Img1.png"]), key=natural_key)[0].name
    'Img1.png'
    """
    parts = re.split(r"(\d+)", path.as_posix().casefold())
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]


def listed(folder: Path, suffixes: Sequence[str], *, deep: bool = False) -> list[Path]:
    """Files of a folder with some suffixes, whatever their case, in natural order.

    Hidden files and those in hidden folders (macOS leaves ``._name.jpg``) are left aside. Pictures
    of kinds that are not read are counted in a warning.

    Args:
        folder: An existing one.
        suffixes: In lower case, with their dots.
        deep: Whether folders in it are looked into.
    """
    found: list[Path] = []
    others: Counter[str] = Counter()
    for path in folder.rglob("*") if deep else folder.iterdir():
        inside = path.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts) or not path.is_file():
            continue
        suffix = path.suffix.lower()
        if suffix in suffixes:
            found.append(path)
        elif suffix in NOT_READ:
            others[suffix[1:].upper()] += 1
    if others:
        counts = ", ".join(f"{kind} {count}" for kind, count in sorted(others.items()))
        total = sum(others.values())
        phones = any(f".{kind.lower()}" in PHONES for kind in others)
        logger.warning(
            "%s: %d %s not read (%s); save %s as JPEG or PNG%s.",
            folder,
            total,
            "files are" if total > 1 else "file is",
            counts,
            "them" if total > 1 else "it",
            ", or pip install pillow-heif (HEIC), pillow 12 (AVIF)" if phones else "",
        )
    return sorted(found, key=lambda path: natural_key(path.relative_to(folder)))
