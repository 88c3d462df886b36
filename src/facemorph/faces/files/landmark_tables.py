"""Landmark files that are tables: x and y in columns, spreadsheets, and OpenFace's rows."""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facemorph.errors import DataError
from facemorph.faces.files.landmark_formats import (
    AT_CENTRE,
    AT_EDGE,
    LEAST_SCORE,
    FoundPoints,
    TextFile,
    choose_face,
    in_order,
    number,
    numbered_lines,
    pair,
    shown,
)

X_NAMES = ("x", "px", "x_px", "x_pixel", "u", "col", "column")
Y_NAMES = ("y", "py", "y_px", "y_pixel", "v", "row")
INDEX_NAMES = (
    *("", "#", "index", "idx", "id", "i", "n", "no", "nr", "num", "number", "point"),
    *("landmark", "landmark_index", "point_id", "landmark_id", "unnamed: 0"),
)
PICTURE_NAMES = ("image", "image_name", "image_path", "img", "file", "filename", "path", "picture")
FACE_NAMES = ("face", "face_id", "person", "person_id", "subject", "frame")
WIDE = re.compile(r"([xy])_?(\d{1,4})")  # of 2-D points; OpenFace's 3-D ones are X_0, in mm
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
NUMBER = re.compile(
    r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf(?:inity)?)", re.I
)
TWO_WITH_COMMAS = re.compile(r"\s*[+-]?\d+,\d+\s+[+-]?\d+,\d+\s*")
MOST_LINES = 200_000  # far above every data set: each takes memory
TWO_COLUMNS = "Keep two columns, x and y, or name the columns in a first line."

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]


def read_table(file: TextFile) -> FoundPoints:
    """Points of a table: one a line, or one face a line as OpenFace writes it.

    Columns are separated by semicolons, tabs, commas or blanks; with other separators than commas,
    decimal commas are read. The first line may name the columns, a comment ``# scheme: NAME`` the
    scheme. With commas or a scheme it counts as our ``.csv`` does, otherwise pixel centres are i.

    Raises:
        DataError: A line is no point, or the columns do not say what they are.
    """
    path = file.path
    scheme, lines = _without_comments(file)
    if not lines:
        raise DataError("landmark file has no points", where=path, expected="at least one point")
    if len(lines) > MOST_LINES:
        raise DataError(
            "too large for a landmark file",
            where=path,
            expected=f"at most {MOST_LINES} lines",
            found=len(lines),
        )
    separator = _separator([line for _, line in lines])
    rows = list(_rows(path, lines, separator))
    heading = None if all(map(_looks_like_number, rows[0].cells)) else rows[0].cells
    body = rows if heading is None else rows[1:]
    _check_one_decimal_sign(path, body)
    body = [_Row(row.line, [_with_point(cell) for cell in row.cells]) for row in body]
    if heading is not None and any(WIDE.fullmatch(name) for name in heading):
        return _faces_in_rows(file, heading, body)
    if heading is None:
        points = _bare_columns(path, body)
    else:
        points = _named_columns(file, heading, rows[0].line, body)
    ours = separator == "," or scheme is not None
    return FoundPoints(points, AT_EDGE if ours else AT_CENTRE, scheme, free=scheme is None)


def _without_comments(file: TextFile) -> tuple[str | None, list[tuple[int, str]]]:
    scheme, lines = None, []
    for line_number, line in numbered_lines(file.text):
        if not line.startswith("#") or line.startswith(("#,", "#;", "#\t")):  # a column's name
            lines.append((line_number, line))
            continue
        key, _, value = line[1:].partition(":")
        scheme = value.strip(" ,;\t") or None if key.strip() == "scheme" else scheme
    return scheme, lines


def _separator(lines: Sequence[str]) -> str | None:
    """What is between columns; None for blanks."""
    for separator in (";", "\t"):
        if any(separator in line for line in lines):
            return separator
    if all(TWO_WITH_COMMAS.fullmatch(line) for line in lines[1:] or lines):
        return None
    return "," if any("," in line for line in lines) else None


def _rows(path: Path, lines: Sequence[tuple[int, str]], separator: str | None) -> Iterator[_Row]:
    for line_number, line in lines:
        if separator is None:
            yield _Row(line_number, line.split())
            continue
        try:
            cells = next(csv.reader([line], delimiter=separator))
        except (csv.Error, StopIteration) as error:
            raise DataError(
                "not a line of a table", where=f"{path}, line {line_number}", found=str(error)[:80]
            ) from error
        cells = [cell.strip() for cell in cells]
        # Spreadsheets end lines with a separator.
        yield _Row(line_number, cells[:-1] if len(cells) > 1 and not cells[-1] else cells)


def _looks_like_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None


def _with_point(cell: str) -> str:
    """A number with a decimal point in place of a decimal comma."""
    return cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell) else cell


def _check_one_decimal_sign(path: Path, rows: Sequence[_Row]) -> None:
    commas = next((r for r in rows if any(map(DECIMAL_COMMA.fullmatch, r.cells))), None)
    points = next(
        (r for r in rows if any("." in cell and _looks_like_number(cell) for cell in r.cells)), None
    )
    if commas is not None and points is not None:
        raise DataError(
            "some numbers have a decimal comma and some a decimal point",
            where=f"{path}, lines {commas.line} and {points.line}",
            expected="one of them",
            found=f"{' '.join(commas.cells)[:40]} and {' '.join(points.cells)[:40]}",
            remedy="Format all numbers alike, without marks of thousands, and export them again.",
        )


