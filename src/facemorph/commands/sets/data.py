"""``facemorph data``: fetch a data set, or check a folder of photographs before a long run."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from facemorph import console
from facemorph.apps.fitting.texture_sets import make_textures
from facemorph.apps.sets.pairs.pairs import make_pairs
from facemorph.apps.sets.prepare import prepare_dataset
from facemorph.apps.sets.scan_preparation import prepare_scans as prepare_all_scans
from facemorph.apps.sets.synthetic_scans import make_scans
from facemorph.apps.sets.synthetic_set import synthesize
from facemorph.apps.sets.views.join import join_sets
from facemorph.apps.sets.views.vary import vary_set
from facemorph.commands.from_signature import options_of
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
    for kind, names in (("wrong", report["wrong"]), ("missing", report["missing"])):
        if names:
            console.err.print(
                f"{len(names)} {kind}: {', '.join(names[:5])}{' ...' if len(names) > 5 else ''}",
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
    detector: Annotated[str, typer.Option(help="embedded, face_alignment or dlib.")] = "embedded",
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
@options_of(synthesize)
def synth(output: Path, **options: Any) -> int:
    """Make labelled synthetic faces: any number, the same bytes for a seed, resumable. Exit code 3:
    some failed.
    """
    report = synthesize(output, **options)
    from facemorph.apps.sets.picture_making import OVERVIEW

    _say_reasons(report["failed"][:5])
    _say_counts(report["counts"], report["people"])
    console.say_files([output / OVERVIEW])
    return 3 if report["counts"]["failed"] else 0


@data.command()
@options_of(vary_set)
def vary(source: Path, output: Path, **options: Any) -> int:
    """Make more views of every photograph of a prepared set: turned, with other expressions, in
    other light. Exit code 3: some failed.
    """
    report = vary_set(source, output, **options)
    from facemorph.apps.sets.views.varied_pictures import OVERVIEW

    _say_reasons(report["failed"][:10])
    _say_counts(report["counts"], report["people"])
    console.say_files([output / OVERVIEW])
    if report["pictures"]:
        console.next_command(f"facemorph train experiment=gif/small data.folder={output}")
    return 3 if report["counts"]["failed"] else 0


@data.command()
@options_of(join_sets)
def join(sources: list[Path], output: Path, **options: Any) -> int:
    """Make one training set of several, with splits of your own if you like."""
    report = join_sets(sources, output, **options)
    splits = ", ".join(f"{count} for {name}" for name, count in sorted(report["splits"].items()))
    console.out.print(f"{report['pictures']} pictures of {report['people']} people: {splits}")
    console.say_files([output / REPORT])
    return 0


@data.command()
@options_of(make_pairs)
def pairs(photographs: list[Path], output: Path, **options: Any) -> int:
    """Make training pairs for reenactment: two pictures of one person, cut and fitted together.
    Exit code 3: some people failed.
    """
    report = make_pairs(photographs, output, **options)
    from facemorph.apps.sets.pairs.pair_set import OVERVIEW

    rows = report["rows"]
    _say_reasons([row for row in rows if row["status"] == "failed"][:10])
    _say_reasons([one for row in rows for one in row.get("left_out", ())][:10])
    _say_counts(report["counts"], report["people"])
    kinds = ", ".join(f"{count} {kind}" for kind, count in report["pairs"].items())
    pictures = ", ".join(f"{count} {kind}s" for kind, count in report["pictures"].items())
    console.out.print(f"{pictures}; pairs: {kinds}")
    console.say_files(file for name in (REPORT, OVERVIEW) if (file := output / name).is_file())
    return 3 if report["counts"]["failed"] else 0


@data.command()
@options_of(make_textures)
def textures(**options: Any) -> int:
    """Make a texture model of the people of prepared sets: light taken out, gaps filled, principal
    components.
    """
    report = make_textures(**options)
    people = ", ".join(f"{count} {part}" for part, count in report["people"].items() if count)
    console.out.print(f"people: {people}; {report['grey']} grey pictures left out")
    console.out.print(f"explained variance {report['explained']:.1%}")
    for part, found in report["held_out"].items():
        alone = report["mean_alone"][part]
        console.out.print(f"{part}: {found:.2f} dB, the mean alone {alone:.2f} dB")
    console.say_files([Path(report["file"])])
    console.next_command(f"facemorph data synth -o SET --count 100 --skin {report['file']}")
    return 0


@data.command()
@options_of(make_scans)
def scans(output: Path, **options: Any) -> int:
    """Make labelled synthetic scans: identities times expressions, with landmarks and
    correspondences. Exit code 3: some failed.
    """
    report = make_scans(output, **options)
    from facemorph.apps.sets.scan_making import OVERVIEW

    _say_reasons(report["failed"][:5])
    console.out.print(_splits(report["counts"]))
    console.say_files([output / OVERVIEW])
    return 3 if report["counts"]["failed"] else 0


@data.command("prepare-scans")
@options_of(prepare_all_scans)
def prepare_scans(output: Path, **options: Any) -> int:
    """Make scans ready for ImFace: aligned, cut, one sheet, exact distances. Exit code 3: some
    failed.
    """
    report = prepare_all_scans(output=output, **options)
    counts = report["counts"]
    _say_reasons(report["failed"][:10])
    others = (f", {counts[status]} {status}" for status in ("failed", "missing") if counts[status])
    console.out.print(_splits(counts) + "".join(others))
    console.say_files([output / REPORT])
    if counts["training"]:
        console.next_command(f"facemorph train experiment=imface/small data.folder={output}")
    return 3 if counts["failed"] else 0


def _splits(counts: Mapping[str, int]) -> str:
    return (
        f"{counts['done']} scans, {counts['training']} for training and {counts['test']} for "
        "testing"
    )
