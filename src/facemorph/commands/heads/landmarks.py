"""``facemorph landmarks``: landmark files for many photographs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Detector, Device, MinScore


def landmarks(
    files: Annotated[
        list[Path], typer.Argument(help="Photographs, or folders of them.", metavar="PICTURES...")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the landmark files.", metavar="DIR")
    ],
    kind: Annotated[str, typer.Option(help="json, csv, pts or tem.")] = "json",
    detector: Detector = "embedded",
    min_score: MinScore = None,
    overlay: Annotated[
        bool, typer.Option(help="Write the photographs with their landmarks too.")
    ] = False,
    again: Annotated[
        bool, typer.Option(help="Find them anew where a file is there already.")
    ] = False,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(help="Processes; 0: one for each core.")] = 1,
) -> int:
    """Find the landmarks of photographs, one file for each. Exit code 3: some failed."""
    from facemorph import console
    from facemorph.apps.heads.landmark_folder import REPORT, find_landmarks
    from facemorph.jobs.outputs import torch_device

    report = find_landmarks(
        files,
        output,
        kind=kind,
        detector=detector,
        min_score=min_score,
        overlay=overlay,
        again=again,
        device=str(torch_device(device)),
        workers=workers or None,
    )
    for row in report["rows"]:
        if row["status"] == "failed":
            console.err.print(row["reason"], markup=False)
    counts = report["counts"]
    console.out.print(
        ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    )
    console.out.print(str(output / REPORT), markup=False)
    console.next_command(
        shlex.join(
            [
                "facemorph",
                "morph-dataset",
                "PAIRS.txt",
                "--images",
                "DIR",
                "--points",
                str(output),
                "-o",
                "morphs",
            ]
        )
    )
    return 3 if counts["failed"] else 0
