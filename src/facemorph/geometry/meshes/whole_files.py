"""Mesh files that their readers would take for empty, for points alone, or for whole ones."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from facemorph.errors import DataError

AGAIN = "Get it again, or save it anew in a mesh editor."
HEADER, TRIANGLE, COUNT = 84, 50, slice(80, 84)  # bytes of a binary STL
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
LOOKED_AT = 2000  # bytes in which a file of text is known


def check_whole(content: bytes, kind: str, path: Path) -> None:
    """See that a PLY or STL is what its header says, and in a form that is read.

    Args:
        content: The file.
        kind: Its suffix.
        path: Where it is, for the message.

    Raises:
        DataError: It is cut off, counts wrongly, or has its triangles in strips.
    """
    if kind == ".ply":
        _check_ply(content, path)
    elif kind == ".stl" and b"facet" not in content[:LOOKED_AT].lower():
        _check_stl(content, path)


def text_of_obj(content: bytes) -> bytes:
    """An OBJ as bytes of UTF-8, also from UTF-16, as some editors of Windows save it.

    Raises:
        ValueError: It is no text.
    """
    if content.startswith(UTF_16):
        return content.decode("utf-16").encode()
    begin = content[:LOOKED_AT]
    if len(begin) > 1 and (not any(begin[::2]) or not any(begin[1::2])):
        raise ValueError("UTF-16 without its mark, which is not read: save it as UTF-8")
    return content.removeprefix(codecs.BOM_UTF8)


def _check_ply(content: bytes, path: Path) -> None:
    header, end, body = content.partition(b"end_header")
    if not end:
        return  # no PLY, as its reader says
    if re.search(rb"element\s+tristrips\s", header) and not re.search(
        rb"element\s+face\s+0*[1-9]", header
    ):
        raise DataError(
            "the triangles of this mesh are in strips",
            where=path,
            expected="an element face",
            found="an element tristrips",
            remedy="Save it with single triangles in a mesh editor, such as MeshLab.",
        )
    if b"format ascii" not in header:
        return  # the reader sees the length of others
    expected = sum(int(count) for count in re.findall(rb"element\s+\S+\s+(\d+)", header))
    found = sum(1 for line in body.splitlines() if line.strip())
    if found < expected:
        raise DataError(
            "this mesh is cut off",
            where=path,
            expected=f"{expected} lines after its header",
            found=found,
            remedy=AGAIN,
        )


def _check_stl(content: bytes, path: Path) -> None:
    """Of bytes: 80 of them, the number of triangles, and 50 for each."""
    if len(content) < HEADER:
        raise DataError(
            "this mesh is cut off", where=path, found=f"{len(content)} bytes", remedy=AGAIN
        )
    said = int.from_bytes(content[COUNT], "little")
    there, left = divmod(len(content) - HEADER, TRIANGLE)
    if said != there or left:
        raise DataError(
            "this mesh is cut off, or counts its triangles wrongly",
            where=path,
            expected=f"{said} triangles, as it says",
            found=f"{there} and {left} bytes" if left else there,
            remedy=AGAIN,
        )
