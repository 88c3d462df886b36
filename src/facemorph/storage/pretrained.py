"""Third-party weights: where they come from, what they must be, and where they go.

Nothing is downloaded while facemorph runs, only by ``facemorph download NAME``: by https, to the
size and sha256 of ``pretrained/registry.yaml``, and whole or not at all. ``--file`` takes a file
that was fetched by other means through the same checks.
"""

from __future__ import annotations

import hashlib
import re
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from facemorph.config.compose import suggestion
from facemorph.errors import CheckpointError, ChecksumError, ConfigError
from facemorph.storage.checkpoint import check_file
from facemorph.storage.files import PACKAGE, pretrained_folder, write_atomic

BLOCK = 1 << 20
SECONDS = 60
SHORTEST = 10  # digits of a sum below which it says nothing
Opener = Callable[[str], Iterator[bytes]]


@dataclass(frozen=True)
class Weights:
    """One entry of the registry.

    Attributes:
        what: One line on what it is.
        url: https address.
        file: Name of the file.
        sha256: Its sha256, or as many of the first digits as its publisher gives.
        licence: Licence of the weights.
        bytes: Size, where known.
        place: ``torch_hub`` for what other packages look for there, else ``pretrained``.
        also: Other sums that are as good: the same weights in other releases.
        along: Names of other entries that belong to it and are fetched with it.
    """

    what: str
    url: str
    file: str
    sha256: str
    licence: str
    bytes: int | None = None
    place: str = "pretrained"
    also: Sequence[str] = ()
    along: Sequence[str] = ()

    @property
    def path(self) -> Path:
        """Where the file belongs."""
        if self.place == "torch_hub":
            import torch

            return Path(torch.hub.get_dir()) / "checkpoints" / self.file
        return pretrained_folder() / self.file


def registry(path: Path | None = None) -> dict[str, Weights]:
    """Read the registry.

    Args:
        path: Another file than facemorph's own.

    Raises:
        ConfigError: The file is missing or an entry has a wrong key.
    """
    candidates = (
        [path]
        if path
        else [PACKAGE / "registry.yaml", PACKAGE.parents[1] / "pretrained" / "registry.yaml"]
    )
    for candidate in candidates:
        if candidate.is_file():
            entries: Any = OmegaConf.to_container(OmegaConf.load(candidate), resolve=False)
            try:
                return {name: Weights(**entry) for name, entry in (entries or {}).items()}
            except TypeError as error:
                raise ConfigError(f"an entry is wrong: {error}", where=candidate) from error
    raise ConfigError("the registry of pretrained weights is missing", where=candidates[-1])


def fetch(
    name: str,
    *,
    file: Path | None = None,
    accept_sha256: str | None = None,
    entries: dict[str, Weights] | None = None,
    opener: Opener | None = None,
) -> Path:
    """Put the weights of a name in their place, checked.

    Args:
        name: Name in the registry.
        file: A local file to take instead of the address; what belongs to it is not fetched then.
        accept_sha256: All 64 digits of another sum that the user trusts, such as that of a newer
            release.
        entries: Another registry.
        opener: How to get the blocks of an address; https by default.

    Returns:
        The path of the weights. If they are there already they are checked and left alone.

    Raises:
        ConfigError: No such name, an address that is not https, or a sum that is none.
        ChecksumError: What came is not what the registry says; nothing is kept.
        CheckpointError: It cannot be fetched or written.
    """
    entries = registry() if entries is None else entries
    if name not in entries:
        raise ConfigError(
            f"there are no weights {name!r}", where="registry", remedy=suggestion(name, entries)
        )
    weights = _accepting(entries[name], accept_sha256)
    if file is None:
        for other in weights.along:
            fetch(other, entries=entries, opener=opener)
    if weights.path.is_file() and file is None:
        verify(weights, weights.path)
        return weights.path
    if file is not None:
        check_file(file)
        blocks: Iterator[bytes] = _file_blocks(file)
    elif weights.url.startswith("https://"):
        blocks = (opener or https_blocks)(weights.url)
    else:
        raise ConfigError("only https is allowed", where=name, found=weights.url)

    digest, size = hashlib.sha256(), 0

    def write(target: Any) -> None:
        nonlocal size
        for block in blocks:
            size += len(block)
            if weights.bytes is not None and size > weights.bytes:
                break  # the checksum will be wrong; do not fill the disk first
            digest.update(block)
            target.write(block)
        # before the part becomes the file
        _compare(weights, digest.hexdigest(), size, file or weights.url)

    write_atomic(weights.path, write, size=weights.bytes)
    return weights.path


def _accepting(weights: Weights, digest: str | None) -> Weights:
    """The entry with one more sum that is as good, of any size."""
    if digest is None:
        return weights
    if not re.fullmatch("[0-9a-fA-F]{64}", digest):
        raise ConfigError(
            "this is no sha256",
            where="accept-sha256",
            expected="64 hexadecimal digits",
            found=digest,
        )
    return replace(weights, also=(*weights.also, digest), bytes=None)


def verify(weights: Weights, path: Path) -> None:
    """Check a file against its entry.

    Raises:
        ChecksumError: It is another file.
    """
    check_file(path)
    digest = hashlib.sha256()
    for block in _file_blocks(path):
        digest.update(block)
    _compare(weights, digest.hexdigest(), path.stat().st_size, path)


def _compare(weights: Weights, found: str, size: int, where: Path | str) -> None:
    if weights.bytes is not None and size != weights.bytes:
        raise ChecksumError(
            "the size is wrong", where=where, expected=f"{weights.bytes} bytes", found=size
        )
    known = (weights.sha256, *weights.also)
    if not any(len(one) >= SHORTEST and found.startswith(one.lower()) for one in known):
        raise ChecksumError(
            "the sha256 is wrong",
            where=where,
            expected=" or ".join(one[:16] for one in known),
            found=found,
            remedy="Nothing was kept. Try again, or report it; if you know that this file is "
            "right, give --accept-sha256 with its sum.",
        )


def _file_blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def https_blocks(url: str) -> Iterator[bytes]:
    """The content of an address, block by block.

    Raises:
        CheckpointError: It cannot be reached, or leads away from https.
    """
    try:
        # https only, see fetch
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310
            if not str(answer.url).startswith("https://"):
                raise CheckpointError(
                    "the server leads away from https", where=url, found=answer.url
                )
            while block := answer.read(BLOCK):
                yield block
    except OSError as error:
        raise CheckpointError(
            f"cannot be downloaded: {error}",
            where=url,
            remedy="Fetch the file by other means and give it with --file.",
        ) from error
