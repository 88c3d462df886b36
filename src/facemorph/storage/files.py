"""Files are written whole or not at all, and known by their sha256."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from facemorph.errors import CheckpointError, DataError, FacemorphError, OutputError

MEGABYTE = 1e6
LONGEST_NAME = 230  # bytes, of 255, which leaves room for a suffix
PACKAGE = Path(__file__).resolve().parents[1]
ASSETS = PACKAGE / "assets"


def pretrained_folder() -> Path:
    """``pretrained/`` of a checkout, else ``~/.cache/facemorph``."""
    checkout = PACKAGE.parents[1] / "pretrained"
    return checkout if checkout.is_dir() else Path.home() / ".cache" / "facemorph"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file through a part file beside it, so that a reader never sees half of it.

    Raises:
        OutputError: The folder is missing or read-only, the disk is full, or the target is a
            folder.
    """
    part = path.with_name(f"{_short(path.name)}.{os.getpid()}.part")
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        remedies = {
            errno.ENAMETOOLONG: "Give it a shorter name",
            errno.ENOENT: f"Create the folder {path.parent} first",
            errno.ENOSPC: "Free some space",
            errno.EISDIR: "Give the name of a file",
        }
        raise OutputError(
            "file cannot be written",
            where=path,
            found=error.strerror or str(error),
            expected=f"room for {len(content)} bytes" if error.errno == errno.ENOSPC else None,
            remedy=remedies.get(error.errno or 0, "Choose a folder that you may write to"),
        ) from error
    finally:
        with contextlib.suppress(OSError):  # after Ctrl-C too; a finished one has been renamed
            part.unlink()


def _short(name: str) -> str:
    """A file's name, or its digest where a suffix would make it too long for the file system."""
    content = os.fsencode(name)
    return name if len(content) <= LONGEST_NAME else hashlib.sha256(content).hexdigest()[:32]


def regular(path: Path) -> Path:
    """The path itself, of a file that ends: a pipe would be waited for, a device read for ever.

    Raises:
        OSError: It is a pipe, a device or a socket.
    """
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(path))
    return path


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: It cannot be read.
        ValueError: It is none, or nested more deeply than any of ours.
    """
    try:
        return json.loads(regular(path).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("too deeply nested") from error


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file whole or not at all; the target's folder is made.

    Raises:
        DataError: The source cannot be read.
        CheckpointError: The target cannot be written.
    """
    try:
        content = source.read_bytes()
    except OSError as error:
        raise DataError("file cannot be read", where=source, found=error.strerror) from error
    write_atomic(target, lambda file: file.write(content))


def write_atomic(
    path: str | Path, write: Callable[[BinaryIO], object], *, size: int | None = None
) -> None:
    """Write a file whole or not at all.

    Args:
        path: Target; its folder is made.
        write: Called with the part, open for binary writing.
        size: Expected bytes, for the message when the disk is full.

    Raises:
        CheckpointError: The disk is full, or the folder cannot be written; the old file is as it
            was.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_old_parts(path)
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):  # it may never have been made
            part.unlink()
        full = _os_error(error)
        if full is None or isinstance(error, FacemorphError):
            raise
        raise _write_error(path, full, size) from error


def _os_error(error: BaseException) -> OSError | None:
    """The operating system's error behind an exception: torch's zip writer wraps it in a
    RuntimeError.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _write_error(path: Path, error: OSError, size: int | None) -> CheckpointError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        need = f"need {size / MEGABYTE:.0f} MB, " if size else ""
        free = shutil.disk_usage(path.parent).free / MEGABYTE
        return CheckpointError(
            f"disk full ({need}free {free:.0f} MB)",
            where=path,
            remedy="Free some space or set paths.output_root to another disk.",
        )
    return CheckpointError(
        f"cannot be written: {error.strerror or error}",
        where=path,
        remedy="Set paths.output_root to a folder that you can write.",
    )


def _remove_old_parts(path: Path) -> None:
    """Remove parts that a killed process left: at most one stays, that of the newest kill."""
    for old in path.parent.glob(f".{path.name}.*.part"):
        owner = old.name.split(".")[-2]
        if owner.isdigit() and not _is_alive(int(owner)):
            old.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)  # the rename itself
    finally:
        os.close(handle)


def sha256_of(path: str | Path) -> str:
    """sha256 of a file, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
