"""What the landmark editor's page and its server say to each other: JSON requests, replies with
binary data.

A request is one JSON object: ``kind`` (``morph``, ``measure``, ``carry`` or ``save``), ``id``, the
``points`` of both photographs in their pixels, ``ids`` of the pairs (a number below the scheme's
count names a point of the scheme; larger ones were added), and what its kind needs. A reply with
data is the length of its JSON header as uint32, the header padded to a multiple of four bytes, and
the data, all little-endian.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.faces.files.landmark_formats import MAX_COORDINATE

MAX_MESSAGE = 256_000  # characters; a thousand pairs take about 80,000
MAX_PAIRS = 1000
MAX_ID = 2**31
KINDS = ("morph", "measure", "carry", "save")
DETAILS = ("drag", "still")


Header = Mapping[str, object]  # of a reply, as JSON has it


@dataclass(frozen=True)
class Request:
    """A checked request.

    Attributes:
        kind: One of ``KINDS``.
        id: Number that the reply repeats.
        points: ``(2, P, 2)`` float64 pixels of photograph A and of B; not yet clipped to them.
        ids: Number of each pair; all different.
        time: Of the morph, 0 to 1.
        detail: ``drag`` for a coarse lattice, ``still`` for the final one.
        mask: Whether the reply brings the soft mask of the face.
        picture: Whether the server draws the morph (JPEG) because the browser cannot.
        side: Of ``carry``: 0 where ``at`` lies in A, 1 where in B.
        at: Of ``carry``: ``(2,)`` pixels.
    """

    kind: str
    id: int
    points: Tensor
    ids: list[int]
    time: float = 0.5
    detail: str = "still"
    mask: bool = False
    picture: bool = False
    side: int = 0
    at: Tensor | None = None


def parse_request(text: str | None) -> Request:
    """Check a message from the page.

    Raises:
        DataError: It is none that the page would send; says what is wrong with it.
    """
    if text is None:
        raise DataError("not a request", expected="JSON text", found="binary data")
    content = read_object(text, MAX_MESSAGE)
    points = check_numbers(content.get("points"), "points", 3)
    if points.shape[0] != 2 or points.shape[2] != 2 or not 1 <= points.shape[1] <= MAX_PAIRS:
        raise DataError(
            "not the points of two photographs",
            where="points",
            found=points.shape,
            expected=f"(2, P, 2) with 1 to {MAX_PAIRS} pairs",
        )
    kind = _choice(content, "kind", KINDS, None)
    at = None
    if kind == "carry":
        at = torch.from_numpy(check_numbers(content.get("at"), "at", 1))
        if at.shape != (2,):
            raise DataError("not a point", where="at", expected="[x, y]", found=tuple(at.shape))
    time = content.get("time", 0.5)
    if isinstance(time, bool) or not isinstance(time, (int, float)) or not 0 <= time <= 1:
        raise DataError(
            "a morph has no such time", where="time", expected="0 to 1", found=repr(time)[:40]
        )
    return Request(
        kind,
        _whole(content.get("id"), "id"),
        torch.from_numpy(points),
        check_ids(content.get("ids"), points.shape[1]),
        float(time),
        _choice(content, "detail", DETAILS, "still"),
        content.get("mask") is True,
        content.get("picture") is True,
        1 if content.get("side") == 1 else 0,
        at,
    )


def read_object(text: str, most: int) -> dict[str, Any]:
    """A JSON object of at most so many characters.

    Raises:
        DataError: The text is something else.
    """
    if len(text) > most:
        raise DataError(
            "the request is too long", expected=f"at most {most} characters", found=len(text)
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            "not a request", expected="JSON", found=f"{type(error).__name__}: {error}"[:80]
        ) from error
    if not isinstance(content, dict):
        raise DataError("not a request", expected="a JSON object", found=type(content).__name__)
    return content


def request_id(text: str | None) -> int | None:
    """The number of a request that may be wrong in other ways; None where it has none."""
    try:
        return _whole(json.loads(text or "")["id"], "id")
    except (ValueError, KeyError, TypeError, RecursionError, DataError):
        return None


def pack(header: Header, data: bytes) -> bytes:
    """A reply with binary data, see the module's text."""
    text = json.dumps(header, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return len(text).to_bytes(4, "little") + text + data


def check_numbers(value: Any, where: str, dimensions: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """An array of finite numbers with so many dimensions, float64.

    Raises:
        DataError: The value is something else.
    """
    try:
        array = np.array(value)
    except ValueError as error:  # rows of different lengths
        raise DataError("not a table of numbers", where=where, found=str(error)[:60]) from error
    if array.dtype.kind not in "if" or array.ndim != dimensions:
        raise DataError(
            "not a table of numbers",
            where=where,
            expected=f"{dimensions} dimensions",
            found=f"{array.dtype} with {array.ndim}",
        )
    exact = array.astype(np.float64)
    if not np.isfinite(exact).all() or (np.abs(exact) > MAX_COORDINATE).any():
        raise DataError(
            "not coordinates", where=where, expected=f"finite numbers below {MAX_COORDINATE:g}"
        )
    return exact


def check_ids(value: Any, count: int) -> list[int]:
    """``count`` different whole numbers.

    Raises:
        DataError: The value is something else.
    """
    if not isinstance(value, list) or len(value) != count:
        raise DataError(
            "not a number for each pair",
            where="ids",
            expected=f"a list of {count}",
            found=len(value) if isinstance(value, list) else type(value).__name__,
        )
    ids = [_whole(one, "ids") for one in value]
    if len(set(ids)) != count:
        raise DataError("two pairs have one number", where="ids")
    return ids


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_ID:
        raise DataError(
            "not a whole number", where=where, expected=f"0 to {MAX_ID - 1}", found=repr(value)[:40]
        )
    return value


def _choice(content: Header, key: str, allowed: tuple[str, ...], otherwise: str | None) -> str:
    value = content.get(key, otherwise)
    if value not in allowed:
        raise DataError(
            "no such choice", where=key, expected=" | ".join(allowed), found=repr(value)[:40]
        )
    return str(value)
