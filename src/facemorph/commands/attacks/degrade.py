"""``facemorph degrade``: pictures as a passport would hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.attacks import degrade as app
from facemorph.commands.from_signature import options_of


@options_of(app.degrade)
def degrade(files: list[Path], output: Path, **options: Any) -> int:
    """Print, scan and compress pictures, for passport protocols. Exit code 3: some failed."""
    report = app.degrade(files, output, **options)
    for row in report["rows"]:
        if row["status"] == "failed":
            console.err.print(row["reason"], markup=False)
    done = len(report["rows"]) - report["failed"]
    console.out.print(f"{done} done, {report['failed']} failed, in {output}", markup=False)
    return 3 if report["failed"] else 0
