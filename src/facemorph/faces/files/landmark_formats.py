"""Parsers of the kinds of landmark files, from text to lists of points."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facemorph.errors import DataError

MAX_COORDINATE = 1e9
MAX_BYTES = 4_000_000  # far above every landmark file: a larger one is something else


def read_text(path: Path) -> str:
    """Text of a landmark file, which is refused where it is too large for one, or no text."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                "too large for a landmark file",
                where=path,
                expected=f"at most {MAX_BYTES} bytes",
                found=size,
            )
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("landmark file not found", where=path, remedy="Check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(
            "not a text file",
            where=path,
            expected="UTF-8 text",
            found=f"byte {error.object[error.start]:#04x} at {error.start}",
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise DataError(f"landmark file cannot be read: {error}", where=path) from error


def shown(value: object) -> str:
    """A value for a message; of a container only its type, because YAML's references can make it
    endless.
    """
    return (
        repr(value)[:40]
        if isinstance(value, (str, int, float, type(None)))
        else type(value).__name__
    )


def _number(value: Any, where: str) -> float:
    try:
        wrong_kind = isinstance(value, bool) or not isinstance(value, (str, int, float))
        number = math.nan if wrong_kind else float(value)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or abs(number) > MAX_COORDINATE:
        raise DataError(
            "not a coordinate", where=where, expected="a finite number", found=shown(value)
        )
    return number


def _pair(parts: Sequence[Any], where: str) -> list[float]:
    if len(parts) != 2:
        raise DataError("not a point", where=where, expected="two numbers", found=len(parts))
    return [_number(part, where) for part in parts]


def _count(text: str, path: Path, line: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise DataError(
            f"not a number of {what}",
            where=f"{path}, line {line}",
            expected="a whole number",
            found=repr(text)[:40],
        )
    return int(text)


def _numbered_lines(text: str) -> list[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1."""
    return [
        (number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]


def _take_points(lines: list[tuple[int, str]], count: int, path: Path) -> list[list[float]]:
    if count > len(lines):
        raise DataError(
            "points are missing", where=path, expected=count, found=f"{len(lines)} lines"
        )
    return [_pair(line.split(), f"{path}, line {number}") for number, line in lines[:count]]


def read_tem(path: Path, text: str) -> tuple[list[list[float]], str | None]:
    """Points of a webmorph or psychomorph template; it names no scheme."""
    return _parse_tem(path, text)[0], None


def _parse_tem(path: Path, text: str) -> tuple[list[list[float]], list[str]]:
    """Points and the checked text of the line section."""
    lines = _numbered_lines(text)
    if not lines:
        raise DataError("template is empty", where=path, expected="a number of points")
    count = _count(lines[0][1], path, lines[0][0], "points")
    rows = _take_points(lines[1:], count, path)
    rest = lines[1 + count :]
    if not rest:  # templates without lines exist
        return rows, ["0"]
    curves = _count(rest[0][1], path, rest[0][0], "lines")
    if len(rest) != 1 + 3 * curves:
        raise DataError(
            "line section does not fit its count",
            where=f"{path}, line {rest[0][0]}",
            expected=f"{3 * curves} rows",
            found=len(rest) - 1,
        )
    for start in range(1, len(rest), 3):
        (closed_at, closed), (length_at, length), (at, members) = rest[start : start + 3]
        indices = [_count(part, path, at, "a point") for part in members.split()]
        if closed not in ("0", "1"):
            raise DataError(
                "not a closed flag",
                where=f"{path}, line {closed_at}",
                expected="0 or 1",
                found=closed[:40],
            )
        if len(indices) != _count(length, path, length_at, "points of a line"):
            raise DataError(
                "line has another number of points",
                where=f"{path}, line {at}",
                expected=length,
                found=len(indices),
            )
        if max(indices, default=0) >= max(count, 1):
            raise DataError(
                "line names a point that does not exist",
                where=f"{path}, line {at}",
                expected=f"indices below {count}",
                found=max(indices),
            )
    return rows, [line for _, line in rest]


def tem_line_section(path: Path, count: int) -> list[str]:
    """The lines of a template that join its points, which must be ``count``."""
    rows, lines = _parse_tem(path, read_text(path))
    if len(rows) != count:
        raise DataError(
            "template of the lines has another number of points",
            where=path,
            expected=count,
            found=len(rows),
        )
    return lines


def read_pts(path: Path, text: str) -> tuple[list[list[float]], str | None]:
    """Points between the braces of an iBUG file; it names no scheme."""
    lines = _numbered_lines(text)
    start = next((index for index, (_, line) in enumerate(lines) if line == "{"), None)
    end = next((index for index, (_, line) in enumerate(lines) if line == "}"), None)
    if start is None or end is None or end < start:
        raise DataError(
            "not a .pts file",
            where=path,
            expected="points between the lines { and }",
            found="no such lines" if start is None else "no line } after {",
        )
    rows = [
        _pair(line.split(), f"{path}, line {number}") for number, line in lines[start + 1 : end]
    ]
    for number, line in lines[:start]:
        if line.startswith("n_points"):
            declared = _count(line.partition(":")[2].strip(), path, number, "points")
            if declared != len(rows):
                raise DataError(
                    "n_points does not fit",
                    where=f"{path}, line {number}",
                    expected=declared,
                    found=len(rows),
                )
    return rows, None


def read_json(path: Path, text: str) -> tuple[list[list[float]], str | None]:
    """Points of a JSON file: a list of pairs, or an object that names the scheme too."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        raise DataError(
            "not a JSON file", where=f"{path}, line {line}", found=str(error)[:80]
        ) from error
    points, scheme = (
        (content.get("points"), content.get("scheme"))
        if isinstance(content, dict)
        else (content, None)
    )
    if not isinstance(points, list) or not isinstance(scheme, (str, type(None))):
        raise DataError(
            "not a list of points",
            where=path,
            expected='{"scheme": "ibug68", "points": [[x, y], ...]}',
            found=type(points).__name__,
        )
    return pairs(points, path), scheme


def pairs(points: list[Any], path: Path) -> list[list[float]]:
    """Points of a parsed list; a message names the index, which such files have instead
    of lines.
    """
    for index, point in enumerate(points):
        if not isinstance(point, list):
            raise DataError(
                "not a point",
                where=f"{path}, point {index}",
                expected="[x, y]",
                found=shown(point),
            )
    return [_pair(point, f"{path}, point {index}") for index, point in enumerate(points)]


def read_csv(path: Path, text: str) -> tuple[list[list[float]], str | None]:
    """Points of a table of x and y, with or without a header; a comment may name the scheme."""
    scheme: str | None = None
    rows: list[list[float]] = []
    header = False
    try:
        for number, line in _numbered_lines(text):
            if line.startswith("#"):
                key, _, value = line[1:].partition(":")
                scheme = value.strip() or None if key.strip() == "scheme" else scheme
                continue
            parts = [part.strip() for part in next(csv.reader(io.StringIO(line)))]
            if not header and not rows and [part.lower() for part in parts] == ["x", "y"]:
                header = True
                continue
            rows.append(_pair(parts, f"{path}, line {number}"))
    except (csv.Error, StopIteration) as error:
        raise DataError(f"not a CSV file: {error}", where=path) from error
    return rows, scheme
