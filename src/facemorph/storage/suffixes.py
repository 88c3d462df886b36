"""Kinds of files that are read and written, by their suffixes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def _optional_pictures() -> tuple[str, ...]:
    """Kinds of pictures that are read where the installed packages can, without loading them."""
    found: tuple[str, ...] = ()
    pillow = find_spec("PIL")
    folders = [] if pillow is None else pillow.submodule_search_locations or []
    if any(path for folder in folders for path in Path(folder).glob("_avif.*")):
        found += (".avif",)
    if find_spec("pillow_heif") is not None:
        found += (".heic", ".heif")
    return found


PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", *_optional_pictures())
STILLS = (".png", ".jpg", ".jpeg", ".webp")  # that are written
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv")  # that are written
CLEAR = (".png", ".webp")  # those of them that can hold transparency
LANDMARKS = (".tem", ".pts", ".json", ".csv")  # that are written
LANDMARK_FILES = (*LANDMARKS, ".ljson", ".xml", ".txt", ".npy")  # that are looked for in folders
VIDEOS = (*VIDEO_SUFFIXES, ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".gif")  # that are read
RECORDINGS = (".npz", ".csv", ".json", ".bvh")  # that drive a head, beside videos


def holds_alpha(output: str | Path | None) -> bool:
    """Whether an output can hold transparency: pictures of some kinds, folders of pictures, and
    what is not written at all.
    """
    suffix = "" if output is None else Path(output).suffix.lower()
    return suffix in ("", *CLEAR)
