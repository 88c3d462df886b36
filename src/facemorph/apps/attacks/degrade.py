"""Pictures as a passport would hold them: printed, scanned, and compressed to a few kilobytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypedDict, cast

from facemorph import console
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import (
    attempt_each,
    check_distinct_names,
    check_files_exist,
    picture_files,
)
from facemorph.jobs.options import Option, OutputFolder
from facemorph.jobs.outputs import check_writable
from facemorph.storage.files import sha256_of, write_whole

REPORT = "degradations.json"
SEEDS = 10**18  # torch takes 64 bits


class DegradedRow(TypedDict, total=False):
    """What became of a picture: ``done`` or ``failed`` with the reason, and its bytes."""

    file: str
    status: str
    error: str
    reason: str
    sha256: str
    seed: int
    jpeg2000_bytes: int
    jpeg_bytes: int


class Degradations(TypedDict):
    """What ``degradations.json`` holds: options, a row for each picture, how many failed."""

    print_scan: bool
    strength: float
    jpeg2000_bytes: int | None
    jpeg_quality: int | None
    seed: int
    rows: list[DegradedRow]
    failed: int


def degrade(
    files: Annotated[Sequence[str | Path], Option(metavar="PICTURES")],
    output: OutputFolder,
    *,
    printed: Annotated[bool, Option(("--print-scan",))] = False,
    jpeg2000_bytes: Annotated[int | None, Option(("--jpeg2000",))] = None,
    jpeg_quality: Annotated[int | None, Option(("--jpeg",))] = None,
    strength: float = 1.0,
    seed: int = 0,
) -> Degradations:
    """Degrade pictures, in the order print-scan, then compression.

    Args:
        files: Pictures, or folders of them.
        output: Folder that gets PNG files of the same names (the pictures as they are read back)
            and degradations.json.
        printed: Simulate printing and scanning.
        jpeg2000_bytes: Compress with JPEG 2000 to this many bytes; passports: 15000. The .jp2 is
            kept beside the PNG.
        jpeg_quality: Compress with JPEG of this quality, 1 to 95.
        strength: How strongly printing and scanning change the picture: 1 is a usual office
            printer.
        seed: Decides the noise of printing and scanning; picture k takes seed + k.

    Returns:
        The content of ``degradations.json``.

    Raises:
        ConfigError: Nothing is to be done, or an option is out of its range.
        DataError: There is no picture, or two have one name.
        OutputError: A file cannot be written.
    """
    if not printed and jpeg2000_bytes is None and jpeg_quality is None:
        raise ConfigError(
            "nothing is to be done", where="degrade", expected="--print-scan, --jpeg2000 or --jpeg"
        )
    paths, output = picture_files(files), Path(output)
    if not any(path.exists() for path in paths):  # where only some are missing, only they fail
        check_files_exist(paths)
    check_distinct_names(paths)
    from facemorph.faces import degradations

    if printed:
        degradations.check_print(strength=strength)
    if jpeg2000_bytes is not None:
        degradations.check_jpeg2000_bytes(jpeg2000_bytes)
    if jpeg_quality is not None:
        degradations.check_jpeg_quality(jpeg_quality)
    if not -SEEDS <= seed < SEEDS - len(paths):
        raise ConfigError(
            "unusable seed",
            where="seed",
            expected="a whole number of at most 18 digits",
            found=seed,
        )
    check_writable(output / REPORT)
    if any(path.resolve().parent == output.resolve() for path in paths):
        raise ConfigError(
            "the output would overwrite the pictures",
            where=output,
            remedy="Choose another folder with -o.",
        )
    seeds = {path: seed + index for index, path in enumerate(paths)}

    def work(path: Path) -> DegradedRow:
        chosen = seeds[path] if printed else None
        return _degraded(path, output, chosen, strength, jpeg2000_bytes, jpeg_quality)

    rows = cast(list[DegradedRow], list(attempt_each(console.track(paths, "pictures"), work)))
    report: Degradations = {
        "print_scan": printed,
        "strength": strength,
        "jpeg2000_bytes": jpeg2000_bytes,
        "jpeg_quality": jpeg_quality,
        "seed": seed,
        "rows": rows,
        "failed": sum(row["status"] == "failed" for row in rows),
    }
    write_whole(output / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _degraded(
    path: Path,
    output: Path,
    seed: int | None,
    strength: float,
    jpeg2000_bytes: int | None,
    jpeg_quality: int | None,
) -> DegradedRow:
    """Degrade one picture and write it; printed where there is a seed."""
    from facemorph.faces import degradations
    from facemorph.faces.checks.face_cut import say_on_white
    from facemorph.faces.files.image_io import load_image
    from facemorph.faces.files.image_output import save_image

    image = load_image(path)
    say_on_white(path)
    row: DegradedRow = {"sha256": sha256_of(path)}
    if seed is not None:
        image = degradations.print_scan(image, seed, strength=strength)
        row["seed"] = seed
    if jpeg2000_bytes is not None:
        image, content = degradations.jpeg2000(image, jpeg2000_bytes)
        write_whole(output / f"{path.stem}.jp2", content)
        row["jpeg2000_bytes"] = len(content)
    if jpeg_quality is not None:
        image, content = degradations.jpeg(image, jpeg_quality)
        row["jpeg_bytes"] = len(content)
    save_image(image, output / f"{path.stem}.png", synthetic=True)
    return {"status": "done", **row}
