"""What a PNG file says of its own parts."""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_parts(content: bytes) -> None:
    """See that the lengths that a PNG's parts say they have stay within the file, up to the last:
    OpenCV takes memory for them before it reads.

    Args:
        content: A file; others than PNG are well.

    Raises:
        ValueError: One does not.
    """
    if not content.startswith(SIGNATURE):
        return
    place, kind = len(SIGNATURE), b""
    while kind != b"IEND" and place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        kind = content[place + 4 : place + 8]
        place += 12 + length  # length, kind and check sum
    if place > len(content):
        raise ValueError("its parts say that they are longer than the file")
