"""How much each photograph counts in an average: numbers, or a table of names."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from facemorph.errors import ConfigError, DataError
from facemorph.jobs.options import Option, Photograph

Weights = Annotated[
    Sequence[float] | str | Path | None, Option(metavar="NUMBERS|FILE.csv", kind=str)
]
MANY = 5  # names that a message lists


def weights_of(given: Sequence[float] | str | Path, pictures: Sequence[Photograph]) -> list[float]:
    """A weight for each photograph.

    Args:
        given: Numbers in the order of the photographs, a text of them by commas, or a CSV file of
            ``name,weight`` with the file's name, with or without its suffix; a first line without a
            number is a heading.
        pictures: The photographs.

    Raises:
        ConfigError: Not as many numbers as photographs, one below 0 or not finite, or all are 0.
        DataError: The file cannot be read, names what is not there, or leaves a photograph out.
    """
    if isinstance(given, Path) or (isinstance(given, str) and os.path.isfile(given)):
        found, where = _from_table(Path(given), pictures), str(given)
    else:
        found, where = _numbers(given), "weights"
    if len(found) != len(pictures):
        raise ConfigError(
            "not as many weights as photographs",
            where=where,
            expected=len(pictures),
            found=len(found),
        )
    bad = [weight for weight in found if not (math.isfinite(weight) and weight >= 0)]
    if bad or not any(found):
        raise ConfigError(
            "these weights make no average",
            where=where,
            expected="0 or more, one above 0",
            found=bad[0] if bad else "0 alone",
        )
    return found


def _numbers(given: Sequence[float] | str) -> list[float]:
    try:
        return [float(one) for one in (given.split(",") if isinstance(given, str) else given)]
    except ValueError as error:
        raise ConfigError(
            "no such weights",
            where="weights",
            expected="numbers by commas, or a CSV file of name,weight",
            found=given,
        ) from error


def _from_table(path: Path, pictures: Sequence[Photograph]) -> list[float]:
    files = [Path(item) if isinstance(item, (str, Path)) else None for item in pictures]
    weights: dict[int, float] = {}
    unknown: list[str] = []
    for line, name, weight in _rows(path):
        places = [
            place
            for place, file in enumerate(files)
            if file is not None and name in (file.name, file.stem, str(file))
        ]
        if not places:
            unknown.append(name)
        elif len(places) > 1 or places[0] in weights:
            raise DataError(
                "a weight that is not of one photograph",
                where=f"{path}, line {line}",
                found=name,
                remedy="Give each photograph one line, two of one name with their folders.",
            )
        else:
            weights[places[0]] = weight
    missing = [str(files[place]) for place in range(len(files)) if place not in weights]
    for what, names in (
        ("these weights name photographs that are not given", unknown),
        ("these weights leave photographs out", missing),
    ):
        if names:
            more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
            raise DataError(what, where=path, found=", ".join(names[:MANY]) + more)
    return [weights[place] for place in range(len(files))]


def _rows(path: Path) -> list[tuple[int, str, float]]:
    """Number of the line, name and weight of each line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "these weights cannot be read", where=path, found=str(error)[:80]
        ) from error
    separator = max((",", ";", "\t"), key=text.count)
    found = []
    for line, row in enumerate(csv.reader(text.splitlines(), delimiter=separator), 1):
        if not any(cell.strip() for cell in row):
            continue
        try:
            name, weight = row
            found.append((line, name.strip(), float(weight)))
        except ValueError as error:
            if line == 1 and len(row) == 2:
                continue  # the heading
            raise DataError(
                "these weights cannot be read",
                where=f"{path}, line {line}",
                expected="name,weight",
                found=separator.join(row)[:80],
            ) from error
    return found
