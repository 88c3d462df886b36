"""What a PNG file says of its own parts."""

from __future__ import annotations

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def parts_fit(content: bytes) -> bool:
    """Whether the lengths that a PNG's parts say they have stay within the file, up to the last:
    OpenCV takes memory for them before it reads.

    Args:
        content: The file, which begins with ``SIGNATURE``.
    """
    place, kind = len(SIGNATURE), b""
    while kind != b"IEND" and place < len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        kind = content[place + 4 : place + 8]
        place += 12 + length  # length, kind and check sum
    return place <= len(content)
