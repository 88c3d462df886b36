"""``facemorph degrade``: pictures as a passport would hold them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def degrade(
    files: Annotated[
        list[Path], typer.Argument(help="Pictures, or folders of them.", metavar="PICTURES...")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the results.", metavar="DIR")
    ],
    print_scan: Annotated[
        bool, typer.Option("--print-scan", help="Simulate printing and scanning.")
    ] = False,
    jpeg2000: Annotated[
        int | None, typer.Option(help="Compress to this many bytes; passports: 15000.")
    ] = None,
    jpeg: Annotated[int | None, typer.Option(help="JPEG quality, 1 to 95.")] = None,
    strength: Annotated[
        float, typer.Option(help="Of print and scan: 1 is a usual office printer.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of print and scan.")] = 0,
) -> int:
    """Print, scan and compress pictures, for passport protocols. Exit code 3: some failed."""
    from facemorph import console
    from facemorph.apps.attacks import degrade as app

    report = app.degrade(
        files,
        output,
        printed=print_scan,
        jpeg2000_bytes=jpeg2000,
        jpeg_quality=jpeg,
        strength=strength,
        seed=seed,
    )
    for row in report["rows"]:
        if row["status"] == "failed":
            console.err.print(row["reason"], markup=False)
    done = len(report["rows"]) - report["failed"]
    console.out.print(f"{done} done, {report['failed']} failed, in {output}", markup=False)
    return 3 if report["failed"] else 0
