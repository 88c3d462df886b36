"""``make demo-imface``: scans of the embedded head, a small ImFace trained on them, two unseen
people fitted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from facemorph.apps.implicit.reconstruction import ReconstructionReport

PEOPLE, EXPRESSIONS = 48, 5
SHOWN = "vowel_a"
WORD = "open mouth"
PICTURE = "imface.png"


def demo_imface(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path(
        "demo_imface"
    ),
    people: Annotated[
        int, typer.Option(help="Synthetic people; an eighth of them is not trained on.")
    ] = PEOPLE,
    words: Annotated[
        list[str] | None, typer.Argument(help="Further words for the training.", metavar="WORDS")
    ] = None,
) -> None:
    """Make scans of people who do not exist, train a small ImFace, fit two unseen people, carry an
    expression over.
    """
    from facemorph import console
    from facemorph.apps.implicit.reconstruct import reconstruct
    from facemorph.apps.implicit.transfer import transfer
    from facemorph.apps.sets.scan_preparation import prepare_scans
    from facemorph.apps.sets.synthetic_scans import make_scans
    from facemorph.errors import ConfigError
    from facemorph.jobs.outputs import check_writable
    from facemorph.jobs.training_process import train_in_process
    from facemorph.storage.runs import latest_checkpoint

    check_writable(output / PICTURE)
    scans, prepared = output / "scans", output / "set"
    console.out.print(
        f"1/4  scans of {people} people, {EXPRESSIONS} expressions each, with noise and holes"
    )
    made = make_scans(scans, people, EXPRESSIONS, noise=True, holes=True)
    if len(made["test_identities"]) < 2:
        raise ConfigError(
            "the demo shows two people whom training has not seen",
            where="people",
            expected="16 or more",
            found=people,
        )
    prepare_scans(scans, prepared, surface=14_100, free=900)
    console.out.print("2/4  training: train.py experiment=imface/demo")
    train_in_process(
        [
            "experiment=imface/demo",
            f"data.folder={prepared}",
            f"paths.output_root={output / 'runs'}",
            *(words or []),
        ]
    )
    checkpoint = latest_checkpoint(root=output / "runs")
    console.out.print("3/4  fitting two people whom training has not seen")
    giver, receiver = (str(one + 1) for one in made["test_identities"][:2])
    reports = [
        reconstruct(
            [prepared / person / f"{name}.npz" for name in ("neutral", SHOWN)],
            output / f"person_{person}",
            checkpoint,
            same_person=True,
            resolution=128,
            samples=50_000,
        )
        for person in (giver, receiver)
    ]
    console.out.print(f"4/4  the {WORD} of person {giver} on person {receiver}")
    codes = {
        (person, name): output / f"person_{person}" / f"{name}_codes.npz"
        for person in (giver, receiver)
        for name in ("neutral", SHOWN)
    }
    transfer(
        [codes[giver, SHOWN]],
        codes[receiver, "neutral"],
        output / "transfer",
        checkpoint,
        neutral=codes[giver, "neutral"],
    )
    _show(output, prepared, (giver, receiver), reports)
    console.next_command(
        "facemorph reconstruct SCAN.ply --checkpoint @last -o faces   (your own scans)"
    )


def _show(output: Path, prepared: Path, people: tuple[str, str], reports: list) -> None:
    """Write the sheet of both people, and say how near their scans their faces are."""
    from facemorph import console
    from facemorph.apps.implicit.imface_pictures import SIDE
    from facemorph.apps.morphing.morph_pictures import contact_sheet
    from facemorph.faces.files.image_output import save_image

    rows = [
        _fitted_row(output, prepared, person, report)
        for person, report in zip(people, reports, strict=True)
    ]
    rows.append(_transfer_row(output, prepared, *people))
    save_image(contact_sheet(rows, SIDE), output / PICTURE, synthetic=True)
    for person, report in zip(people, reports, strict=True):
        mean = report["mean"]
        console.out.print(
            f"person {person}: {mean['fitted']['chamfer']:.2f} mm from the scans, the template "
            f"{mean['template']['chamfer']:.2f} mm"
        )
    console.out.print(str(output / PICTURE))


def _fitted_row(
    output: Path, prepared: Path, person: str, report: ReconstructionReport
) -> list[tuple[str, Tensor]]:
    """Scan, face, error and template of a person's expression."""
    from facemorph.apps.implicit.imface_pictures import FULL_COLOUR, error_colours, picture
    from facemorph.geometry.meshes.mesh_files import Mesh, read_mesh
    from facemorph.geometry.scans.scan_files import read_scan
    from facemorph.geometry.scans.scan_placement import UNIT

    scan = read_scan(prepared / person / f"{SHOWN}.npz")
    mesh = read_mesh(output / f"person_{person}" / f"{SHOWN}.ply")
    face = Mesh(mesh.vertices / UNIT, mesh.faces)
    row = next(one for one in report["rows"] if one["name"] == SHOWN)
    return [
        (f"person {person}: unseen scan", picture(scan.sheet)),
        (f"reconstruction, {row['fitted']['chamfer']:.2f} mm", picture(face)),
        (
            f"before the scan red, behind blue ({FULL_COLOUR:g} mm)",
            picture(face, error_colours(face, scan.sheet)[0]),
        ),
    ]


def _transfer_row(
    output: Path, prepared: Path, giver: str, receiver: str
) -> list[tuple[str, Tensor]]:
    """The receiver at rest, with the giver's expression, and what the receiver's own looks like."""
    from facemorph.apps.implicit.imface_pictures import picture
    from facemorph.geometry.meshes.mesh_files import Mesh, read_mesh
    from facemorph.geometry.scans.scan_files import read_scan
    from facemorph.geometry.scans.scan_placement import UNIT

    meshes = [
        read_mesh(path)
        for path in (
            output / f"person_{receiver}" / "neutral.ply",
            output / "transfer" / f"neutral_as_{SHOWN}.ply",
        )
    ]
    rest, moved = (picture(Mesh(mesh.vertices / UNIT, mesh.faces)) for mesh in meshes)
    return [
        (f"person {receiver} at rest", rest),
        (f"with person {giver}'s {WORD}", moved),
        (
            f"own {WORD}: unseen scan",
            picture(read_scan(prepared / receiver / f"{SHOWN}.npz").sheet),
        ),
    ]


if __name__ == "__main__":
    from facemorph.entry.exits import guarded
    from facemorph.entry.threads import leave_cores_free

    leave_cores_free()
    sys.exit(guarded(lambda: typer.run(demo_imface)))
