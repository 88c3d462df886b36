"""What the studio's page and its server say to each other, and the checks on what comes in.

A request is a JSON object with ``id``, ``kind`` (``head.draw``) and what its kind needs; with
binary data it is packed as `editor_wire.pack` does. A reply repeats ``id`` and ``kind``; what is
wrong with a request is a reply of kind ``error``. Events have no ``id``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from facemorph.apps.studio.editor_wire import Header, check_numbers, read_object
from facemorph.errors import DataError

MAX_TEXT = 256_000  # characters of a request without data
MAX_DATA = 8_000_000  # bytes of a message: a frame of a webcam takes about 60,000
MAX_ID = 2**31
MAX_NAMES = 2000  # values of a request that are given by name

Answer = Header | tuple[Header, bytes]
Handler = Callable[["Request"], Answer]


@dataclass(frozen=True)
class Request:
    """A request of the page; its methods read one value each and refuse what is none.

    Attributes:
        id: Number that the reply repeats.
        kind: What is wanted: ``view.action``.
        content: The JSON object.
        data: Bytes that came with it.
        window: Number of the browser window that asks; what is kept for one window alone, such as
            the state of a webcam, is kept by it.
    """

    id: int
    kind: str
    content: Mapping[str, Any]
    data: bytes = b""
    window: int = 0

    def number(self, name: str, low: float, high: float, otherwise: float | None = None) -> float:
        """A finite number between two others.

        Raises:
            DataError: It is none, or missing without an ``otherwise``.
        """
        value = self.content.get(name, otherwise)
        return as_number(value, name, low, high)

    def whole(self, name: str, low: int, high: int, otherwise: int | None = None) -> int:
        """A whole number between two others, both included.

        Raises:
            DataError: It is none, or missing without an ``otherwise``.
        """
        value = self.content.get(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise DataError(
                "not such a whole number",
                where=name,
                expected=f"{low} to {high}",
                found=_shown(value),
            )
        return value

    def text(self, name: str, otherwise: str | None = None, longest: int = 500) -> str:
        """A text.

        Raises:
            DataError: It is none, too long, or missing without an ``otherwise``.
        """
        value = self.content.get(name, otherwise)
        if not isinstance(value, str) or len(value) > longest:
            raise DataError(
                "not such a text",
                where=name,
                expected=f"at most {longest} characters",
                found=_shown(value),
            )
        return value

    def choice(self, name: str, allowed: tuple[str, ...], otherwise: str | None = None) -> str:
        """One of some texts.

        Raises:
            DataError: It is another one.
        """
        value = self.content.get(name, otherwise)
        if value not in allowed or not isinstance(value, str):
            raise DataError(
                "no such choice", where=name, expected=" | ".join(allowed), found=_shown(value)
            )
        return value

    def flag(self, name: str) -> bool:
        """Whether a name is ``true``; false when missing."""
        return self.content.get(name) is True

    def texts(self, name: str, most: int = 500) -> list[str]:
        """A list of texts, empty when missing.

        Raises:
            DataError: It is no list, too long, or holds something else.
        """
        value = self.content.get(name, [])
        if (
            not isinstance(value, list)
            or len(value) > most
            or not all(isinstance(one, str) and len(one) <= 4096 for one in value)
        ):
            raise DataError(
                "not a list of names", where=name, expected=f"at most {most}", found=_shown(value)
            )
        return value

    def numbers(self, name: str, length: int | None = None) -> list[float]:
        """A list of finite numbers, of a length when one is given.

        Raises:
            DataError: It is something else.
        """
        values = check_numbers(self.content.get(name), name, 1).tolist()
        if length is not None and len(values) != length:
            raise DataError("not so many numbers", where=name, expected=length, found=len(values))
        return [float(value) for value in values]

    def values(self, name: str) -> dict[str, float]:
        """Finite numbers by name, empty when missing.

        Raises:
            DataError: It is something else.
        """
        found = self.content.get(name, {})
        if not isinstance(found, dict) or len(found) > MAX_NAMES:
            raise DataError(
                "not values by name", where=name, expected="an object", found=_shown(found)
            )
        return {key: as_number(value, f"{name} {key}"[:80]) for key, value in found.items()}


def as_number(value: Any, where: str, low: float = -1e6, high: float = 1e6) -> float:
    """A finite number between two others.

    Raises:
        DataError: The value is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise DataError(
            "not such a number",
            where=where,
            expected=f"{low:g} to {high:g}",
            found=_shown(value),
        )
    return float(value)


def read_request(message: str | bytes, window: int = 0) -> Request:
    """A message of the page, checked as far as every kind needs it.

    Raises:
        DataError: It is none that the page would send; says what is wrong with it.
    """
    data = b""
    if isinstance(message, str):
        text = message
    else:
        if len(message) > MAX_DATA:
            raise DataError(
                "the message is too long",
                expected=f"at most {MAX_DATA} bytes",
                found=len(message),
            )
        length = int.from_bytes(message[:4], "little")
        if not 2 <= length <= len(message) - 4:
            raise DataError("not a request", expected="a header and data", found="other bytes")
        text, data = message[4 : 4 + length].decode("utf-8", "replace"), message[4 + length :]
    content = read_object(text, MAX_TEXT)
    draft = Request(0, "", content, data, window)
    return Request(draft.whole("id", 0, MAX_ID), draft.text("kind"), content, data, window)


def id_of(message: str | bytes) -> int | None:
    """The number of a request that may be wrong in other ways; None where it has none."""
    try:
        return read_request(message).id
    except DataError:
        return None


def _shown(value: Any) -> str:
    """A value from outside, short enough for a message."""
    return repr(value)[:60]
