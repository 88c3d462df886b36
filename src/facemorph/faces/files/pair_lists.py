"""Lists of pairs of photographs, such as the protocol of FRLL-Morphs, and the landmark files beside
photographs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facemorph.errors import ConfigError, DataError
from facemorph.storage.suffixes import LANDMARK_FILES, PICTURES

MARK = re.compile(r"\s*[,;\t]\s*")  # between names that may hold blanks
SAME_POINTS = 1.0  # pixels: kinds of files differ in what they call the centre of a pixel
SEPARATOR = re.compile(r"\s*[,;\t]\s*|\s+")


@dataclass(frozen=True)
class ListedPair:
    """One line of a list.

    Attributes:
        name: Name of the pair, which its results are called by.
        a: First picture.
        b: Second picture.
        line: Number of the line, from 1.
        skip: Why the pair is left out (``self-pair``, ``duplicate of line N``); None for one to be
            made.
    """

    name: str
    a: Path
    b: Path
    line: int
    skip: str | None = None


def read_pair_list(path: str | Path, images: str | Path, name: str = "{a}_{b}") -> list[ListedPair]:
    """Read a list of pairs.

    Each line holds two file names relative to ``images``, with or without suffix, separated by
    white space, a comma or a semicolon; names with blanks need one of the latter. Empty lines and
    what follows a ``#`` are left out. Whether the pictures exist is not checked here: one that does
    not is the failure of its pairs only.

    Args:
        path: Text or CSV file; a first line ``a,b`` or ``source,target`` is taken as a heading.
        images: Folder of the pictures.
        name: Name of a pair from the stems ``{a}`` and ``{b}``.

    Returns:
        One entry for each line, in order; pairs of a picture with itself and repeated ones say so
        in ``skip``.

    Raises:
        DataError: The file cannot be read, holds no pair, a line is none, or two different pairs
            have one name.
        ConfigError: ``name`` is no template of both stems.
    """
    path, folder = Path(path), Path(images)
    _check_template(name)
    if not os.path.isdir(folder):
        raise DataError(
            "there is no such folder of pictures", where=folder, remedy="Give it with --images DIR."
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            "this list of pairs cannot be read",
            where=path,
            expected="a text file",
            found=getattr(error, "strerror", None) or type(error).__name__,
        ) from error
    found: list[ListedPair] = []
    seen: dict[tuple[Path, Path], int] = {}
    named: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        words = _words(line.partition("#")[0].strip())
        if not words or (not found and words in (["a", "b"], ["source", "target"])):
            continue
        if len(words) != 2 or not all(Path(word).name for word in words):
            raise DataError(
                "not a pair",
                where=f"{path}, line {number}",
                expected="two file names",
                found=f"{len(words)}: {line.strip()[:60]}",
                remedy="Put a comma between names that hold blanks.",
            )
        a, b = (_picture(folder, word) for word in words)
        called = name.format(a=a.stem, b=b.stem)
        skip = "self-pair" if a == b else None
        if skip is None and (a, b) in seen:
            skip = f"duplicate of line {seen[a, b]}"
        if skip is None and called in named:
            raise DataError(
                f"this pair has the name of that in line {named[called]}",
                where=f"{path}, line {number}",
                found=called,
                remedy="Give the pictures different names.",
            )
        seen.setdefault((a, b), number)
        if skip is None:
            named[called] = number
        found.append(ListedPair(called, a, b, number, skip))
    if not found:
        raise DataError(
            "this list holds no pair", where=path, expected="two file names on each line"
        )
    return found


def _check_template(name: str) -> None:
    try:
        one, *others = (name.format(a=a, b=b) for a, b in (("1", "1"), ("2", "1"), ("1", "2")))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ConfigError(
            "not a name for pairs", where="name", expected="text with {a} and {b}", found=name
        ) from error
    if one in others or "/" in one or "\\" in one:
        raise ConfigError(
            "not a name for pairs",
            where="name",
            expected="text with {a} and {b}, no folder",
            found=name,
        )


def _words(text: str) -> list[str]:
    apart = [word for word in MARK.split(text) if word]
    return apart if len(apart) == 2 else [word for word in SEPARATOR.split(text) if word]


def _picture(folder: Path, word: str) -> Path:
    """The picture that a word names; of one without suffix, the file that exists."""
    path = folder / word
    if path.suffix.lower() in PICTURES:
        return path
    existing = (path.with_name(path.name + suffix) for suffix in PICTURES)
    return next((one for one in existing if os.path.isfile(one)), path)


def points_of(picture: Path, folder: str | Path) -> Path:
    """The landmark file of a picture: ``folder/STEM.tem`` or with another suffix of landmark files,
    or with one after the picture's whole name, as ``a.jpg.txt``.

    Of several files those are left aside that hold no landmarks, such as captions; the others may
    not contradict each other.

    Raises:
        DataError: There is none, or several hold different points.
    """
    found = [path for path in possible_points_of(picture, folder) if os.path.isfile(path)]
    if not found:
        raise DataError(
            "this picture has no landmark file",
            where=picture,
            expected=f"{Path(folder) / picture.stem} with {' '.join(LANDMARK_FILES)}",
            remedy="Add it, or leave --points out to find the landmarks.",
        )
    return found[0] if len(found) == 1 else _only_points_of(picture, found)


def possible_points_of(picture: Path, folder: str | Path) -> list[Path]:
    """Where the landmark file of a picture may lie in a folder; most of these do not exist."""
    names = [picture.stem, picture.name]
    return [Path(folder) / f"{name}{suffix}" for name in names for suffix in LANDMARK_FILES]


def _only_points_of(picture: Path, found: Sequence[Path]) -> Path:
    """The first of several files, if all that hold landmarks hold the same."""
    from facemorph.faces.files.landmark_files import read_points

    holding = []
    for path in found:
        try:
            holding.append((path, read_points(path, picture=picture)[0]))
        except DataError:
            continue
    for path, points in holding[1:]:
        first = holding[0][1]
        if points.shape != first.shape or float((points - first).abs().max()) > SAME_POINTS:
            raise DataError(
                "this picture has two landmark files with different points",
                where=picture,
                expected="one",
                found=f"{holding[0][0]} and {path}",
                remedy="Remove one of them from the folder.",
            )
    return holding[0][0] if holding else found[0]
