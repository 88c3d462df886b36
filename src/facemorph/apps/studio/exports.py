"""Exports of the studio: each is a command of facemorph, run in a process of its own and shown, so
that the shell makes the same.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Thread

from facemorph.apps.studio.project import EXPORTS, Project
from facemorph.apps.studio.work import Cancelled, Work, Workshop
from facemorph.errors import OutputError
from facemorph.storage.folders import natural_key

POLL = 0.1  # seconds
PATIENCE = 5.0  # seconds that a stopped command has to leave
PERCENT = re.compile(r"(\d+)\s*%")
COUNT = re.compile(r"\b(\d+)\s*(?:/|of)\s*(\d+)\b")
KEPT_LINES = 12


class Exports:
    """Runs commands for the page.

    Args:
        project: An opened one.
        workshop: Where they wait for each other.
    """

    def __init__(self, project: Project, workshop: Workshop) -> None:
        self.project, self._workshop = project, workshop

    def command(self, words: Sequence[str]) -> str:
        """The line that does the same in a shell."""
        return shlex.join(["facemorph", *words])

    def run(self, words: Sequence[str], output: Path, label: str | None = None) -> Work:
        """Begin a command.

        Args:
            words: Behind ``facemorph``.
            output: What it writes, among the exports.
            label: What to call it; the command and its output when None.
        """
        name = str(output.relative_to(self.project.folder / EXPORTS))
        return self._workshop.begin(
            label or f"{words[0]}: {name}", lambda work: self._run(work, words, output)
        )

    def names(self) -> list[str]:
        """All files that were made, newest first."""
        folder = self.project.folder / EXPORTS
        found: list[tuple[float, str]] = []
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):  # a part of a file that is written just now
                if path.is_file() and path.suffix != ".part":
                    name = path.relative_to(folder).as_posix()
                    found.append((path.stat().st_mtime, name))
        return [name for _, name in sorted(found, reverse=True)]

    def _run(self, work: Work, words: Sequence[str], output: Path) -> list[str]:
        begun = time.time()
        process = subprocess.Popen(  # noqa: S603 - our own command line, as a list of words
            [sys.executable, "-m", "facemorph.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.project.folder,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
            start_new_session=True,
        )
        lines: list[str] = []
        reader = Thread(target=lambda: _collect(process, lines), daemon=True)
        reader.start()
        try:
            while process.poll() is None:
                time.sleep(POLL)
                said = lines[-1] if lines else "starting"
                self._workshop.report(work, share_of(said, work.share), said[:200])
        except Cancelled:
            _end(process)
            raise
        reader.join(PATIENCE)
        if process.returncode != 0:
            raise OutputError(
                f"the command ended with code {process.returncode}",
                where=words[0],
                found=" ".join(lines[-KEPT_LINES:])[-600:] or None,
            )
        return self._made(output, begun)

    def _made(self, output: Path, begun: float) -> list[str]:
        """Names of what a command has written, what was asked for first."""
        folder = self.project.folder / EXPORTS
        beside = output.parent.glob(f"{output.stem}*")
        inside = output.rglob("*") if output.is_dir() else beside
        files = [one for one in inside if one.is_file() and one.stat().st_mtime >= begun - 1]
        ordered = sorted(files, key=lambda path: (path != output, natural_key(path)))
        return [path.relative_to(folder).as_posix() for path in ordered][:200]


def share_of(line: str, otherwise: float) -> float:
    """How far a command is by a line of its output: ``37%`` or ``3/8``."""
    percent, count = PERCENT.search(line), COUNT.search(line)
    if percent is not None:
        return min(int(percent[1]) / 100, 1.0)
    if count is not None and int(count[2]) > 0:
        return min(int(count[1]) / int(count[2]), 1.0)
    return otherwise


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    for line in _lines(process):
        lines.append(line)
        del lines[:-KEPT_LINES]


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    for line in process.stdout or ():
        if line.strip():
            yield line.strip()


def _end(process: subprocess.Popen[str]) -> None:
    """Stop a command, first as Ctrl-C does."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue
        return
