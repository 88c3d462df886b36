"""The Face Research Lab London Set: fetched, checked picture by picture, and laid out as facemorph
expects it.

DeBruine and Jones (2017), Face Research Lab London Set, figshare, doi:10.6084/m9.figshare.5047666,
CC-BY 4.0; the list of pairs is that of FRLL-Morphs, as the ifmorph project publishes it.
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypedDict

from facemorph import console
from facemorph.errors import DataError, FacemorphError
from facemorph.jobs.outputs import check_writable
from facemorph.storage.files import ASSETS, write_whole
from facemorph.storage.pretrained import https_blocks

PICTURES_URL = "https://ndownloader.figshare.com/files/8541961"
PAIRS_URL = (
    "https://raw.githubusercontent.com/schardong/ifmorph/HEAD/data/pairs_for_morphing_full.txt"
)
PAIRS = "pairs_for_morphing_full.txt"
CHECKSUMS = ASSETS / "frll_sha256.txt"
LARGEST_FILE = 64 * 2**20
LARGEST_ARCHIVE = 2 * 2**30

Reader = Callable[[], bytes]
Opener = Callable[[str], Iterator[bytes]]


class FetchReport(TypedDict):
    """Names of the files that were written, kept as they are, wrong and missing."""

    written: list[str]
    kept: list[str]
    wrong: list[str]
    missing: list[str]


def fetch_frll(
    output: str | Path, source: str | Path | None = None, *, opener: Opener = https_blocks
) -> FetchReport:
    """Put the neutral portraits, their templates and the list of pairs in their places.

    Nothing whose sha256 is not the pinned one is kept. What is there and right is left alone, so
    that a call that was interrupted continues.

    Args:
        output: Folder: ``neutral/NNN_03.jpg`` and ``.tem``, ``pairs_for_morphing_full.txt``.
        source: A local copy, folder or ``.zip``; downloaded when None.
        opener: How to get the blocks of an address; https by default.

    Returns:
        ``written``, ``kept``, ``wrong`` and ``missing``: lists of names.

    Raises:
        DataError: The source is no folder or archive.
        CheckpointError: It cannot be downloaded.
        OutputError: The folder cannot be written.
    """
    output = Path(output)
    check_writable(output / PAIRS)
    wanted = read_checksums()
    report: FetchReport = {"written": [], "kept": [], "wrong": [], "missing": []}
    for name, digest in list(wanted.items()):
        path = output / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            report["kept"].append(name)
            del wanted[name]
    if not wanted:
        return report
    with tempfile.TemporaryDirectory(prefix="facemorph-frll-") as scratch:
        readers = _readers(source, wanted, Path(scratch), opener)
        for name, digest in console.track(wanted.items(), "files", total=len(wanted)):
            reader = readers.get(Path(name).name)
            if reader is None:
                report["missing"].append(name)
                continue
            content = reader()
            if hashlib.sha256(content).hexdigest() != digest:
                report["wrong"].append(name)
                continue
            (output / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(output / name, content)
            report["written"].append(name)
    return report


def read_checksums() -> dict[str, str]:
    """The pinned sha256 of each file, by its place in the folder."""
    lines = (line.split("  ") for line in CHECKSUMS.read_text(encoding="ascii").splitlines())
    return {name: digest for digest, name in lines}


def _readers(
    source: str | Path | None, wanted: dict[str, str], scratch: Path, opener: Opener
) -> dict[str, Reader]:
    """How to read each file of the source, by its bare name."""
    if source is None:
        readers: dict[str, Reader] = {}
        if any(name != PAIRS for name in wanted):
            archive = scratch / "frll.zip"
            _download(PICTURES_URL, archive, opener)
            readers = _archive_readers(archive)
        return {**readers, PAIRS: lambda: _limited(opener(PAIRS_URL), LARGEST_FILE, PAIRS_URL)}
    source = Path(source)
    if source.is_dir():
        return {path.name: path.read_bytes for path in sorted(source.rglob("*")) if path.is_file()}
    return _archive_readers(source)


def _download(url: str, path: Path, opener: Opener) -> None:
    size = 0
    with path.open("wb") as file:
        for block in opener(url):
            size += len(block)
            if size > LARGEST_ARCHIVE:
                raise FacemorphError(
                    "the download is too large to be the right one",
                    where=url,
                    expected=f"less than {LARGEST_ARCHIVE} bytes",
                )
            file.write(block)


def _limited(blocks: Iterator[bytes], limit: int, name: str) -> bytes:
    content = b""
    for block in blocks:
        content += block
        if len(content) > limit:
            raise FacemorphError(
                "the file is too large to be the right one",
                where=name,
                expected=f"less than {limit} bytes",
            )
    return content


def _archive_readers(path: Path) -> dict[str, Reader]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                one
                for one in archive.infolist()
                if not one.is_dir() and one.file_size <= LARGEST_FILE
            ]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            "this is no folder or .zip archive",
            where=path,
            found=type(error).__name__,
            remedy="Give the folder or the archive with --from.",
        ) from error

    def reader(member: zipfile.ZipInfo) -> Reader:
        def read() -> bytes:
            try:
                with zipfile.ZipFile(path) as archive:
                    return archive.read(member)
            except (zipfile.BadZipFile, OSError, RuntimeError):  # RuntimeError: encrypted
                return b""  # its sha256 will be wrong

        return read

    # Mac archives carry a shadow of every file.
    return {
        Path(one.filename).name: reader(one) for one in members if "__MACOSX" not in one.filename
    }
