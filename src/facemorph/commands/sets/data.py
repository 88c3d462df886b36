"""``facemorph data``: fetch a data set, or check a folder of photographs before a long run."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from facemorph import console
from facemorph.apps.sets.prepare import prepare_dataset
from facemorph.commands.from_signature import options_of
from facemorph.commands.shared_options import Detector
from facemorph.jobs.records import REPORT

data = typer.Typer(
    no_args_is_help=True,
    help="Fetch the Face Research Lab London Set; check photographs; make training sets.",
)


def _say_reasons(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print why some failed."""
    for row in rows:
        console.err.print(f"{row['name']}: {row['reason']}", markup=False)


def _say_counts(counts: Mapping[str, int], people: int) -> None:
    """Print how many ended how."""
    found = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
    console.out.print(f"{found}; {people} people")


@data.command()
def frll(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR")] = Path("data/frll"),
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="A local copy, folder or .zip, instead of the download.", metavar="PATH"
        ),
    ] = None,
) -> int:
    """Fetch the neutral portraits of the Face Research Lab London Set, each checked by its sha256
    (CC-BY 4.0).
    """
    from facemorph.apps.sets.frll import PAIRS, fetch_frll

    report = fetch_frll(output, source)
    for kind in ("wrong", "missing"):
        if report[kind]:
            console.err.print(
                f"{len(report[kind])} {kind}: {', '.join(report[kind][:5])}"
                f"{' ...' if len(report[kind]) > 5 else ''}",
                markup=False,
            )
    console.out.print(
        f"{len(report['written'])} written, {len(report['kept'])} kept, in {output}", markup=False
    )
    if report["wrong"] or report["missing"]:
        return 3
    console.next_command(
        f"facemorph morph-dataset {output / PAIRS} --images {output / 'neutral'} "
        f"--points {output / 'neutral'} -o morphs"
    )
    return 0


@data.command()
def check(
    folder: Annotated[Path, typer.Argument(help="Folder of photographs.", metavar="DIR")],
    points: Annotated[
        Path | None, typer.Option(help="Folder of their landmark files.", metavar="DIR")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="List of pairs of them.", metavar="PAIRS.txt")
    ] = None,
    faces: Annotated[bool, typer.Option(help="Look for the face of each.")] = True,
    detector: Detector = "embedded",
    json: Annotated[
        Path | None, typer.Option(help="Write everything found here.", metavar="FILE")
    ] = None,
) -> int:
    """Check photographs, landmarks and pairs: damaged, doubled, faceless, mismatched. Exit code 3:
    problems.
    """
    from facemorph.apps.sets.data_check import check_folder, say
    from facemorph.jobs.outputs import check_writable
    from facemorph.storage.files import write_whole

    if json is not None:
        check_writable(json)
    report = check_folder(folder, points=points, pairs=pairs, faces=faces, detector=detector)
    if json is not None:
        write_whole(json, (json_format.dumps(report, indent=1) + "\n").encode())
    return say(report)


@data.command()
@options_of(prepare_dataset)
def prepare(images: Path, output: Path, **options: Any) -> int:
    """Make a training set of photographs: crops, landmarks, fits, masks, splits. Exit code 3: some
    failed.
    """
    report = prepare_dataset(images, output, **options)
    from facemorph.apps.sets.prepare_fits import OVERVIEW

    rows = [row for row in report["rows"] if row["status"] in ("failed", "filtered")]
    _say_reasons(rows[:10])
    _say_counts(report["counts"], report["people"])
    console.say_files(file for name in (REPORT, OVERVIEW) if (file := output / name).is_file())
    return 3 if report["counts"]["failed"] else 0


@data.command()
def synth(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the set.", metavar="DIR")
    ],
    count: Annotated[int, typer.Option(help="Number of pictures; a larger one adds to a set.")],
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 256,
    seed: Annotated[int, typer.Option(help="Of everything.")] = 0,
    model: Annotated[
        str, typer.Option(help="makehuman, ict, or the file of a face model.")
    ] = "makehuman",
    supersample: Annotated[
        int, typer.Option(help="Samples along each side of a pixel: 1 fast, 2 smooth.")
    ] = 2,
    labels: Annotated[
        str,
        typer.Option(help="all, none, or some of uv, normals, depth, mask, landmarks, parameters."),
    ] = "all",
    kind: Annotated[str, typer.Option(help="Kind of picture: jpg or png.")] = "jpg",
    skin: Annotated[
        str, typer.Option(help="procedural, or a folder of your photographs or texture maps.")
    ] = "procedural",
    skins: Annotated[
        int, typer.Option(help="Number of procedural skins; 0: a new one for each person.")
    ] = 128,
    background: Annotated[
        str, typer.Option(help="procedural, or a folder of pictures.")
    ] = "procedural",
    same_identity: Annotated[int, typer.Option(help="Pictures of each person.", metavar="K")] = 1,
    camera: Annotated[str, typer.Option(help="weak or pinhole.")] = "weak",
    max_yaw: Annotated[
        float, typer.Option(help="Largest turn of a head to the side in degrees.")
    ] = 60.0,
    texture: Annotated[int, typer.Option(help="Side of the texture maps.")] = 512,
    workers: Annotated[int, typer.Option(help="Processes; 0: one for each core.")] = 0,
    shard: Annotated[
        str, typer.Option(help="K/N makes only the K-th of N parts (K from 0).")
    ] = "0/1",
) -> int:
    """Make labelled synthetic faces: any number, the same bytes for a seed, resumable. Exit code 3:
    some failed.
    """
    from facemorph.apps.sets.synthetic_faces import LABELS
    from facemorph.apps.sets.synthetic_set import OVERVIEW, synthesize

    wanted = {"all": list(LABELS), "none": []}.get(
        labels, [label.strip() for label in labels.split(",")]
    )
    report = synthesize(
        output,
        count,
        workers=workers or None,
        shard=shard,
        labels=wanted,
        size=size,
        seed=seed,
        model=model,
        supersample=supersample,
        kind=kind,
        skin=skin,
        skins=skins,
        background=background,
        same_identity=same_identity,
        camera=camera,
        max_yaw=max_yaw,
        texture=texture,
    )
    for row in report["failed"][:5]:
        console.err.print(f"{row['name']}: {row['reason']}", markup=False)
    counts = report["counts"]
    console.out.print(
        ", ".join(f"{number} {status}" for status, number in counts.items() if number)
        + f"; {report['people']} people"
    )
    console.out.print(str(output / OVERVIEW), markup=False)
    return 3 if counts["failed"] else 0


