"""Random faces of a trained ImFace."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph import console
from facemorph.apps.implicit.choices import (
    Checkpoint,
    MeshKind,
    MeshTopology,
    PlaceColours,
    Resolution,
    Varied,
    check_number,
)
from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, OutputFolder, checked
from facemorph.jobs.outputs import check_writable
from facemorph.storage.files import write_whole

if TYPE_CHECKING:
    from torch import Tensor

    from facemorph.apps.implicit.face_meshes import FaceCodes, FaceMaker, FaceRow, ReportHead

    class SampleReport(ReportHead):
        """The report, with the numbers of the model's people and expressions."""

        people: int
        expressions: int
        rows: list[FaceRow]


PICTURE, REPORT, COLUMNS, CELL, SHOWN = "faces.png", "report.json", 5, 240, 60


@checked
def sample(
    output: OutputFolder,
    checkpoint: Checkpoint = "@last",
    *,
    count: int = 12,
    seed: int = 0,
    vary: Varied = "both",
    spread: float = 1.0,
    expression: int | None = None,
    person: str | Path | None = None,
    topology: MeshTopology = "free",
    resolution: Resolution = 128,
    kind: MeshKind = "ply",
    colours: PlaceColours = False,
    start: Annotated[str | Path | None, Option(("--from",), "CODES")] = None,
) -> SampleReport:
    """Random faces from a Gaussian fitted to the training people's codes, and the mean face.

    Args:
        output: Folder that gets the faces: meshes in millimetres called mean, face_001 and so on,
            their codes, their places on the template, faces.png and report.json.
        count: How many faces, beside the mean one.
        seed: Decides which faces they are.
        vary: What differs from face to face.
        spread: Factor of the training people's standard deviation; 0 repeats the mean.
        expression: Number of the training's expression, 0 is neutral; any when not given, neutral
            where only the identity varies.
        person: NAME_codes.npz of the person whose expressions vary; the mean person when not given.
        kind: Format of the meshes.
        start: NAME_codes.npz of a face, whose mesh alone is made; nothing is drawn then.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option, the checkpoint or the folder is at fault.
    """
    check_number("count", count, 1, 10_000)
    check_number("spread", spread, 0, 10)
    if person is not None and vary != "expression":
        raise ConfigError(
            "a person is given, and the identity varies",
            where="person",
            found=vary,
            remedy="Add --vary expression.",
        )
    folder = Path(output)
    check_writable(folder / REPORT)
    from facemorph.apps.implicit.codes import draw_codes
    from facemorph.apps.implicit.face_meshes import FaceMaker, load_imface, read_codes, report_head
    from facemorph.ops.threads import one_thread

    drawn: dict[str, object] = {"count": count, "seed": seed, "vary": vary, "spread": spread}
    drawn |= {"expression": expression, "person": person}
    written = {"topology": topology, "resolution": resolution, "kind": kind, "colours": colours}
    with one_thread():
        system = load_imface(checkpoint)
        if start is None:
            faces = draw_codes(system, **drawn)  # type: ignore[arg-type]
            names = ["mean", *(f"face_{index:03d}" for index in range(1, len(faces)))]
        else:
            faces = [read_codes(start, system)]
            names = [Path(start).stem.removesuffix("_codes")]
        make = FaceMaker(system, topology, resolution)
        rows = _write(make, dict(zip(names, faces, strict=True)), folder, kind, colours)
    given = {"from": None if start is None else str(start)}
    report: SampleReport = {
        **report_head(checkpoint, {**drawn, **given, **written}),
        "people": system.num_identities,
        "expressions": system.num_expressions,
        "rows": rows,
    }
    write_whole(folder / REPORT, (json.dumps(report, indent=1) + "\n").encode())
    return report


def _write(
    make: FaceMaker, faces: Mapping[str, FaceCodes], folder: Path, kind: str, colours: bool
) -> list[FaceRow]:
    """Write faces by name, and their sheet; the rows of the report."""
    from facemorph.apps.implicit.face_meshes import write_face
    from facemorph.apps.implicit.imface_pictures import picture
    from facemorph.apps.morphing.morph_pictures import contact_sheet
    from facemorph.faces.files.image_output import save_image

    rows: list[FaceRow] = []
    cells: list[tuple[str, Tensor]] = []
    for name, one in console.track(list(faces.items()), "faces"):
        begun = time.perf_counter()
        face = make(one)
        row = write_face(face, one, name, folder, kind, colours)
        rows.append({**row, "seconds": round(time.perf_counter() - begun, 2)})
        if len(cells) < SHOWN:
            cells.append((name, picture(face.mesh, face.colours if colours else None)))
    table = [cells[first : first + COLUMNS] for first in range(0, len(cells), COLUMNS)]
    save_image(contact_sheet(table, CELL), folder / PICTURE, synthetic=True)
    return rows
