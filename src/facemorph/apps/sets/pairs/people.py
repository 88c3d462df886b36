"""Who is who among the photographs and videos of several folders, and in which split."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facemorph.apps.sets.prepare_pictures import Source
from facemorph.apps.sets.prepared_set import find_sources
from facemorph.errors import ConfigError, DataError
from facemorph.jobs.input_files import check_distinct_names
from facemorph.storage.suffixes import PICTURES, VIDEOS

SPLITS = ("training", "validation", "test")
VIEW = re.compile(r"(.+)_view\d\d")


@dataclass(frozen=True)
class Person:
    """A person and all photographs and videos that show them.

    Attributes:
        name: Of the person.
        sources: The photographs and videos.
    """

    name: str
    sources: tuple[Source, ...]

    @property
    def files(self) -> list[Path]:
        """The photographs and videos."""
        return [source.file for source in self.sources]


def find_people(inputs: Sequence[Path], rule: str | None) -> dict[str, Person]:
    """The people of some folders and files, by name.

    Where two folders hold files of one name, the name of the folder comes before it.

    Args:
        inputs: Folders, which are walked, or single photographs and videos.
        rule: ``prefix``, ``folder`` or ``each``, as of ``find_sources``.

    Raises:
        DataError: A folder holds no picture, a file is none, or names collide.
    """
    parts = [(path, _sources_of(path, rule)) for path in inputs]
    names = Counter(source.name for _, part in parts for source in part)
    double = max(names.values(), default=0) > 1
    found: dict[Path, Source] = {}
    for path, part in parts:
        root = path.resolve() if path.is_dir() else path.resolve().parent
        for source in part:
            name = f"{root.name}_{source.name}" if double else source.name
            person = {"each": name}.get(rule or "", source.person)
            if rule == "folder" and len(parts) > 1:
                person = f"{root.name}/{person}".removesuffix("/.")
            found.setdefault(source.file.resolve(), replace(source, name=name, person=person))
    sources = list(found.values())
    check_distinct_names([one.file for one in sources], [one.name for one in sources])
    _check_views(sources)
    people: dict[str, list[Source]] = {}
    for source in sources:
        people.setdefault(source.person, []).append(source)
    return {name: Person(name, tuple(people[name])) for name in sorted(people)}


def _sources_of(path: Path, rule: str | None) -> list[Source]:
    if path.is_dir():
        return find_sources(path, rule)
    if path.suffix.lower() not in (*PICTURES, *VIDEOS):
        raise DataError(
            "neither a picture nor a video", where=path, expected=" ".join((*PICTURES, *VIDEOS))
        )
    person = {
        "prefix": path.stem.partition("_")[0],
        "folder": path.resolve().parent.name,
        "each": path.stem,
    }[rule or "prefix"]
    return [Source(path, path.stem, person)]


def _check_views(sources: Sequence[Source]) -> None:
    """See that no photograph has the name of another one's view.

    Raises:
        DataError: One has.
    """
    names = {source.name for source in sources}
    for source in sources:
        match = VIEW.fullmatch(source.name)
        if match and match[1] in names:
            raise DataError(
                "this picture has the name that a view of another one gets",
                where=source.file,
                found=match[1],
                remedy="Give the photographs themselves, not what `data vary` made of them.",
            )


def check_apart(output: Path, inputs: Sequence[Path]) -> None:
    """See that the output is no part of what is walked, and holds none of it.

    Raises:
        ConfigError: It is.
    """
    place = output.resolve()
    for path in inputs:
        other = path.resolve()
        if place.is_relative_to(other) or other.is_relative_to(place):
            raise ConfigError(
                "the set would lie among the photographs",
                where=output,
                found=path,
                remedy="Choose another folder with -o.",
            )


def read_splits(path: Path) -> dict[str, str]:
    """The split of each person that a table names.

    Args:
        path: CSV with the columns ``person`` and ``split``.

    Raises:
        DataError: It cannot be read, a column is missing, a split is unknown, or a person is in
            two.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns, rows = table.fieldnames or [], list(table)
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(
            "this table of splits cannot be read", where=path, found=type(error).__name__
        ) from error
    if not {"person", "split"} <= set(columns):
        raise DataError(
            "this table of splits lacks a column",
            where=path,
            expected="person,split",
            found=",".join(map(str, columns)),
        )
    found: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        person, split = (str(row[key] or "").strip() for key in ("person", "split"))
        if split not in SPLITS:
            raise DataError(
                "there is no such split",
                where=f"{path}, line {line}",
                expected=" | ".join(SPLITS),
                found=split,
            )
        if found.setdefault(person, split) != split:
            raise DataError(
                "this person is in two splits",
                where=f"{path}, line {line}",
                found=f"{person}: {found[person]} and {split}",
            )
    return found