@data.command()
def scans(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the set.", metavar="DIR")
    ],
    identities: Annotated[int, typer.Option(help="Number of people; more add to a set.")] = 64,
    expressions: Annotated[
        int, typer.Option(help="Number of expressions, the first is neutral; at most 20.")
    ] = 8,
    seed: Annotated[int, typer.Option(help="Of everything.")] = 0,
    model: Annotated[str, typer.Option(help="makehuman or ict.")] = "makehuman",
    noise: Annotated[
        bool, typer.Option(help="Noise of a scanner, 0.15 mm along the normals.")
    ] = False,
    holes: Annotated[
        bool, typer.Option(help="Up to four holes in a face, off its landmarks.")
    ] = False,
    obj: Annotated[bool, typer.Option(help="Write .obj beside each .ply.")] = False,
    held_identities: Annotated[
        float, typer.Option(help="Share of the people only for testing.")
    ] = 0.125,
    held_expressions: Annotated[
        float, typer.Option(help="Share of the expressions only for testing.")
    ] = 0.125,
    workers: Annotated[int, typer.Option(help="Processes; 0: one for each core.")] = 1,
) -> int:
    """Make labelled synthetic scans: identities times expressions, with landmarks and
    correspondences. Exit code 3: some failed.
    """
    from facemorph.apps.sets.synthetic_scans import OVERVIEW, make_scans

    report = make_scans(
        output,
        identities,
        expressions,
        workers=workers or None,
        seed=seed,
        model=model,
        noise=noise,
        holes=holes,
        obj=obj,
        held_identities=held_identities,
        held_expressions=held_expressions,
    )
    for row in report["failed"][:5]:
        console.err.print(f"{row['name']}: {row['reason']}", markup=False)
    counts = report["counts"]
    console.out.print(
        f"{counts['done']} scans, {counts['training']} for training and {counts['test']} for "
        "testing"
    )
    console.out.print(str(output / OVERVIEW), markup=False)
    return 3 if counts["failed"] else 0


@data.command("prepare-scans")
def prepare_scans(
    folder: Annotated[
        Path,
        typer.Argument(
            help="What `data scans` wrote, or IDENTITY/EXPRESSION.obj .ply .stl .glb with 68 "
            "landmarks beside each "
            "(.bnd, .txt or .csv; found by the detector without).",
            metavar="DIR",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of the training set.", metavar="SET")
    ],
    unit: Annotated[
        str, typer.Option(help="mm, cm or m; guess takes the size of the face.")
    ] = "guess",
    surface: Annotated[int, typer.Option(help="Points on each surface.")] = 235_000,
    free: Annotated[int, typer.Option(help="Points around it.")] = 15_000,
    seed: Annotated[int, typer.Option(help="Of the points.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes; 0: one for each core.")] = 0,
) -> int:
    """Make scans ready for ImFace: aligned, cut, one sheet, exact distances. Exit code 3: some
    failed.
    """
    from facemorph.apps.sets.scan_preparation import prepare_scans as prepare_all

    report = prepare_all(
        folder, output, workers=workers or None, unit=unit, surface=surface, free=free, seed=seed
    )
    for row in report["failed"][:10]:
        console.err.print(f"{row['name']}: {row['reason']}", markup=False)
    counts = report["counts"]
    console.out.print(
        f"{counts['done']} scans, {counts['training']} for training and {counts['test']} for "
        "testing"
        + "".join(
            f", {counts[status]} {status}" for status in ("failed", "missing") if counts[status]
        )
    )
    console.out.print(str(output / REPORT), markup=False)
    if counts["training"]:
        console.next_command(f"facemorph train experiment=imface/small data.folder={output}")
    return 3 if counts["failed"] else 0
