"""The folder of a studio project: plain files, which the commands read too.

    photographs/NAME.png     what was dropped into the page, as it came
    points/STEM.json         its landmarks
    heads/STEM.npz           its fitted head
    scans/NAME.ply           scans that were dropped into the page, as they came
    drivers/NAME.mp4         videos and recordings that move photographs, as they came
    exports/                 everything that was made
    studio.json              what is open, in order, and how the views stand

Pictures of a folder that was opened stay where they are.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facemorph.errors import DataError, OutputError
from facemorph.jobs.records import hold
from facemorph.storage.files import read_json, write_whole

FORMAT = "facemorph-studio"
STATE = "studio.json"
PHOTOGRAPHS, POINTS, HEADS, EXPORTS, PARTS = "photographs", "points", "heads", "exports", "parts"
SCANS, DRIVERS = "scans", "drivers"
LONGEST_NAME = 80  # bytes, as file systems count
MAX_STATE = 1_000_000  # characters of how a view stands


@dataclass(frozen=True)
class Listed:
    """A photograph of the project.

    Attributes:
        id: Its name in the project, of letters, digits, ``.``, ``_`` and ``-``; different for each.
        path: Its file.
        points_by: Whose its landmarks are: ``embedded`` of the detector, ``file`` of a person.
    """

    id: str
    path: Path
    points_by: str = "embedded"


class Project:
    """What a studio has open, kept in a folder; to be used inside `opened`.

    Args:
        folder: The folder; made when missing.

    Attributes:
        listed: The photographs, in order.
        views: How each view of the page stands, as the page says it.
        is_new: Whether the folder held no project before.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.listed: list[Listed] = []
        self.views: dict[str, Any] = {}
        self.is_new = True
        self._lock = threading.Lock()
        self._promised: set[Path] = set()  # of exports that may still wait to be made

    @contextmanager
    def opened(self) -> Iterator[Project]:
        """Read the project and hold its folder, so that no other studio works in it.

        Raises:
            OutputError: The folder cannot be written, or another studio has it open.
            DataError: ``studio.json`` cannot be read.
        """
        try:
            for name in (PHOTOGRAPHS, POINTS, HEADS, SCANS, DRIVERS, EXPORTS, PARTS):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            file = (self.folder / f".{STATE}.lock").open("a+b")
        except OSError as error:
            raise OutputError(
                "the folder of the project cannot be written",
                where=self.folder,
                found=error.strerror,
                remedy="Choose another folder with --project.",
            ) from error
        with file:
            busy = OutputError(
                "another studio has this project open",
                where=self.folder,
                remedy="Use its page (two windows share it), or choose another --project.",
            )
            hold(file, self.folder, busy)
            self._read()
            yield self

    @property
    def state_file(self) -> Path:
        """Where the list and the views are kept."""
        return self.folder / STATE

    def _read(self) -> None:
        if not self.state_file.is_file():
            return
        self.is_new = False
        try:
            content = read_json(self.state_file)
            if content["format"] != FORMAT or not isinstance(content["views"], dict):
                raise ValueError("not what the studio writes")
            entries = [
                (str(one["id"]), str(one["path"]), str(one["points_by"]))
                for one in content["photographs"]
            ]
            if any(_plain(name) != name for name, _, _ in entries):
                raise ValueError("a name is none that the studio gives")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                "this project cannot be read",
                where=self.state_file,
                found=f"{type(error).__name__}: {error}"[:80],
                remedy="Move this file away to begin anew; photographs and exports stay.",
            ) from error
        self.views = content["views"]
        self.listed = [Listed(name, self.folder / path, by) for name, path, by in entries]

    def save(self) -> None:
        """Write the list and the views, whole or not at all.

        Raises:
            OutputError: They cannot be written.
        """
        with self._lock:
            content = {
                "format": FORMAT,
                "photographs": [
                    {
                        "id": one.id,
                        "path": self._relative(one.path),
                        "points_by": one.points_by,
                    }
                    for one in self.listed
                ],
                "views": self.views,
            }
            write_whole(self.state_file, (json.dumps(content, indent=1) + "\n").encode())

    def keep_views(self, views: Mapping[str, Any]) -> None:
        """Keep how some views stand, and those of the others as they were.

        Raises:
            DataError: It is too much.
            OutputError: It cannot be written.
        """
        with self._lock:
            kept = {**self.views, **{str(name)[:40]: views[name] for name in views}}
            try:
                length = len(json.dumps(kept, indent=1, allow_nan=False))
            except (ValueError, RecursionError) as error:
                raise DataError(
                    "this cannot be kept", where="views", found=f"{type(error).__name__}: {error}"
                ) from error
            if length > MAX_STATE:
                raise DataError(
                    "this is too much to be kept",
                    where="views",
                    expected=f"at most {MAX_STATE} characters",
                )
            self.views = kept
        self.save()

    def add(self, path: Path) -> Listed:
        """Take a picture's file into the list; one that is there already is returned."""
        path = path.absolute()
        with self._lock:  # uploads of two windows come in threads of their own
            for one in self.listed:
                if one.path == path:
                    return one
            new = Listed(self._free_name(path.stem), path)
            self.listed.append(new)
        return new

    def place_for(self, name: str, folder: str = PHOTOGRAPHS) -> Path:
        """A free path for a file that is dropped into the page under some name."""
        suffix = re.sub(r"[^.\w]", "", Path(name).suffix.lower())
        return _free(self.folder / folder, _plain(Path(name).stem), suffix)

    def remove(self, name: str) -> None:
        """Take a photograph out of the list, with what was found in it; its file stays.

        Raises:
            DataError: There is none of that name.
        """
        with self._lock:
            self.listed.remove(self.find(name))
        for path in (self.points_of(name), self.head_of(name)):
            path.unlink(missing_ok=True)

    def find(self, name: str) -> Listed:
        """The photograph of a name.

        Raises:
            DataError: There is none.
        """
        for one in self.listed:
            if one.id == name:
                return one
        raise DataError("no such photograph in this project", where=name[:80])

    def edited(self, name: str) -> None:
        """Note that the landmarks of a photograph are a person's now."""
        with self._lock:
            index = self.listed.index(self.find(name))
            self.listed[index] = replace(self.listed[index], points_by="file")

    def points_of(self, name: str) -> Path:
        """Where the landmarks of a photograph are kept."""
        return self.folder / POINTS / f"{name}.json"

    def head_of(self, name: str) -> Path:
        """Where the fitted head of a photograph is kept."""
        return self.folder / HEADS / f"{name}.npz"

    def export(self, stem: str, suffix: str) -> Path:
        """A free path for something that is made; an empty suffix is for a folder."""
        with self._lock:
            path = _free(self.folder / EXPORTS, _plain(stem), suffix, self._promised)
            self._promised.add(path)
        return path

    def part(self, name: str) -> Path:
        """Where something that an export is made of is kept, such as parameters: replaced by the
        next of its name.
        """
        return self.folder / PARTS / _plain(name)

    def result(self, name: str) -> Path:
        """A folder that a command or a view has made, by its name: ``exports/NAME`` or
        ``parts/NAME``.

        Raises:
            DataError: There is none of that name.
        """
        place, _, own = name.partition("/")
        path = self.folder / place / own
        if place not in (EXPORTS, PARTS) or not own or _plain(own) != own or not path.is_dir():
            raise DataError("this is not there any more", where=name[:80])
        return path

    def exported(self, name: str) -> Path:
        """A file among the exports.

        Raises:
            DataError: There is none of that name.
        """
        folder = (self.folder / EXPORTS).resolve()
        try:
            path = (folder / name).resolve()
            found = path.is_relative_to(folder) and path.is_file()
        except (OSError, ValueError):  # a name that no file can have
            found = False
        if not found:
            raise DataError("no such export", where=name[:80])
        return path

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)

    def _free_name(self, stem: str) -> str:
        taken, plain = {one.id for one in self.listed}, _plain(stem)
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}-{number}"
        return name


def _plain(name: str) -> str:
    """A name of letters, digits, ``.``, ``_`` and ``-`` that is no hidden file."""
    plain = re.sub(r"[^\w.-]", "_", name)
    plain = plain.encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")
    return re.sub(r"^\.+", "_", plain) if plain.strip("._") else plain.strip("._") or "picture"


def _free(folder: Path, stem: str, suffix: str, taken: Collection[Path] = ()) -> Path:
    path, number = folder / f"{stem}{suffix}", 1
    while path.exists() or path in taken:
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path
