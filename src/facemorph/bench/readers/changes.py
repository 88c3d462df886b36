"""Random changes of a file's bytes, the same for the same seed."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable

PIECE = 64  # bytes that are taken out, doubled or moved at once
MENDED = 0.5  # share of changes behind whose checksums a reader is led
PNG, ZIP = b"\x89PNG\r\n\x1a\n", b"PK\x03\x04"
# What length fields, counters and numbers in text are set to.
LENGTHS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x00FFFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
NUMBERS = (b"0", b"-1", b"9" * 30, b"1e999", b"-1e999", b"nan", b"1e-320", b"65536", b"2147483648")
TEXTS = tuple(
    b'\0 \xff \xef\xbb\xbf " { } ] , null true ${ % &a&b \xed\xa0\x80 !!python/x:y'.split()
)
TEXTS += (b"\n", b"\r", b"&a *a", b"[" * 5000)

Bytes = bytearray
Change = Callable[[Bytes, random.Random], None]


def changed(content: bytes, seed: str) -> bytes:
    """A damaged copy of a file.

    Args:
        content: The file.
        seed: What the changes follow from; see `seed_of`.
    """
    chance = random.Random(seed)  # noqa: S311
    if chance.random() < MENDED and content.startswith(ZIP):
        return _zip_with_a_changed_member(content, chance)
    found = _changed(content, chance)
    if chance.random() < MENDED and found.startswith(PNG):
        return _png_with_its_checksums(found)
    return found


def seed_of(seed: int, reader: str, index: int) -> str:
    """What the changes of one input of a reader follow from."""
    return f"{seed} {reader} {index}"


def _changed(content: bytes, chance: random.Random) -> bytes:
    found = Bytes(content)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        chance.choice(CHANGES)(found, chance)
    return bytes(found)


def _place(content: Bytes, chance: random.Random) -> int:
    """Anywhere, and often in the first bytes, where headers are."""
    most = len(content) if chance.random() < 2 / 3 else min(len(content), 2 * PIECE)
    return chance.randrange(most + 1)


def _flip(content: Bytes, chance: random.Random) -> None:
    if content:
        content[_place(content, chance) % len(content)] ^= 1 << chance.randrange(8)


def _set(content: Bytes, chance: random.Random) -> None:
    if content:
        content[_place(content, chance) % len(content)] = chance.randrange(256)


def _insert(content: Bytes, chance: random.Random) -> None:
    at = _place(content, chance)
    content[at:at] = chance.randbytes(chance.randint(1, PIECE))


def _insert_text(content: Bytes, chance: random.Random) -> None:
    at = _place(content, chance)
    content[at : at + chance.randrange(3)] = chance.choice(TEXTS)


def _delete(content: Bytes, chance: random.Random) -> None:
    at = _place(content, chance)
    del content[at : at + chance.randint(1, PIECE)]


def _double(content: Bytes, chance: random.Random) -> None:
    at = _place(content, chance)
    content[at:at] = content[at : at + chance.randint(1, PIECE)] * chance.choice((1, 1, 50))


def _truncate(content: Bytes, chance: random.Random) -> None:
    del content[chance.randrange(len(content) + 1) :]


def _swap(content: Bytes, chance: random.Random) -> None:
    size = min(chance.randint(1, PIECE), len(content) // 2)
    if size:
        a = chance.randrange(len(content) - 2 * size + 1)
        b = chance.randrange(a + size, len(content) - size + 1)
        content[a : a + size], content[b : b + size] = (
            content[b : b + size],
            content[a : a + size],
        )


def _set_length(content: Bytes, chance: random.Random) -> None:
    kind = chance.choice(["<H", ">H", "<I", ">I", "<q", ">q", "<i"])
    value = chance.choice(LENGTHS) % (1 << (8 * struct.calcsize(kind) - 1))
    at = _place(content, chance)
    content[at : at + struct.calcsize(kind)] = struct.pack(kind, value)


def _set_number(content: Bytes, chance: random.Random) -> None:
    """Another number in the place of one in text."""
    at = _place(content, chance)
    near = re.compile(rb"-?\d+(\.\d+)?").search(bytes(content[at : at + 40 * PIECE]))
    if near:
        content[at + near.start() : at + near.end()] = chance.choice(NUMBERS)


CHANGES: tuple[Change, ...] = (
    _flip,
    _set,
    _insert,
    _insert_text,
    _delete,
    _double,
    _truncate,
    _swap,
    _set_length,
    _set_number,
)


def _zip_with_a_changed_member(content: bytes, chance: random.Random) -> bytes:
    """One file of an archive is changed, and the archive is whole."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        names = old.namelist()
        chosen = chance.choice(names)
        for name in names:
            data = old.read(name)
            new.writestr(name, _changed(data, chance) if name == chosen else data)
    return stream.getvalue()


def _png_with_its_checksums(content: bytes) -> bytes:
    """The chunks as their lengths say, each with its right sum."""
    found, at = Bytes(content), len(PNG)
    while at + 12 <= len(found):
        (length,) = struct.unpack(">I", found[at : at + 4])
        end = at + 8 + length
        if end + 4 > len(found):
            break
        found[end : end + 4] = struct.pack(">I", zlib.crc32(found[at + 4 : end]))
        at = end + 4
    return bytes(found)
