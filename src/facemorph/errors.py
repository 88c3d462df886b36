"""Errors that a user can act on: what is wrong, where, what was expected and found, and one remedy.

The command line prints them without a traceback and leaves with their ``exit_code`` (0 ok, 1 bug, 2
input or environment, 3 finished with some inputs failed, 130/143 interrupted with a checkpoint).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class FacemorphError(Exception):
    """Base of all errors that facemorph raises on purpose.

    Args:
        what: What is wrong, as one short clause.
        where: File, folder or config key at fault.
        expected: What was expected there.
        found: What was found instead.
        remedy: One thing the user can do, as a full sentence.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        expected: object = None,
        found: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what, self.where, self.expected, self.found, self.remedy = (
            what,
            where,
            expected,
            found,
            remedy,
        )
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where is not None else self.what
        details = [
            f"{name} {value}"
            for name, value in (("expected", self.expected), ("found", self.found))
            if value is not None
        ]
        if details:
            text += f" ({', '.join(details)})"
        return f"{text}. {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call the class with one argument and lose the rest between processes.
        return _rebuild, (type(self), self.what, self.where, self.expected, self.found, self.remedy)


def _rebuild(
    kind: type[FacemorphError],
    what: str,
    where: str | None,
    expected: object,
    found: object,
    remedy: str | None,
) -> FacemorphError:
    return kind(what, where=where, expected=expected, found=found, remedy=remedy)


class ConfigError(FacemorphError):
    """A config file, key or override is wrong or refused."""


class ConfigMismatch(ConfigError):
    """The ranks of one distributed run were started with different configs."""


class DataError(FacemorphError):
    """An input file is missing, malformed or inconsistent with another one."""


class ImageError(DataError):
    """An image cannot be read or written."""


class NoFaceFound(DataError):
    """No face, or not the one asked for, was found in an image."""


class GeometryError(FacemorphError):
    """Points or shapes for which the requested map does not exist or is not determined."""


class CheckpointError(FacemorphError):
    """A checkpoint or release folder cannot be written, read or trusted."""


class ChecksumError(CheckpointError):
    """A file's sha256 is not the one recorded for it."""


class OutputError(FacemorphError):
    """An output cannot be written: read-only folder, full disk, unknown format."""


class MissingExtra(FacemorphError):
    """An optional package, or a file that only its user can supply, is not there."""


class Interrupted(FacemorphError):
    """Training was stopped by a signal after its state had been written."""

    def __init__(self, what: str, *, exit_code: int = 130, **details: Any) -> None:
        super().__init__(what, **details)
        self.exit_code = exit_code
