"""What the readers of landmark files share, and the kinds of webmorph and iBUG."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from facemorph.errors import DataError
from facemorph.storage.files import regular

MAX_COORDINATE = 1e9
MAX_BYTES = 4_000_000  # far above every landmark file: a larger one is something else
AT_EDGE, AT_CENTRE, FROM_ONE = 0.5, 0.0, 1.0  # what programs call the centre of the first pixel
LEAST_SCORE = 0.5  # of a face; below, other programs are not sure of it
KNOWN = (
    "landmarks of OpenFace, dlib, labelme, menpo, MediaPipe, OpenPose or COCO-WholeBody, .tem, "
    ".pts, NumPy's .npy, or a table of x and y"
)

OneFace = TypeVar("OneFace")


@dataclass(frozen=True)
class FoundPoints:
    """Points of one face as a file holds them.

    Attributes:
        rows: x, y of each, as the file counts.
        centre: What the file calls the centre of the first pixel.
        scheme: Scheme that the file names; None where it names none.
        size: Width and height of the picture that the file names; None where it names none.
        free: Whether the program that wrote it is unknown, so that its numbers may also be shares
            of the picture, or count from 1.
    """

    rows: list[list[float]]
    centre: float
    scheme: str | None = None
    size: tuple[float, float] | None = None
    free: bool = False


@dataclass(frozen=True)
class TextFile:
    """A landmark file as its readers get it.

    Attributes:
        path: Where it lies.
        text: What it holds.
        picture: Name of the picture whose face is wanted; None where nobody knows.
    """

    path: Path
    text: str
    picture: str | None = None


def choose_face(
    path: Path, faces: Sequence[tuple[str | None, OneFace]], picture: str | None, kind: str
) -> OneFace:
    """The only face of a picture among those of a file.

    Args:
        path: The file.
        faces: Each with the name of its picture, None where the file names none.
        picture: Name of the picture; None where nobody knows.
        kind: What the file is, for messages.

    Raises:
        DataError: There is no face, none of this picture, or more than one.
    """
    if not faces:
        raise DataError("landmark file has no points", where=path, expected=f"a face of {kind}")
    named = list(faces)
    if picture is not None and any(name is not None for name, _ in faces):
        for same in (_file_name, _stem):
            named = [face for face in faces if face[0] and same(face[0]) == same(picture)]
            if named:
                break
        if not named:
            names = sorted({_file_name(name) for name, _ in faces if name})
            raise DataError(
                "this file has no face of the picture",
                where=path,
                expected=_file_name(picture),
                found=", ".join(names[:5]) + (" and more" if len(names) > 5 else ""),
                remedy="Give the file of this picture, or name the picture as the file does.",
            )
    if len(named) > 1:
        raise DataError(
            "this file has several faces, and it does not follow which is meant",
            where=path,
            expected=f"one face of {kind}",
            found=len(named),
            remedy="Keep only the one that is meant in the file.",
        )
    return named[0][1]


def _file_name(name: str) -> str:
    return re.split(r"[/\\]", name)[-1].lower()


def _stem(name: str) -> str:
    return Path(_file_name(name)).stem


def in_order(numbers: Sequence[tuple[str, OneFace]], where: str | Path) -> list[OneFace]:
    """What belongs to points that are numbered from 0 or from 1, in the order of the numbers.

    Raises:
        DataError: A number is missing, or there twice.
    """
    found = {int(name): item for name, item in numbers}
    first, last = min(found, default=0), max(found, default=0)
    if first > 1 or last - first + 1 != len(numbers) or len(found) != len(numbers):
        most = min(last, 2 * len(numbers) + 10)  # a damaged number may be huge
        missing = [index for index in range(min(first, 1), most + 1) if index not in found]
        raise DataError(
            "the numbers of the points do not count them",
            where=where,
            expected="each from 0 or from 1 on, once",
            found=f"{len(numbers)} points; missing: {', '.join(map(str, missing[:8])) or 'none'}",
            remedy="Add the missing points, and remove those that are there twice.",
        )
    return [found[number] for number in sorted(found)]


def read_content(path: Path, most: int = MAX_BYTES) -> bytes:
    """Bytes of a landmark file, which is refused where it is too large for one."""
    try:
        size = path.stat().st_size
        if size > most:
            raise DataError(
                "too large for a landmark file",
                where=path,
                expected=f"at most {most} bytes",
                found=size,
                remedy="Keep only what belongs to these pictures in it.",
            )
        return regular(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError("landmark file not found", where=path, remedy="Check the path") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise DataError(f"landmark file cannot be read: {error}", where=path) from error


def read_text(path: Path) -> str:
    """Text of a landmark file, which is refused where it is too large for one, or no text."""
    return text_of(path, read_content(path))


def text_of(path: Path, content: bytes) -> str:
    """The text that a file holds, in UTF-8, in UTF-16 with its mark, or, of XML, in Latin-1.

    Raises:
        DataError: It is none of these.
    """
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if content.lstrip().startswith(b"<?xml"):  # dlib's files declare it
            return content.decode("latin-1")
        raise _no_text(path, content, error.start) from error
    if "\0" in text:
        raise _no_text(path, content, max(content.find(b"\0"), 0))
    return text


def _no_text(path: Path, content: bytes, start: int) -> DataError:
    byte = content[start] if start < len(content) else 0
    return DataError(
        "not a text file",
        where=path,
        expected="UTF-8 text",
        found=f"byte {byte:#04x} at {start}",
        remedy="Save it as text in UTF-8.",
    )


def shown(value: object) -> str:
    """A value for a message; of a container only its type, because YAML's references can make it
    endless.
    """
    return (
        repr(value)[:40]
        if isinstance(value, (str, int, float, type(None)))
        else type(value).__name__
    )


def number(value: Any, where: str) -> float:
    """A coordinate, of text or of a parsed file; ``where`` is the place that a message names."""
    try:
        wrong_kind = isinstance(value, bool) or not isinstance(value, (str, int, float))
        result = math.nan if wrong_kind else float(value)
    except (ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result) or abs(result) > MAX_COORDINATE:
        raise DataError(
            "not a coordinate", where=where, expected="a finite number", found=shown(value)
        )
    return result


def pair(parts: Sequence[Any], where: str) -> list[float]:
    """Both coordinates of a point."""
    if len(parts) != 2:
        raise DataError("not a point", where=where, expected="two numbers", found=len(parts))
    return [number(part, where) for part in parts]


def _count(text: str, path: Path, line: int, what: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 7):
        raise DataError(
            f"not a number of {what}",
            where=f"{path}, line {line}",
            expected="a whole number",
            found=repr(text)[:40],
        )
    return int(text)


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1."""
    return [
        (number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]


def _take_points(lines: list[tuple[int, str]], count: int, path: Path) -> list[list[float]]:
    if count > len(lines):
        raise DataError(
            "points are missing", where=path, expected=count, found=f"{len(lines)} lines"
        )
    return [pair(line.split(), f"{path}, line {number}") for number, line in lines[:count]]


def read_tem(file: TextFile) -> FoundPoints:
    """Points of a webmorph or psychomorph template; it names no scheme."""
    return FoundPoints(_parse_tem(file.path, file.text)[0], AT_CENTRE)


def _parse_tem(path: Path, text: str) -> tuple[list[list[float]], list[str]]:
    """Points and the checked text of the line section."""
    lines = numbered_lines(text)
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


def read_pts(file: TextFile) -> FoundPoints:
    """Points between the braces of an iBUG file; it names no scheme."""
    path, lines = file.path, numbered_lines(file.text)
    start = next((index for index, (_, line) in enumerate(lines) if line == "{"), None)
    end = next((index for index, (_, line) in enumerate(lines) if line == "}"), None)
    if start is None or end is None or end < start:
        raise DataError(
            "not a .pts file",
            where=path,
            expected="points between the lines { and }",
            found="no such lines" if start is None else "no line } after {",
        )
    rows = [pair(line.split(), f"{path}, line {number}") for number, line in lines[start + 1 : end]]
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
    return FoundPoints(rows, FROM_ONE)


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
    return [pair(point, f"{path}, point {index}") for index, point in enumerate(points)]
