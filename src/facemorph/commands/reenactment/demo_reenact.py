"""``make demo-reenact``: the two committed photographs smile, turn, talk, and follow a video."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from facemorph.apps.sets.demo_photographs import PHOTOGRAPHS, sample_folder

SIZE = 512
EDITS = (
    ("smile", "exp mouthSmile 0.7 exp cheekSquint 0.3"),
    ("say ah", "exp jawOpen 0.6"),
    ("turn left", "global_pose yaw -15"),
    ("turn right", "global_pose yaw 15"),
)
PICTURE = "reenactment.png"


def demo_reenact(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the results.")] = Path(
        "demo_reenact"
    ),
    checkpoint: Annotated[
        str, typer.Option(help="Trained small GDPW: a file, @last, @open:gdpw.")
    ] = "@open:gdpw",
) -> None:
    """Move the two committed photographs by words, let one talk, and the other follow its video."""
    from facemorph import console
    from facemorph.apps.reenactment.reenact import reenact
    from facemorph.jobs.outputs import check_writable

    check_writable(output / PICTURE)
    photographs = [sample_folder() / name for name in PHOTOGRAPHS]
    console.out.print("1/3  words: smile, open the mouth, turn")
    pictures: dict[tuple[str, str], Path] = {}
    for name, words in EDITS:
        folder = output / name.replace(" ", "_")
        made = reenact(photographs, folder, edit=words, checkpoint=checkpoint, size=SIZE)
        for photograph, path in zip(photographs, made.files, strict=False):
            pictures[photograph.name, name] = path
    console.out.print("2/3  made-up speech")
    talking, follower = photographs[1], photographs[0]
    driving = output / "talking.mp4"
    spoken = reenact([talking], driving, preset="talk", checkpoint=checkpoint, size=SIZE)
    console.out.print(f"3/3  {follower.name} follows {driving.name}")
    followed = reenact(
        [follower],
        output / "following.mp4",
        driving=driving,
        compare=True,
        checkpoint=checkpoint,
        size=SIZE,
    )
    _show(output, photographs, pictures)
    for result in (spoken, followed):
        console.out.print(
            f"{result.files[0]}: {result.frames} frames, {1000 * result.seconds:.0f} ms each"
        )
    console.out.print(str(output / PICTURE))
    console.next_command(
        "facemorph reenact PHOTO.jpg --driving VIDEO.mp4 -o moved.mp4   (your own)"
    )


def _show(output: Path, photographs: list[Path], pictures: dict[tuple[str, str], Path]) -> None:
    """Write the sheet of what words did."""
    from facemorph.apps.morphing.morph_pictures import contact_sheet
    from facemorph.apps.reenactment.reenactor import square_of
    from facemorph.faces.files.image_io import load_image
    from facemorph.faces.files.image_output import save_image

    rows = [
        [
            ("photograph", square_of(photograph, SIZE)),
            *((name, load_image(pictures[photograph.name, name])) for name, _ in EDITS),
        ]
        for photograph in photographs
    ]
    save_image(contact_sheet(rows), output / PICTURE, synthetic=True)


if __name__ == "__main__":
    from facemorph.entry.exits import guarded
    from facemorph.entry.threads import leave_cores_free

    leave_cores_free()
    sys.exit(guarded(lambda: typer.run(demo_reenact)))
