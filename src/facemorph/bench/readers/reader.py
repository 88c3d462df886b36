"""A reader of files with small valid files for it, and what one file becomes in it."""

from __future__ import annotations

import contextlib
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from facemorph.bench.readers.changes import changed, seed_of
from facemorph.errors import FacemorphError

KIBIBYTE = 1024
READ, REFUSED = "read", "refused"


@dataclass(frozen=True)
class Reader:
    """A function of ours that reads files, and files that it reads well.

    Attributes:
        name: What people call the files.
        seeds: Makes the contents by file name, which may begin with a folder.
        read: Reads a file to its end; given its path.
        together: All files lie in one folder, of which one is changed.
    """

    name: str
    seeds: Callable[[], Mapping[str, bytes]]
    read: Callable[[Path], object]
    together: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        file: Name of the file that was changed.
        kind: ``read``, ``refused`` (with an error of ours), or the type of another exception.
        text: The message of an exception.
        memory: Mebibytes above what the process had before, at most.
        asked: The reader asked for more memory than the process may have.
    """

    file: str
    kind: str
    text: str = ""
    memory: float = 0.0
    asked: bool = False


def changed_file(
    reader: Reader, seeds: Mapping[str, bytes], seed: int, index: int
) -> tuple[str, bytes]:
    """Name and content of one damaged file."""
    names = list(seeds)
    name = names[index % len(names)]
    return name, changed(seeds[name], seed_of(seed, reader.name, index))


class Trial:
    """A folder in which files are put for a reader.

    Args:
        reader: Who reads them.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.seeds = dict(reader.seeds())
        self.base = 0.0

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """The folder, with all files in it that belong together."""
        with tempfile.TemporaryDirectory(prefix="facemorph-readers-") as scratch:
            for name, content in self.seeds.items():
                path = Path(scratch) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if self.reader.together:
                    path.write_bytes(content)
            yield Path(scratch)

    def outcome(self, folder: Path, name: str, content: bytes) -> Outcome:
        """Put a file in its place, read it, and take it away."""
        path = folder / name
        path.write_bytes(content)
        _forget_peak()
        before = peak_memory() if self.base == 0 else self.base
        error: BaseException | None = None
        try:
            self.reader.read(path)
        except Exception as caught:  # what this looks for
            error = caught
        memory = max(0.0, peak_memory() - before)
        if self.reader.together:
            path.write_bytes(self.seeds[name])
        else:
            path.unlink(missing_ok=True)
        if error is None:
            return Outcome(name, READ, memory=memory)
        kind = REFUSED if isinstance(error, FacemorphError) else type(error).__name__
        return Outcome(name, kind, str(error)[:300], memory, _asked_too_much(error))

    def unchanged(self) -> dict[str, Outcome]:
        """What becomes of the files as they are, by name."""
        with self.folder() as folder:
            return {
                name: self.outcome(folder, name, content) for name, content in self.seeds.items()
            }


def _asked_too_much(error: BaseException | None) -> bool:
    """Whether a lack of memory is behind an error.

    FFmpeg says so too of sizes that it never asks for.
    """
    while error is not None:
        lacks = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
        if lacks and not type(error).__module__.startswith("av."):
            return True
        error = error.__cause__ or error.__context__
    return False


def _forget_peak() -> None:
    """Let the kernel measure the peak anew, where it can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory() -> float:
    """Mebibytes that this process had in memory at most, since the peak was forgotten."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / KIBIBYTE
    unit = KIBIBYTE**2 if sys.platform == "darwin" else KIBIBYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
