"""The files that a command works on: what its words stand for, what may be written, and a row for
each of many.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from facemorph.errors import ConfigError, DataError, FacemorphError, ImageError, OutputError
from facemorph.jobs.outputs import check_kind, check_output
from facemorph.storage.folders import listed
from facemorph.storage.suffixes import PICTURES, STILLS

OneRow = TypeVar("OneRow", bound=Mapping[str, object])


def picture_files(files: Iterable[str | Path]) -> list[Path]:
    """The files in order, with the pictures of each folder in its place, by the numbers in their
    names.

    Raises:
        DataError: A folder is missing or holds no picture, or what is missing has no name of a
            picture, or there is no file at all.
    """
    found: list[Path] = []
    for path in map(Path, files):
        inside = [path]
        if not os.path.exists(path) and path.suffix.lower() not in PICTURES:
            kind = "file" if path.suffix else "folder"
            raise DataError(f"there is no such {kind}", where=path, remedy="Check the path.")
        if os.path.isdir(path):
            inside = listed(path, PICTURES)
            if not inside:
                raise DataError(
                    "this folder holds no picture", where=path, expected=" ".join(PICTURES)
                )
        found.extend(inside)
    if not found:
        raise DataError("no picture is given", expected="at least one file or folder")
    return found


def spell_out_folders(arguments: dict[str, object], photographs: Sequence[str]) -> None:
    """Put, among the arguments of a function, its files in the place of each folder.

    Args:
        arguments: By name; changed. A folder as ``points`` becomes the landmark file of each
            photograph, a single file a list of one.
        photographs: Names of those that are photographs, or lists of them, in the order of
            ``points``.

    Raises:
        DataError: A folder is missing or lacks a file.
    """
    pictures: list[Any] = []
    for name in photographs:
        given = arguments[name]
        if isinstance(given, (list, tuple)):
            given = arguments[name] = [
                file
                for item in given
                for file in (picture_files([item]) if isinstance(item, (str, Path)) else [item])
            ]
            pictures += given
        else:
            pictures.append(given)
    points = arguments.get("points") if photographs else None
    if not isinstance(points, (str, Path)):
        return
    if os.path.isfile(points):
        arguments["points"] = [points]
    elif all(isinstance(item, (str, Path)) for item in pictures):
        arguments["points"] = points_beside(map(Path, pictures), points)
    else:
        raise DataError(
            "a picture that is no file has no name to find its landmarks by",
            where="points",
            found=points,
            expected="a list of landmark files",
        )


def check_files_exist(items: Iterable[object]) -> None:
    """See that the files among the inputs are there, before anything heavy is loaded.

    Args:
        items: Inputs; whatever is no path is left aside.

    Raises:
        ImageError: One is missing.
    """
    for item in items:
        if not isinstance(item, (str, Path)) or str(item).startswith("@"):
            continue
        try:
            os.stat(item)
        except (OSError, ValueError) as error:  # no path holds a zero byte
            too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
            raise ImageError(
                f"file not found{': its name is too long' if too_long else ''}",
                where=item,
                remedy="Check the path; it is relative to the folder where the command runs",
            ) from error


def check_some_exist(items: Iterable[str | Path]) -> None:
    """See that an input is there at all, before anything heavy is loaded, where those that are
    missing beside others fail on their own.

    Args:
        items: Inputs.

    Raises:
        ImageError: All are missing.
    """
    paths = list(items)
    if not any(os.path.exists(path) for path in paths):
        check_files_exist(paths)


def check_distinct_names(files: Iterable[Path], names: Iterable[str] | None = None) -> None:
    """Check that no two pictures have one name, where each has a result of its name.

    Args:
        files: The pictures.
        names: Their names; the stems when None.

    Raises:
        DataError: Two have one; it names both.
    """
    paths, named = list(files), dict[str, Path]()
    for path, name in zip(paths, names or (path.stem for path in paths), strict=True):
        if named.setdefault(name, path) != path:
            raise DataError(
                "two pictures have the same name, and one result would replace the other",
                where=path,
                found=named[name],
                remedy="Give them different names, or other output folders.",
            )


def points_beside(files: Iterable[Path], folder: str | Path | None) -> list[Path] | None:
    """Landmark file of each picture: ``folder/STEM.tem`` or with another suffix of
    ``facemorph.storage.suffixes.LANDMARK_FILES``; None without a folder.

    Raises:
        DataError: A picture has none, or several that differ.
    """
    if folder is None:
        return None
    from facemorph.faces.files.pair_lists import points_of

    return [points_of(file, folder) for file in files]


def check_picture_output(
    output: str | Path, inputs: Iterable[object], kinds: Sequence[str] = STILLS
) -> Path:
    """Check, before any work, that an output can be written and overwrites no input.

    Args:
        output: Its path.
        inputs: Files that it is made of; whatever is no path is left aside.
        kinds: Suffixes that it may have.

    Raises:
        OutputError: It has another suffix, cannot be written, or an input would be lost.
    """
    check_kind(output, kinds, folder=False)
    return check_output(output, inputs)


def check_picture_folder(
    output: str | Path, pictures: Iterable[object], others: Iterable[object] = ()
) -> Path:
    """Check, before any work, that a folder can hold a result of each picture's name.

    Args:
        output: The folder.
        pictures: Files, of different names; whatever is no path is left aside.
        others: Further inputs, which may not lie in the folder either.

    Raises:
        ConfigError: It has a suffix.
        DataError: Two pictures have one name, or an input lies in the folder.
        OutputError: The folder cannot be written.
    """
    files = [Path(item) for item in pictures if isinstance(item, (str, Path))]
    output = check_output(output, files)
    if output.suffix:
        raise ConfigError("the pictures go to a folder", where="output", found=output)
    check_distinct_names(files)
    for item in (*files, *others):
        if isinstance(item, (str, Path)) and Path(item).resolve().parent == output.resolve():
            raise DataError(
                "the output folder is that of an input",
                where=item,
                remedy="Choose another folder with -o.",
            )
    return output


def attempt_each(paths: Iterator[Path], work: Callable[[Path], OneRow]) -> Iterator[OneRow]:
    """A row for each path: what ``work`` gives, or ``status`` failed with the reason.

    Raises:
        OutputError: A file cannot be written, which no other path will fare better with.
    """
    for path in paths:
        try:
            yield cast(OneRow, {"file": str(path), **work(path)})
        except OutputError:
            raise
        except FacemorphError as error:
            failed = {"status": "failed", "error": type(error).__name__, "reason": str(error)}
            yield cast(OneRow, {"file": str(path), **failed})
        except Exception as error:  # a bug must not cost the others
            reason = f"a bug of facemorph: {error}"
            failed = {"status": "failed", "error": type(error).__name__, "reason": reason}
            yield cast(OneRow, {"file": str(path), **failed})
