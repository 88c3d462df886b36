"""A face of ImFace with the expression of another one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.implicit.choices import (
    Checkpoint,
    MeshKind,
    MeshTopology,
    PlaceColours,
    Resolution,
    Topology,
)
from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable
from facemorph.storage.files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from facemorph.apps.implicit.face_meshes import FaceRow, ReportHead

    class TransferReport(ReportHead):
        """The report, with the files of both persons."""

        expressions: list[str]
        identity: str
        rows: list[FaceRow]


PICTURE, REPORT, CELL = "transfer.png", "report.json", 280


@checked
def transfer(
    expressions: Annotated[Sequence[str | Path], Option(("--expression",), "A")],
    identity: Annotated[str | Path, Option(("--identity",), "B")],
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    neutral: Annotated[str | Path | None, Option(metavar="A0", kind=str)] = None,
    topology: MeshTopology = "free",
    resolution: Resolution = 128,
    kind: MeshKind = "ply",
    colours: PlaceColours = False,
) -> TransferReport:
    """The face of one person with expressions of another.

    A code of ImFace's expressions belongs to one person and one expression, so that it holds
    something of the person too. With the giver's neutral code that falls away; the receiver's
    neutral code has to be known then too.

    Args:
        expressions: NAME_codes.npz of the face that gives its expression; several times for
            several. Best fitted with --same-person.
        identity: NAME_codes.npz of the face that gets it.
        output: Folder that gets the faces: meshes RECEIVER_as_GIVER in millimetres, their codes,
            their places on the template, transfer.png and report.json.
        neutral: NAME_codes.npz of A's neutral face, or ``mean`` for the training's mean one: what
            A's expression changes is added to B's own, which should be neutral. More exact.
        kind: Format of the meshes.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint, codes or the folder are at fault.
    """
    folder = Path(output)
    givers = [_name(one) for one in expressions]
    if not givers or len(set(givers)) < len(givers):
        raise ConfigError(
            "each expression needs a file with a name of its own",
            where="expression",
            found=", ".join(givers) or "none",
        )
    check_writable(folder / REPORT)
    from facemorph.apps.implicit.face_meshes import report_head

    form = (topology, resolution, kind, colours)
    rows = _transferred(expressions, identity, folder, checkpoint, neutral, form)
    names = ("neutral", "topology", "resolution", "kind", "colours")
    report: TransferReport = {
        **report_head(checkpoint, dict(zip(names, (neutral, *form), strict=True))),
        "expressions": [str(one) for one in expressions],
        "identity": str(identity),
        "rows": rows,
    }
    write_whole(folder / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _transferred(
    expressions: Sequence[str | Path],
    identity: str | Path,
    folder: Path,
    checkpoint: str | Path,
    neutral: str | Path | None,
    form: tuple[Topology, int, MeshKind, bool],
) -> list[FaceRow]:
    """The faces, written with their picture."""
    import torch

    from facemorph.apps.implicit import face_meshes
    from facemorph.apps.implicit.codes import transferred
    from facemorph.apps.implicit.imface_pictures import SIDE, picture
    from facemorph.apps.morphing.morph_pictures import contact_sheet
    from facemorph.faces.files.image_output import save_image
    from facemorph.ops.threads import one_thread
    from facemorph.systems.imface.code_statistics import expression_table

    topology, resolution, kind, colours = form
    givers, receiver_name = [_name(one) for one in expressions], _name(identity)
    rows: list[FaceRow] = []
    with one_thread():
        system = face_meshes.load_imface(checkpoint)
        codes = [face_meshes.read_codes(one, system) for one in expressions]
        receiver, rest = face_meshes.read_codes(identity, system), None
        if neutral == "mean":
            mean = expression_table(system)[0].mean(0)
            rest = face_meshes.FaceCodes(system.mean_codes()[0], mean)
        elif neutral is not None:
            rest = face_meshes.read_codes(neutral, system)
        make = face_meshes.FaceMaker(system, topology, resolution)
        above: list[tuple[str, Tensor]] = [("", torch.ones(3, SIDE, SIDE))]
        below = [(receiver_name, picture(make(receiver).mesh))]
        for name, one in zip(givers, codes, strict=True):
            made = transferred(one, receiver, rest)
            face, both = make(made), f"{receiver_name}_as_{name}"
            rows.append(face_meshes.write_face(face, made, both, folder, kind, colours))
            above.append((name, picture(make(one).mesh)))
            shown = picture(face.mesh, face.colours if colours else None)
            below.append((f"{receiver_name} as {name}", shown))
    save_image(contact_sheet([above, below], CELL), folder / PICTURE, synthetic=True)
    return rows


def _name(path: str | Path) -> str:
    return Path(path).stem.removesuffix("_codes")
