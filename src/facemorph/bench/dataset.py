"""``facemorph bench dataset``: the whole FRLL-Morphs protocol by the command, with templates and
with detection.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from facemorph.bench.photographs.frll import PAIRS, find_frll
from facemorph.bench.table import Row, missing, row

GIB = 2**30
BARS = {True: ("templates", "< 240"), False: ("landmarks detected", "< 360")}


def run(folder: Path | None = None) -> list[Row]:
    """All rows of the suite.

    Args:
        folder: FRLL; found by itself when None.
    """
    frll = find_frll(folder)
    if frll is None:
        return [missing("all FRLL-Morphs pairs", "FRLL is not here: give --frll DIR", "< 240")]
    return [one for templates in (True, False) for one in protocol_rows(frll, templates)]


def protocol_rows(frll: Path, templates: bool) -> list[Row]:
    """Half-way morphs at 512 px of all pairs, to PNG: wall clock, memory of all processes, and what
    failed.

    Args:
        frll: The data set.
        templates: Use its hand-made points; else find the landmarks, once for each picture and
            process.
    """
    neutral, (kind, bar) = frll / "neutral", BARS[templates]
    points = ["--points", str(neutral)] if templates else []
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "morphs"
        seconds, memory = run_measured(
            [
                "morph-dataset",
                str(frll / PAIRS),
                "--images",
                str(neutral),
                *points,
                "-o",
                str(output),
            ]
        )
        report = json.loads((output / "report.json").read_text())
    done, failed = report["counts"]["done"], report["counts"]["failed"]
    what = f"{done} FRLL pairs, {kind}"
    return [
        row(f"{what}: half-way morphs at 512 px to PNG", seconds, "s", bar),
        row(f"{what}: work of a pair, mean", 1000 * report["seconds"] / max(done, 1), "ms"),
        row(f"{what}: largest memory of all processes together", memory / GIB, "GiB", "< 4"),
        row(f"{what}: failed", failed, "pairs", "== 0"),
    ]


def run_measured(words: list[str]) -> tuple[float, int]:
    """Run a facemorph command; wall-clock seconds, and the largest sum of its processes' resident
    memory in bytes.

    Raises:
        CalledProcessError: It fails.
    """
    start = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "facemorph.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    most = 0
    while process.poll() is None:
        most = max(most, session_memory(process.pid))
        time.sleep(0.25)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return time.perf_counter() - start, most


def session_memory(session: int) -> int:
    """Resident bytes of all processes of a session (Linux); shared pages count for each."""
    total, page = 0, os.sysconf("SC_PAGE_SIZE")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                total += int((folder / "statm").read_text().split()[1]) * page
        except (OSError, IndexError, ValueError):
            continue  # ended meanwhile
    return total
