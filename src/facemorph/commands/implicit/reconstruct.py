"""``facemorph reconstruct``: scans to faces of a trained ImFace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from facemorph import console
from facemorph.apps.implicit import reconstruct as app
from facemorph.commands.from_signature import options_of
from facemorph.jobs.records import FAILED, REPORT


@options_of(app.reconstruct)
def reconstruct(files: list[Path], output: Path, **options: Any) -> int:
    """Fit a trained ImFace to scans: faces, errors in mm beside the template's. Exit code 3: some
    failed.
    """
    report = app.reconstruct(files, output, **options)
    for row in report["rows"]:
        if row["status"] == FAILED:
            console.err.print(f"{row['name']}: {row['reason']}", markup=False)
            continue
        console.out.print(
            f"{row['name']}: {row['fitted']['chamfer']:.2f} mm from the scan, the template "
            f"{row['template']['chamfer']:.2f} mm",
            markup=False,
        )
        if row["partial"]:
            console.out.print(
                "  parts of the face are missing: they are completed, and not in these figures"
            )
        if row["loose_pieces"]:
            console.out.print(
                f"  {row['loose_pieces']} loose pieces beside the head have been left out"
            )
    from facemorph.apps.implicit.reconstruction import PICTURE

    console.say_files(path for name in (REPORT, PICTURE) if (path := output / name).is_file())
    return 3 if report["counts"]["failed"] else 0
