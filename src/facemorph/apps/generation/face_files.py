"""Files of generated people: pictures, codes, parameters, a sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from facemorph import console
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.errors import DataError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.model_arrays import ModelArrays
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.records import Header, header, write_json
from facemorph.storage.array_files import read_npz
from facemorph.storage.files import write_atomic

CODES, PARAMETERS, SHEET, REPORT = "codes.npz", "parameters.npz", "faces.png", "report.json"
ADDED, FIRST_ADDED = "added", "styles"  # in the file of codes, now and in older ones
COLUMNS, CELL, SHOWN = 6, 160, 60


class GeneratedReport(Header):
    """The content of ``report.json``."""

    faces: int
    files: list[str]


def read_faces(folder: Path, generator: FaceGenerator) -> GeneratedFaces:
    """Faces of an earlier sample or inversion.

    Raises:
        DataError: The folder holds none, or those of another generator or model.
    """
    path = folder / CODES
    found = ModelArrays(
        path,
        read_npz(
            path,
            "this folder holds no generated faces",
            expected="what facemorph sample or invert writes",
            remedy="Make them again.",
        ),
        "generated face",
    )
    codes = found.tensor("codes")
    name = ADDED if ADDED in found else FIRST_ADDED
    added = generator.small.whole_addition(found.tensor(name)) if name in found else None
    parameters = FaceParameters.load(folder / PARAMETERS)
    expected = (len(parameters), generator.code_size)
    fits = added is None or tuple(added.shape) == (
        len(parameters),
        *generator.small.addition_shape(),
    )
    if tuple(codes.shape) != expected or parameters.model != generator.model.name or not fits:
        raise DataError(
            "these faces are of another generator or model",
            where=path,
            expected=f"{expected[0]} codes of {expected[1]} numbers, {generator.model.name}",
            found=f"{tuple(codes.shape)}, {parameters.model}",
            remedy="Give the checkpoint that they were made with.",
        )
    return GeneratedFaces(codes, parameters, added)


def save_codes(faces: GeneratedFaces, path: Path) -> None:
    """Write codes, and what is added to them where there is something.

    Raises:
        CheckpointError: The file cannot be written.
    """
    arrays: dict[str, Any] = {"codes": faces.codes.numpy()}
    if faces.added is not None:
        arrays[ADDED] = faces.added.numpy()
    write_atomic(path, lambda target: np.savez(target, **arrays))


def write_faces(
    generator: FaceGenerator,
    faces: GeneratedFaces,
    folder: Path,
    settings: Mapping[str, object],
    ways: Sequence[str] = (),
    suffix: str = "png",
) -> GeneratedReport:
    """Write pictures, codes, parameters, a sheet and the report.

    Args:
        generator: The generator.
        faces: The faces.
        folder: Where to.
        settings: For the report.
        ways: Labels of the ways in which each person is shown, where these are several; a row of
            the sheet then has one person.
        suffix: Of the pictures, ``png`` or ``jpg``.

    Raises:
        OutputError: They cannot be written.
    """
    files: list[str] = []
    cells: list[tuple[str, Tensor]] = []
    pictures = generator.pictures(faces)
    for row, picture in enumerate(console.track(pictures, "faces", total=len(faces))):
        person, way = divmod(row, len(ways) or 1)
        name = f"face_{person + 1:03d}"
        files.append(
            f"{name}_{ways[way].replace(' ', '_')}.{suffix}" if ways else f"{name}.{suffix}"
        )
        save_image(picture, folder / files[-1], synthetic=True)
        if len(cells) < max(SHOWN, len(ways)):
            cells.append((f"{person + 1} {ways[way]}" if ways else f"{person + 1}", picture))
    save_codes(faces, folder / CODES)
    faces.parameters.save(folder / PARAMETERS)
    columns = len(ways) or COLUMNS
    table = [cells[begin : begin + columns] for begin in range(0, len(cells), columns)]
    save_image(contact_sheet(table, CELL), folder / SHEET, synthetic=True)
    report: GeneratedReport = {**header(settings), "faces": len(faces), "files": files}
    write_json(folder / REPORT, report)
    return report