def _bare_columns(path: Path, rows: Sequence[_Row]) -> list[list[float]]:
    """Points of a table whose columns have no names: x and y, before them maybe an index."""
    width = len(rows[0].cells)
    if width == 3 and len(rows) >= 3 and all(len(row.cells) == 3 for row in rows):
        indices = [row.cells[0] for row in rows]
        first = indices[0]
        if first in ("0", "1") and indices == [str(int(first) + i) for i in range(len(rows))]:
            return [pair(row.cells[1:], f"{path}, line {row.line}") for row in rows]
    for row in rows:
        if len(row.cells) != 2:
            raise DataError(
                "not a point",
                where=f"{path}, line {row.line}",
                expected="two numbers",
                found=len(row.cells),
                remedy=TWO_COLUMNS,
            )
    return [pair(row.cells, f"{path}, line {row.line}") for row in rows]


def _column(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _named_columns(
    file: TextFile, heading: Sequence[str], line: int, rows: Sequence[_Row]
) -> list[list[float]]:
    """Points of the columns that are called x and y."""
    path = file.path
    names = [re.sub(r"\s*[(\[](px|pixels?)[)\]]$", "", name.lower()) for name in heading]
    x, y = _column(names, X_NAMES), _column(names, Y_NAMES)
    if x is None or y is None or len(set(names)) < len(names):
        metric = any(re.fullmatch(r"X_\d+", name) for name in heading)
        raise DataError(
            "the columns of this table do not say which are x and y",
            where=f"{path}, line {line}",
            expected="a first line with the names x and y, each once",
            found=", ".join(heading)[:80],
            remedy="Run OpenFace with -2Dfp: these are points in space."
            if metric
            else "Name the columns so, or export two columns without names.",
        )
    for row in rows:
        if len(row.cells) != len(names):
            raise DataError(
                "not a point",
                where=f"{path}, line {row.line}",
                expected="two numbers" if len(names) == 2 else f"{len(names)} columns",
                found=len(row.cells),
                remedy="Give every line as many columns as the first.",
            )
    groups: dict[tuple[str, ...], list[_Row]] = {}
    keys = [index for index, name in enumerate(names) if name in (*PICTURE_NAMES, *FACE_NAMES)]
    for row in rows:
        groups.setdefault(tuple(row.cells[key] for key in keys), []).append(row)
    picture = _column(names, PICTURE_NAMES)
    faces = [
        (None if picture is None else group[0].cells[picture], group) for group in groups.values()
    ]
    if not faces:
        return []
    chosen = choose_face(path, faces, file.picture, "a table")
    index = _column(names, INDEX_NAMES)
    if index is not None and all(re.fullmatch(r"\d{1,9}", row.cells[index]) for row in chosen):
        chosen = in_order([(row.cells[index], row) for row in chosen], path)
    return [pair([row.cells[x], row.cells[y]], f"{path}, line {row.line}") for row in chosen]


def _faces_in_rows(file: TextFile, heading: Sequence[str], rows: Sequence[_Row]) -> FoundPoints:
    """Points of a table with a face in each row, in columns x_0, x_1, ... y_0, ..."""
    path, columns = file.path, {name: index for index, name in enumerate(heading)}
    for row in rows:
        if len(row.cells) != len(heading):
            raise DataError(
                "a row of this table is not complete",
                where=f"{path}, line {row.line}",
                expected=f"{len(heading)} columns",
                found=len(row.cells),
                remedy="Get the file again.",
            )
    success, confidence = columns.get("success"), columns.get("confidence")
    found = [row for row in rows if success is None or row.cells[success] not in ("0", "0.0")]
    if rows and not found:
        raise DataError(
            "OpenFace found no face here",
            where=f"{path}, line {rows[0].line}",
            expected="success 1",
            found="success 0",
            remedy="Let facemorph find the landmarks, or set them in `facemorph edit`.",
        )
    picture = _column([name.lower() for name in heading], PICTURE_NAMES)
    named = [(None if picture is None else row.cells[picture], row) for row in found]
    chosen = choose_face(path, named, file.picture, "OpenFace")
    where = f"{path}, line {chosen.line}"
    if confidence is not None:
        value = number(chosen.cells[confidence], where)
        if value < LEAST_SCORE:
            logger.warning("%s: OpenFace is not sure of this face (confidence %g).", path, value)
    axes: dict[str, list[tuple[str, float]]] = {"x": [], "y": []}
    for name, column in columns.items():
        match = WIDE.fullmatch(name)
        if match is not None:
            value = number(chosen.cells[column], f"{where}, column {shown(name)}")
            axes[match[1]].append((match[2], value))
    x, y = (in_order(values, f"{path}, columns {name}_0 ...") for name, values in axes.items())
    if len(x) != len(y):
        raise DataError(
            "there are not as many columns of x as of y",
            where=path,
            expected=len(x),
            found=len(y),
            remedy="Get the file again.",
        )
    return FoundPoints([list(point) for point in zip(x, y, strict=True)], AT_CENTRE)
