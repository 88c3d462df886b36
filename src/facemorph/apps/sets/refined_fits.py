"""Fits of a training set in the making, refined by its pictures: in several processes, and kept one
by one, so that neither an interruption nor more photographs cost what is done.

    DIR/first_fits.npz        FaceParameters of all pictures, as they were before
    DIR/refined/NAME.npz      of a picture, of all of a person for gdpw
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch

from facemorph.apps.fitting.face_fitting import FittedFaces, refine_faces
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.apps.sets.prepare_pictures import PreparedPicture, PrepareOptions
from facemorph.faces.files.image_io import load_image
from facemorph.faces.files.landmark_files import read_points
from facemorph.geometry.models.model_files import load_model
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.batch import Batch, run, stamp_of
from facemorph.jobs.outputs import make_folders
from facemorph.jobs.records import FAILED, Row
from facemorph.ops.frames import Frame

FOLDER, FIRST = "refined", "first_fits.npz"


@dataclass(frozen=True)
class FirstFits:
    """Pictures with first fits that are refined together.

    Attributes:
        places: Of their fits in the file of all.
        pictures: Their files.
        landmarks: Likewise.
    """

    places: tuple[int, ...]
    pictures: tuple[Path, ...]
    landmarks: tuple[Path, ...]


class RefinedRow(Row, total=False):
    """What became of some pictures' fits; ``stamp`` is of pictures and landmarks."""

    stamp: str


@dataclass(frozen=True)
class Refiner:
    """Refines the fits of a set.

    Attributes:
        first: The first fits of all pictures.
        options: What all pictures have in common.
        folder: Of the results.
    """

    first: FaceParameters
    options: PrepareOptions
    folder: Path

    def refine(self, group: FirstFits) -> RefinedRow:
        """Refine the fits of some pictures, and keep them."""
        options, model = self.options, load_model(self.options.model)
        faces, fits = [], []
        for place, picture, marks in zip(
            group.places, group.pictures, group.landmarks, strict=True
        ):
            points = read_points(marks)[0].float()
            faces.append(LocatedFace(load_image(picture), points, options.detector, picture.stem))
            frame, one = Frame(options.size, options.size), points[None]
            fits.append(FittedFaces(model, self.first[place], one, one, torch.zeros(1), frame))
        found = refine_faces(faces, fits, same_person=options.kind == "gdpw")
        file = f"{group.pictures[0].stem}.npz"
        FaceParameters.joined([fit.parameters for fit in found]).save(self.folder / file)
        return RefinedRow(files=[file])


def refined_fits(
    first: FaceParameters,
    rows: Sequence[PreparedPicture],
    options: PrepareOptions,
    folder: Path,
    workers: int,
) -> dict[int, FaceParameters]:
    """Refine fits by their pictures; people who share an identity, together.

    Args:
        first: The fits, in the order of the rows.
        rows: Records of the pictures; those whose fit could not be refined become failed, with the
            reason.
        options: What all have in common.
        folder: Of the training set.
        workers: Processes.

    Returns:
        The refined fits of those that could be, by their place.

    Raises:
        Interrupted: A signal came; what is refined stays.
    """
    kept = folder / FOLDER
    make_folders(folder, (FOLDER,))
    first.save(folder / FIRST)
    groups: dict[object, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(row["person"] if options.kind == "gdpw" else place, []).append(place)
    tasks: dict[str, FirstFits] = {}
    for places in groups.values():
        files = [[folder / row["files"][at] for row in _of(rows, places)] for at in (0, 1)]
        name = rows[places[0]]["name"]
        tasks[name] = FirstFits(tuple(places), tuple(files[0]), tuple(files[1]))
    done = run(
        Batch(
            kept,
            "refinement",
            tasks,
            partial(_start, options, folder),
            Refiner.refine,
            dict[str, RefinedRow],
            given=lambda group: RefinedRow(stamp=stamp_of(*group.pictures, *group.landmarks)),
            same=("stamp",),
            workers=workers,
            report_if_stopped=False,
        )
    )
    found: dict[int, FaceParameters] = {}
    for name, group in tasks.items():
        if done[name]["status"] == FAILED:
            _fail(_of(rows, group.places), done[name])
            continue
        refined = FaceParameters.load(kept / done[name]["files"][0])
        found |= {place: refined[row] for row, place in enumerate(group.places)}
    return found


def _start(options: PrepareOptions, folder: Path, _: int) -> Refiner:
    return Refiner(FaceParameters.load(folder / FIRST), options, folder / FOLDER)


def _of(rows: Sequence[PreparedPicture], places: Sequence[int]) -> list[PreparedPicture]:
    return [rows[place] for place in places]


def _fail(rows: Sequence[PreparedPicture], why: RefinedRow) -> None:
    """The pictures of fits that could not be refined are failed ones."""
    told = {key: why[key] for key in ("status", "error", "reason", "traceback") if key in why}
    for row in rows:
        row.update(cast(PreparedPicture, told))
