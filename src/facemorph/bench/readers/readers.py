"""``facemorph bench readers``: random changes of files, which every reader reads or refuses with an
error of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facemorph import console
from facemorph.bench.readers.pictures import PICTURES
from facemorph.bench.readers.reader import READ, REFUSED, Reader
from facemorph.bench.readers.shapes import SHAPES
from facemorph.bench.readers.texts import TEXTS
from facemorph.bench.readers.trained import TRAINED
from facemorph.bench.readers.watched import CRASH, HANG, MEMORY, Tally, try_reader
from facemorph.bench.table import Row, row
from facemorph.config.compose import suggestion
from facemorph.errors import ConfigError

CHANGES = 10_000
READERS: tuple[Reader, ...] = (*PICTURES, *SHAPES, *TRAINED, *TEXTS)
SHOWN = 5  # harmful files of a reader that are named


def run(
    folder: Path | None = None,
    changes: int = CHANGES,
    only: Sequence[str] = (),
    seed: int = 0,
    keep: Path | None = None,
) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: Not needed.
        changes: Damaged files for each reader.
        only: Names of readers; all when empty.
        seed: What the damages follow from.
        keep: Folder in which files are put that did harm.

    Raises:
        ConfigError: There is no such reader.
    """
    del folder
    rows: list[Row] = []
    for reader in chosen(only):
        tally = try_reader(reader, changes, seed, keep=keep)
        rows += rows_of(tally)
        console.err.print(
            f"{reader.name}: {tally.changes} changes, {tally.kinds[READ]} read, "
            f"{tally.kinds[REFUSED]} refused, {len(tally.bad)} bad, "
            f"{tally.changes / max(tally.seconds, 1e-9):.0f} a second, {tally.memory:.0f} MiB",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        for index, name, text in tally.bad[:SHOWN]:
            console.err.print(f"  change {index}, {name}: {text}", markup=False)
        if len(tally.bad) > SHOWN:
            console.err.print(f"  and {len(tally.bad) - SHOWN} more")
    return rows


def chosen(names: Sequence[str]) -> list[Reader]:
    """The readers of some names, or all.

    Raises:
        ConfigError: There is no such reader.
    """
    known = {reader.name: reader for reader in READERS}
    for name in names:
        if name not in known:
            raise ConfigError(
                "there is no such reader",
                where="--only",
                found=name,
                remedy=suggestion(name, known),
            )
    return [known[name] for name in names] or list(READERS)


def rows_of(tally: Tally) -> list[Row]:
    """A reader's line of the table."""
    figures = {
        "changes": (tally.changes, None),
        "read": (tally.kinds[READ], None),
        "refused": (tally.kinds[REFUSED], None),
        "other exceptions": (tally.foreign, "== 0"),
        "over 10 s": (tally.kinds[HANG], "== 0"),
        "over 1 GiB": (tally.kinds[MEMORY], "== 0"),
        "crashes": (tally.kinds[CRASH], "== 0"),
        "changes a second": (tally.changes / max(tally.seconds, 1e-9), None),
        "peak MiB": (tally.memory, None),
    }
    return [
        row(f"{tally.reader}: {name}", value, "", bar) for name, (value, bar) in figures.items()
    ]
