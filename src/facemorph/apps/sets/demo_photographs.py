"""Where the two committed photographs are."""

from __future__ import annotations

from pathlib import Path

from facemorph.errors import DataError
from facemorph.storage.files import PACKAGE

PHOTOGRAPHS = ("sample_collins.png", "sample_hopper.png")


def sample_folder() -> Path:
    """Folder of the photographs: beside the package in a wheel, ``data/sample`` in a checkout.

    Raises:
        DataError: They are in neither.
    """
    for folder in (PACKAGE / "sample", PACKAGE.parents[1] / "data" / "sample"):
        if all((folder / name).is_file() for name in PHOTOGRAPHS):
            return folder
    raise DataError(
        "the demo's photographs are missing",
        where=PACKAGE.parents[1] / "data" / "sample",
        expected=" and ".join(PHOTOGRAPHS),
        remedy="Restore them with `git checkout data/sample`.",
    )
