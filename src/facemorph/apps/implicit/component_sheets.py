"""Sheets of faces along the principal components of ImFace's codes."""

from __future__ import annotations

from pathlib import Path

from facemorph import console
from facemorph.apps.implicit.face_meshes import FaceCodes, FaceMaker, FaceRow, write_face
from facemorph.apps.implicit.imface_pictures import picture
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.faces.files.image_output import save_image
from facemorph.systems.imface.code_statistics import PrincipalComponents

CELL = 200


def write_components(
    name: str,
    part: PrincipalComponents,
    rest: FaceCodes,
    make: FaceMaker,
    folder: Path,
    *,
    columns: int,
    sigmas: float,
    kind: str | None,
    colours: bool,
) -> list[FaceRow]:
    """Write the sheet of one kind of codes, and its meshes.

    Args:
        name: ``identity`` or ``expression``.
        part: Its components.
        rest: Codes of the face in the middle.
        make: Makes meshes.
        folder: Where to.
        columns: Faces of each component, an odd number.
        sigmas: Standard deviations to either side.
        kind: Format of the meshes; None writes none.
        colours: Colour vertices by their place on the template.

    Returns:
        Rows of the report on the meshes.
    """
    half = columns // 2
    steps = [sigmas * (column - half) / half for column in range(columns)]
    cells, rows = [], list[FaceRow]()
    middle = make(rest)
    for index in console.track(range(len(part.directions)), f"{name} components"):
        row = []
        for step in steps:
            moved = getattr(rest, name) + step * part.deviations[index] * part.directions[index]
            codes = (
                FaceCodes(moved, rest.expression)
                if name == "identity"
                else FaceCodes(rest.identity, moved)
            )
            face = middle if step == 0 else make(codes)
            where = f"{step:+g} sigma" if step else "mean"
            caption = f"{name} {index + 1} ({part.explained[index]:.0%}): {where}"
            row.append((caption, picture(face.mesh, face.colours if colours else None)))
            if kind is not None:
                file = f"{name}_{index + 1}_{step:+.3g}"
                rows.append(write_face(face, codes, file, folder, kind, colours))
        cells.append(row)
    save_image(contact_sheet(cells, CELL), folder / f"{name}.png", synthetic=True)
    return rows
