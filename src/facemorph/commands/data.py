"""``facemorph data``: fetch a data set, or check a folder of photographs before a long run."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated

import typer

from facemorph.commands.shared_options import Detector

data = typer.Typer(no_args_is_help=True, help="Fetch the Face Research Lab London Set; check a folder of photographs.")


@data.command()
def frll(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR")] = Path("data/frll"),
    source: Annotated[Path | None, typer.Option(
        "--from", help="A local copy, folder or .zip, instead of the download.", metavar="PATH")] = None,
) -> int:
    """Fetch the neutral portraits of the Face Research Lab London Set, each checked by its sha256 (CC-BY 4.0)."""
    from facemorph import console
    from facemorph.apps.frll import PAIRS, fetch_frll

    report = fetch_frll(output, source)
    for kind in ("wrong", "missing"):
        if report[kind]:
            console.err.print(f"{len(report[kind])} {kind}: {', '.join(report[kind][:5])}"
                              f"{' ...' if len(report[kind]) > 5 else ''}", markup=False)
    console.out.print(f"{len(report['written'])} written, {len(report['kept'])} kept, in {output}", markup=False)
    if report["wrong"] or report["missing"]:
        return 3
    console.next_command(f"facemorph morph-dataset {output / PAIRS} --images {output / 'neutral'} "
                         f"--points {output / 'neutral'} -o morphs")
    return 0


@data.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of photographs.", metavar="DIR")],
    points: Annotated[Path | None, typer.Option(help="Folder of their landmark files.", metavar="DIR")] = None,
    pairs: Annotated[Path | None, typer.Option(help="List of pairs of them.", metavar="PAIRS.txt")] = None,
    faces: Annotated[bool, typer.Option(help="Look for the face of each.")] = True,
    detector: Detector = "embedded",
    json: Annotated[Path | None, typer.Option(help="Write everything found here.", metavar="FILE")] = None,
) -> int:
    """Check photographs, landmarks and pairs: damaged, doubled, faceless, mismatched. Exit code 3: problems."""
    from facemorph.apps.data_check import check_folder, say
    from facemorph.apps.preflight import check_writable
    from facemorph.faces.image_output import write_whole

    if json is not None:
        check_writable(json)
    report = check_folder(folder, points=points, pairs=pairs, faces=faces, detector=detector)
    if json is not None:
        write_whole(json, (json_format.dumps(report, indent=1) + "\n").encode())
    return say(report)
