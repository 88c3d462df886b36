"""What the user sees: one rich console, and progress as a bar on a terminal and as plain lines
elsewhere.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")

out = Console(emoji=False, highlight=False, soft_wrap=True)
err = Console(emoji=False, stderr=True, highlight=False, soft_wrap=True)


def progress_columns() -> tuple[ProgressColumn, ...]:
    """Columns of every progress bar: description, bar, count, time spent and time left."""
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


def track(
    items: Iterable[Item],
    description: str,
    total: int | None = None,
    plain_every_seconds: float = 10.0,
) -> Iterator[Item]:
    """Yield ``items`` and show how far it is.

    A bar with the time left on a terminal; elsewhere (CI, nohup, a pipe) one plain line every
    ``plain_every_seconds`` seconds, and none for what is quicker.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if err.is_terminal:
        with Progress(*progress_columns(), console=err, transient=True) as bar:
            yield from bar.track(items, total=total, description=description)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if now - last >= plain_every_seconds:
            left = (
                f", about {(now - start) / done * (total - done):.0f} s left"
                if total and done
                else ""
            )
            err.print(
                f"{description}: {done}/{total if total is not None else '?'} after "
                f"{now - start:.0f} s{left}"
            )
            last = now
        yield item


def next_command(command: str) -> None:
    """Print the next useful command, as every facemorph command does at its end."""
    out.print(f"next: [bold]{escape(command)}[/bold]")


def say_next(*words: object, note: str = "") -> None:
    """Print the next useful command, quoted for the shell.

    Args:
        words: The words after ``facemorph``.
        note: What it is good for.
    """
    next_command(shlex.join(["facemorph", *map(str, words)]) + (f"   ({note})" if note else ""))


def say_files(files: Iterable[str | Path]) -> None:
    """Print the paths of files, each in a line."""
    for file in files:
        out.print(str(file), markup=False)
