"""``facemorph landmarks``: landmark files for many photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.heads.landmark_folder import find_landmarks
from facemorph.commands.from_signature import options_of
from facemorph.jobs.records import FAILED


@options_of(find_landmarks)
def landmarks(files: list[Path], output: Path, **options: Any) -> int:
    """Find the landmarks of photographs, one file for each. Exit code 3: some failed."""
    report = find_landmarks(files, output, **options)
    from facemorph.apps.heads.landmark_finder import REPORT

    for row in report["rows"]:
        if row["status"] == FAILED:
            console.err.print(row["reason"], markup=False)
    counts = report["counts"]
    console.out.print(
        ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    )
    console.say_files([output / REPORT])
    words = ("PAIRS.txt", "--images", "DIR", "--points", output, "-o", "morphs")
    console.say_next("morph-dataset", *words)
    return 3 if counts[FAILED] else 0
