"""Files that people drop into a page by mistake, or that want to break it: for ``bench monkey``."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder

LARGEST_CASE = 4_000_000  # bytes


def odd_files(more: Path | None = None) -> list[tuple[str, bytes]]:
    """Names and contents, good ones among them.

    Args:
        more: A folder whose files are added, where it is there.
    """
    photograph = (sample_folder() / PHOTOGRAPHS[0]).read_bytes()
    picture = Image.open(io.BytesIO(photograph)).convert("RGB")
    small = picture.resize((picture.width // 2, picture.height // 2))
    jpeg, deep = saved(small, "JPEG"), np.asarray(small.convert("L")).astype(np.uint16) * 257
    alpha = small.copy()
    alpha.putalpha(128)
    found = [
        ("face.jpg", jpeg),
        ("a face, with spaces é 顔.JPG", jpeg),
        ("../../up.jpg", jpeg),
        (f"{'long' * 60}.jpg", jpeg),
        (f"{'顔' * 90}.jpg", jpeg),
        ("empty.png", b""),
        ("cut.jpg", jpeg[: len(jpeg) // 2]),
        ("head only.jpg", jpeg[:40]),
        ("one pixel.png", saved(Image.new("RGB", (1, 1)), "PNG")),
        ("line.png", saved(Image.new("RGB", (3000, 1)), "PNG")),
        ("deep.png", saved(Image.fromarray(deep), "PNG")),
        ("print.jpg", saved(small.convert("CMYK"), "JPEG")),
        ("alpha.png", saved(alpha, "PNG")),
        ("palette.png", saved(small.convert("P"), "PNG")),
        ("meadow.png", saved(Image.new("RGB", (300, 200), (90, 120, 60)), "PNG")),
        ("huge.png", huge_header()),
        ("page.png", b"<!doctype html><script>alert(1)</script>"),
        ("vector.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        ("phone.heic", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(400)),
        ("points.json", b'{"scheme": "ibug68", "points": [[1, 2]]}'),
        ("face.pts", b"version: 1\nn_points: 3\n{\n1 2\n3.5 4\n-5 6e1\n}\n"),
        ("film.mp4", b"\x00\x00\x00\x18ftypmp42" + bytes(300)),
        ("numbers.npz", b"PK\x03\x04" + bytes(60)),
        ("nothing", b"no suffix"),
        (".png", jpeg),
        ("..", jpeg),
    ]
    if more is not None and more.is_dir():
        found += [
            (path.name, path.read_bytes())
            for path in sorted(more.rglob("*"))
            if path.is_file() and path.stat().st_size <= LARGEST_CASE
        ]
    return found


def saved(picture: Image.Image, kind: str) -> bytes:
    """The bytes of a picture's file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def huge_header() -> bytes:
    """A PNG of a few bytes that says it is 100,000 pixels wide and high."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in parts:
        content += struct.pack(">I", len(body)) + kind + body
        content += struct.pack(">I", zlib.crc32(kind + body))
    return content
