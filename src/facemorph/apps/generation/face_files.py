"""Files of generated people: pictures, codes, parameters, a sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from facemorph import console
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.generation.surroundings import STEPS, Photographs, Surroundings
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.errors import DataError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.model_arrays import ModelArrays
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.records import Header, header, write_json
from facemorph.storage.array_files import read_npz
from facemorph.storage.files import write_atomic

CODES, PARAMETERS, SHEET, REPORT = "codes.npz", "parameters.npz", "faces.png", "report.json"
PHOTOGRAPHS = "photographs.npz"  # parameters of the faces in them; the pictures are with the codes
KEPT, LIKENESS, SHARES = "photographs", "likeness", "shares"
ROUNDED = 1e-4
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
    around = _surroundings(found, folder, generator, len(codes)) if KEPT in found else None
    return GeneratedFaces(codes, parameters, added, around)


def _surroundings(
    found: ModelArrays, folder: Path, generator: FaceGenerator, count: int
) -> Surroundings:
    """What photographs show around ``count`` faces.

    Raises:
        DataError: It does not fit them, or the photographs' parameters are missing.
    """
    images, likeness = (found.tensor(name) / STEPS for name in (KEPT, LIKENESS))
    shares = found.tensor(SHARES)
    parameters = FaceParameters.load(folder / PHOTOGRAPHS)
    photographs, side = len(parameters), generator.size
    expected = (photographs, 3, side, side), (photographs, 1, side, side), (count, photographs)
    sizes = tuple(images.shape), tuple(likeness.shape), tuple(shares.shape)
    fits = sizes == expected and parameters.model == generator.model.name
    if not fits or float(shares.min()) < 0 or float(shares.sum(1).max()) > 1 + ROUNDED:
        raise DataError(
            "the photographs around these faces do not fit them",
            where=folder / CODES,
            expected=f"{KEPT} {expected[0]}, {LIKENESS} {expected[1]}, {SHARES} {expected[2]} that "
            f"are 1 or less together, {generator.model.name}",
            found=f"{sizes[0]}, {sizes[1]}, {sizes[2]}, {parameters.model}",
            remedy="Make them again: facemorph invert.",
        )
    return Surroundings(Photographs(images, likeness, parameters), shares)


def save_people(faces: GeneratedFaces, folder: Path) -> None:
    """Write codes, what is added to them, parameters, and photographs around faces where there are
    some: what `read_faces` reads.

    Raises:
        CheckpointError: A file cannot be written.
    """
    arrays: dict[str, Any] = {"codes": faces.codes.numpy()}
    if faces.added is not None:
        arrays[ADDED] = faces.added.numpy()
    if faces.surroundings is not None:
        around = faces.surroundings
        kept = around.photographs
        for name, values in ((KEPT, kept.images), (LIKENESS, kept.likeness)):
            arrays[name] = (values * STEPS).round().byte().numpy()
        arrays[SHARES] = around.shares.numpy()
        kept.parameters.save(folder / PHOTOGRAPHS)
    faces.parameters.save(folder / PARAMETERS)
    write_atomic(folder / CODES, lambda target: np.savez(target, **arrays))
    if faces.surroundings is None:
        (folder / PHOTOGRAPHS).unlink(missing_ok=True)  # of faces that were here before


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
    save_people(faces, folder)
    columns = len(ways) or COLUMNS
    table = [cells[begin : begin + columns] for begin in range(0, len(cells), columns)]
    save_image(contact_sheet(table, CELL), folder / SHEET, synthetic=True)
    report: GeneratedReport = {**header(settings), "faces": len(faces), "files": files}
    write_json(folder / REPORT, report)
    return report
