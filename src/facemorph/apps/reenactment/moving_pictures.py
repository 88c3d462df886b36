"""Motions for photographs, and the pictures, videos and sheets of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.fitting.choices import Smoothing
from facemorph.apps.fitting.face_fitting import fit_faces
from facemorph.apps.fitting.located_face import locate
from facemorph.apps.heads.animate import SPEED
from facemorph.apps.heads.driven_portrait import (
    Driver,
    as_shown,
    driving_pictures,
    driving_row,
    held_rows,
    read_driver,
    sound_of,
    squared,
    transfer,
)
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.apps.reenactment.choices import Reenacted
from facemorph.apps.reenactment.editing.edit_sweep import sweep
from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.apps.reenactment.reenactor import Reenactor, load_reenactment
from facemorph.apps.reenactment.talk import talk
from facemorph.errors import DataError, OutputError
from facemorph.faces.choices import FrameNames
from facemorph.faces.face_input import FaceInput
from facemorph.faces.files.image_io import resize_image
from facemorph.faces.files.image_output import save_image
from facemorph.faces.files.video_io import write_frames
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.outputs import beside
from facemorph.ops.seeds import evenly
from facemorph.storage.suffixes import PICTURES, STILLS

SHOWN = 6  # frames on the sheet
POSE = ("rotation", "origin", "log_size")
EXPRESSION = ("expression", "joints")


@dataclass(frozen=True)
class Motion:
    """How some photographs move.

    Attributes:
        parameters: Of each photograph, a row for each frame.
        captions: Of each frame, for the sheet.
        driver: Whose motion it is; None for edits.
        frames_per_second: Its speed; None where nothing says one.
    """

    parameters: list[FaceParameters]
    captions: list[str]
    driver: Driver | None = None
    frames_per_second: float | None = None


@dataclass(frozen=True)
class View:
    """What a frame shows, and how a sequence is written; see the arguments of ``reenact``."""

    paste_back: bool
    compare: bool
    frames_per_second: float | None
    names: FrameNames = "index"
    max_megabytes: float | None = None


def load_people(
    sources: Sequence[str | Path | Tensor],
    checkpoint: str | Path,
    size: int | None,
    points: Sequence[str | Path] | str | Path | None,
    detector: LandmarkDetector,
    name: str,
) -> list[Reenactor]:
    """All photographs, ready to move: what is wrong with one is said before anything is written."""
    given = FaceInput(sources, points)
    if not given.pictures or len(given.landmark_files) != len(given.pictures):
        raise DataError(
            "no photographs, or not as many landmark files as photographs",
            where="sources",
            expected="at least one photograph",
            found=f"{len(given.pictures)} and {len(given.landmark_files)}",
        )
    system = load_reenactment(checkpoint)
    return [
        Reenactor(picture, system, size=size, points=file, detector=detector, detector_name=name)
        for picture, file in zip(given.pictures, given.landmark_files, strict=True)
    ]


# ------------------------------------------------------------
# motions
def driven(
    people: Sequence[Reenactor],
    path: Path,
    detector: LandmarkDetector,
    name: str,
    smoothing: Smoothing,
    first_segment: bool,
    relative_to: str | None,
    keep: str | None,
) -> Motion:
    """The motion of a driver, for each photograph."""
    model = people[0].model
    if path.suffix.lower() in PICTURES:
        driver = _photograph(path, model, detector, name)
    else:
        driver = read_driver(path, model, detector, name, smoothing, first_segment)
    reference = relative_to or ("nothing" if len(driver.parameters) == 1 else "rest")
    held = held_rows(driver)
    moved = []
    for person in people:
        rows = transfer(person.parameters, driver.parameters, model, reference)
        moved.append(_kept(rows, person.parameters, keep)[held])
    captions = [f"frame {number}" for number in range(len(held))]
    return Motion(moved, captions, driver, driver.frames_per_second)


def _photograph(path: Path, model: MorphableModel, detector: LandmarkDetector, name: str) -> Driver:
    """A driver that is one photograph."""
    fitted = fit_faces([locate(path, None, detector, source=name)], model)[0]
    return Driver(as_shown(fitted.parameters, model, name), None, None, path)


def _kept(moved: FaceParameters, source: FaceParameters, keep: str | None) -> FaceParameters:
    """Moved heads with what stays that of the photograph."""
    names = {"pose": POSE, "expression": EXPRESSION}.get(keep or "", ())
    own = {name: source.tensors()[name].expand_as(moved.tensors()[name]) for name in names}
    return replace(moved, **own)  # type: ignore[arg-type]


def preset_of(preset: str, people: Sequence[Reenactor], frames_per_second: float | None) -> Motion:
    """The motion of a preset, for each photograph: one axis after the other, all as long as the
    longest tour, or made-up speech.
    """
    if preset == "talk":
        speed = frames_per_second or SPEED
        spoken = [talk(one.model, one.parameters, speed) for one in people]
        return Motion(spoken, [f"frame {number}" for number in range(len(spoken[0]))])
    tours = [sweep(one.model, one.parameters, one.frame.width) for one in people]
    longest = max(tours, key=lambda one: len(one.captions))
    rows = [torch.arange(len(longest.captions)).clamp(max=len(one.captions) - 1) for one in tours]
    moved = [one.parameters[row] for one, row in zip(tours, rows, strict=True)]
    return Motion(moved, list(longest.captions))


def edited(people: Sequence[Reenactor], words: str) -> Motion:
    """One head for each photograph, changed by words."""
    moved = [Edits(one.model, one.parameters, one.frame.width).apply(words) for one in people]
    return Motion(moved, ["edited"])


# ------------------------------------------------------------
# pictures
def write(
    people: Sequence[Reenactor], motion: Motion, output: Path, view: View, still: bool
) -> Reenacted:
    """Write a picture, video or folder for each photograph, and a sheet of all."""
    speed = view.frames_per_second or motion.frames_per_second or SPEED
    files: list[Path] = []
    shown: list[tuple[int, Tensor]] = []
    rows: list[list[tuple[str, Tensor]]] = []
    begun, count = time.process_time(), len(motion.captions)
    for person, moved, path in zip(
        people, motion.parameters, _paths(people, output, still), strict=True
    ):
        shown = []
        frames = frames_of(person, moved, motion, view, shown)
        if path.suffix.lower() in STILLS:
            files.append(save_image(next(frames), path, synthetic=True))
        else:
            sound = None if motion.driver is None else sound_of(motion.driver, speed)
            files += write_frames(
                frames,
                path,
                speed,
                sound,
                names=view.names,
                shares=[row / max(count - 1, 1) for row in range(count)],
                max_megabytes=view.max_megabytes,
            )
        pictures = [(motion.captions[row], squared(one)) for row, one in shown]
        rows.append([("source", squared(person.portrait.image)), *pictures])
    seconds = (time.process_time() - begun) / (count * len(people))
    if count > 1:
        above = driving_row(motion.driver, [row for row, _ in shown])
        sheet = contact_sheet([*above, *rows])
        files.append(save_image(sheet, beside(output, "sheet.jpg"), synthetic=True, quality=90))
    return Reenacted(files, count, seconds)


def _paths(people: Sequence[Reenactor], output: Path, still: bool) -> list[Path]:
    """Where the result of each photograph goes."""
    if len(people) == 1 and (output.suffix or not still):
        return [output]
    names = [Path(one.name).stem for one in people]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise OutputError(
            "several photographs have one name",
            where=output,
            found=", ".join(sorted(twice)),
            remedy="Rename them, or make them one at a time.",
        )
    return [output / f"{name}{'.png' if still else '.mp4'}" for name in names]


def frames_of(
    person: Reenactor,
    moved: FaceParameters,
    motion: Motion,
    view: View,
    shown: list[tuple[int, Tensor]],
) -> Iterator[Tensor]:
    """The frames of one photograph; some of the moved squares are kept in ``shown``."""
    wanted = set(evenly(len(moved), SHOWN))
    driving = driving_pictures(motion.driver) if view.compare else None
    for row in console.track(range(len(moved)), f"frames of {Path(person.name).name}"):
        square = person(moved[row])
        if row in wanted:
            shown.append((row, square))
        picture = person.paste(square) if view.paste_back else square
        if view.compare:
            own = person.photograph if view.paste_back else person.portrait.image
            beside_it = [] if driving is None else [next(driving)]
            picture = _side_by_side([own, picture, *beside_it])
        yield picture


def _side_by_side(pictures: Sequence[Tensor]) -> Tensor:
    """Pictures of the height of the first, in a row."""
    height = pictures[0].shape[1]
    same = [
        one
        if one.shape[1] == height
        else resize_image(one, (height, max(1, round(one.shape[2] * height / one.shape[1]))))
        for one in pictures
    ]
    return torch.cat(same, 2).clamp(0, 1)
