"""A generated person with expression, pose or light of another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from facemorph.apps.generation.choices import Checkpoint
from facemorph.errors import ConfigError
from facemorph.jobs.input_files import check_files_exist
from facemorph.jobs.options import Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable

if TYPE_CHECKING:
    from facemorph.apps.generation.face_files import GeneratedReport

Part = Literal["expression", "pose", "light"]
PICTURE, REPORT, CELL = "transfer.png", "report.json", 200


@checked
def transfer(
    expressions: Annotated[Sequence[str | Path], Option(("--expression",), "A")],
    identity: Annotated[str | Path, Option(("--identity",), "B")],
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    take: Annotated[Sequence[Part] | None, Option(metavar="|".join(get_args(Part)))] = None,
) -> GeneratedReport:
    """Show one person with expression, pose or light of others.

    Args:
        expressions: Folder of an inversion or sample whose first face gives its expression; several
            times for several.
        identity: Folder of an inversion or sample whose first face gets it.
        output: Folder that gets face_001.png and so on, codes.npz and parameters.npz of all of
            them, transfer.png and report.json.
        take: What is taken of A; several times for several; expression when not given.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint or a folder is at fault.
    """
    parts = list(dict.fromkeys(take or ["expression"]))
    if not set(parts) <= set(get_args(Part)):
        expected = " | ".join(get_args(Part))
        raise ConfigError("no such choice", where="take", expected=expected, found=", ".join(parts))
    if not expressions:
        raise ConfigError("a face is needed that gives its expression", where="expression")
    check_files_exist([*expressions, identity])
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.generation.face_files import write_faces
    from facemorph.apps.generation.figures.figure_faces import (
        exchanged,
        first_face,
        placed,
    )
    from facemorph.apps.generation.generated_faces import GROUPS, FaceGenerator, GeneratedFaces
    from facemorph.apps.morphing.morph_pictures import contact_sheet
    from facemorph.faces.files.image_output import save_image
    from facemorph.ops.threads import one_thread

    settings = {
        "checkpoint": str(checkpoint),
        "expressions": [str(one) for one in expressions],
        "identity": str(identity),
        "take": parts,
    }
    names = [name for part in parts for name in GROUPS[part]]
    with one_thread():
        generator = FaceGenerator.load(checkpoint)
        givers = [first_face(Path(one), generator) for one in expressions]
        receiver = first_face(Path(identity), generator)
        changed = placed(
            generator, GeneratedFaces.joined([exchanged(receiver, one, names) for one in givers])
        )
        report = write_faces(generator, changed, folder, settings)
        pictures = list(generator.pictures(GeneratedFaces.joined([receiver, *givers, changed])))
    receives, count = _name(identity), len(givers)
    above = [_name(one) for one in expressions]
    below = [f"{receives} as {name}" for name in above]
    blank = pictures[0] * 0 + 1
    rows = [
        list(zip(["", *above], [blank, *pictures[1 : 1 + count]], strict=True)),
        list(zip([receives, *below], [pictures[0], *pictures[1 + count :]], strict=True)),
    ]
    save_image(contact_sheet(rows, CELL), folder / PICTURE, synthetic=True)
    return report


def _name(path: str | Path) -> str:
    return Path(path).resolve().name
