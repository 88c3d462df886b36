"""A folder of meshes to a set that ImFace trains on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from facemorph.apps.implicit.choices import Unit
from facemorph.errors import ConfigError
from facemorph.jobs.options import Option, checked

if TYPE_CHECKING:
    from facemorph.apps.sets.prepared_scans import PreparationReport


@checked
def prepare_scans(
    folder: Annotated[str | Path, Option(metavar="DIR")],
    output: Annotated[str | Path, Option(("-o", "--output"), "SET")],
    *,
    unit: Unit = "guess",
    surface: int = 235_000,
    free: int = 15_000,
    seed: int = 0,
    workers: int | None = 0,
) -> PreparationReport:
    """Prepare a folder of meshes for ImFace.

    The same call continues a run that was interrupted, and tries again what failed or has changed.

    Args:
        folder: What facemorph data scans wrote, or IDENTITY/EXPRESSION.obj .ply .stl .glb with 68
            landmarks beside each (.bnd, .txt or .csv; found by the detector where there are none).
        output: Folder of the training set: IDENTITY/EXPRESSION.npz, index.json, report.json.
        unit: ``mm``, ``cm`` or ``m``; ``guess`` takes the size of the face.
        surface: Points on each surface.
        free: Points around it.
        seed: Of the points.
        workers: Processes; 0: one for each core.

    Returns:
        The content of ``report.json``.

    Raises:
        FacemorphError: An option or a folder is at fault.
    """
    if Path(folder).resolve() == Path(output).resolve():
        raise ConfigError("the set needs a folder of its own", where="output", found=output)
    from facemorph.apps.sets.prepared_scans import PreparationOptions, prepare_all

    how = PreparationOptions(unit, surface, free, seed)
    return prepare_all(Path(folder), Path(output), how, workers or None)
