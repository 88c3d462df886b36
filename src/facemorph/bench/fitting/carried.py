"""Rows of ``facemorph bench fit`` on what a viewer sees of a driver's mouth: how far its width and
the height of its corners, found anew in the moved photograph, follow those of the driver.

Smiles of FRLL drive other people's neutral photographs: from one smiling photograph, and as a video
does, from rest. The talking heads (GRID corpus, see ``docs/training_sets.md``) drive them too. The
moved photographs are of people that nothing was trained with. What the head's geometry does, and of
speech what marks that are painted on the corners of the photographed mouth do, is beside what is
found anew: the detector draws landmarks towards the mean face.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.fitting.face_fitting import FittedFaces, fit_faces, fit_track
from facemorph.apps.fitting.face_tracking import FaceTrack, track_face
from facemorph.apps.fitting.located_face import LocatedFace, locate
from facemorph.apps.heads.driven_portrait import (
    as_shown,
    portrait_of,
    portrait_warp,
    resized,
    transfer,
)
from facemorph.bench.table import Row, missing, row
from facemorph.errors import NoFaceFound
from facemorph.faces.detection import find_face, make_detector
from facemorph.geometry.fitting.landmark_solver import distance_between_pupils
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of

SIZE, TEXELS = 512, 512
EVERY = 3  # frames of a clip
SPLIT = Path(__file__).resolve().parents[4] / "docs/splits/frll_reenactment.csv"
CORRELATION, SLOPE = ">= 0.8", ">= 0.7"
CORNERS, EYES, LIPS = (48, 54), (slice(36, 42), slice(42, 48)), (62, 66)
LIDS = ((41, 37), (40, 38), (47, 43), (46, 44))  # lower and upper
NAMES = ("width of the mouth", "height of its corners", "gap of the lips", "opening of the eyes")
JUDGED = NAMES[:2]
FOUND = "found"
MARK, FAINT = 3.0, 0.3  # pixels; of the brightest pixel, below which it is no mark


def seen_of(landmarks: Tensor) -> Tensor:
    """What a viewer sees of an expression, ``(B, 4)`` of ``NAMES``, in distances between the
    pupils, along and across the line of the eyes.
    """
    pupils = distance_between_pupils(landmarks)[:, None]
    first, second = (landmarks[:, part].mean(1) for part in EYES)
    across = (second - first) / pupils
    down = torch.stack([-across[:, 1], across[:, 0]], 1)
    middle = (first + second) / 2
    left, right, upper, lower = (
        (landmarks[:, index] - middle) / pupils for index in (*CORNERS, *LIPS)
    )
    width = ((right - left) * across).sum(1)
    height = ((left + right) / 2 * down).sum(1)
    lids = torch.stack([landmarks[:, low] - landmarks[:, high] for low, high in LIDS])
    opening = (lids * down).sum(2).mean(0) / pupils[:, 0]
    return torch.stack([width, height, ((lower - upper) * down).sum(1), opening], 1)


def agreement(driver: Tensor, shown: Tensor) -> tuple[float, float]:
    """Correlation of two series ``(N,)``, and the slope of the second over the first."""
    one, other = driver - driver.mean(), shown - shown.mean()
    together = float(one @ other)
    return together / float(one.norm() * other.norm()), together / float(one @ one)


def people_of(*, tested: bool) -> list[str]:
    """People of FRLL whose split is ``test``, or all others."""
    with SPLIT.open(newline="") as file:
        return [row["person"] for row in csv.DictReader(file) if (row["split"] == "test") == tested]


class Receivers:
    """Neutral photographs of people that nothing was trained on, each fitted when it is needed."""

    def __init__(self, frll: Path, model: MorphableModel) -> None:
        self.people = people_of(tested=True)
        self.frll, self.model, self.detector = frll, model, make_detector()

    def face(self, person: str, kind: str) -> LocatedFace:
        """Somebody's photograph."""
        suffix = {"neutral": "03", "smiling": "08"}[kind]
        found = locate(self.frll / kind / f"{person}_{suffix}.jpg", detector=self.detector)
        return resized(portrait_of(found), SIZE)

    def drawn(self, fitted: FittedFaces, expression: Tensor) -> Tensor:
        """Landmarks ``(T, 68, 2)`` of the head with expressions ``(T, E)``, as it lies."""
        repeated = fitted.parameters[torch.zeros(len(expression), dtype=torch.long)]
        one = replace(repeated, expression=expression)
        marks = self.model.landmarks(vertices_of(self.model, one))
        return camera_of(one, fitted.frame).project(marks).pixels

    def moved(self, face: LocatedFace, fitted: FittedFaces, moved: FaceParameters) -> Tensor:
        """Landmarks ``(T, 68, 2)`` found in the photograph with each row's expression; NaN where no
        face is found.
        """
        found = []
        for picture in self._pictures(face.image, face, fitted, moved):
            try:
                found.append(find_face(picture, self.detector, name=face.name).points.float())
            except NoFaceFound:
                found.append(torch.full((68, 2), torch.nan))
        return torch.stack(found)

    def marked(self, face: LocatedFace, fitted: FittedFaces, moved: FaceParameters) -> Tensor:
        """The photograph's landmarks with each row's corners of the mouth ``(T, 68, 2)``: where a
        mark that is painted on each of them comes to lie, whatever a detector makes of the picture.
        """
        corners = face.landmarks[list(CORNERS)]
        height, width = face.image.shape[1:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        pixels = torch.stack([columns, rows], -1) + 0.5
        painted = torch.zeros(3, height, width)
        painted[:2] = ((pixels - corners[:, None, None]).square().sum(-1) / (-2 * MARK**2)).exp()
        found = []
        for picture in self._pictures(painted, face, fitted, moved):
            seen = picture[:2] * (picture[:2] > FAINT * picture[:2].amax((1, 2), keepdim=True))
            marks = face.landmarks.clone()
            marks[list(CORNERS)] = (
                torch.einsum("chw,hwx->cx", seen, pixels) / seen.sum((1, 2))[:, None]
            )
            found.append(marks)
        return torch.stack(found)

    def _pictures(
        self, image: Tensor, face: LocatedFace, fitted: FittedFaces, moved: FaceParameters
    ) -> Iterator[Tensor]:
        """A picture in the place of the photograph, with each row's expression."""
        warp, own = portrait_warp(fitted, image, TEXELS), fitted.parameters
        for index in range(len(moved)):
            one = replace(own, expression=moved.expression[index : index + 1])
            yield warp(HeadView(vertices_of(self.model, one), camera_of(one, face.frame)))


def find_clips() -> Path | None:
    """The developers' folder of talking heads, where it is there."""
    folder = Path(__file__).resolve().parents[5] / "shared/data/talking_heads/grid"
    return folder if folder.is_dir() else None


def carried_rows(model: MorphableModel, frll: Path | None, clips: Path | None) -> list[Row]:
    """Rows of smiles and of speech.

    Args:
        model: The model.
        frll: FRLL, or None.
        clips: A folder of talking heads, or None.
    """
    if frll is None or not SPLIT.is_file():
        return [missing("what is carried of a smile", "FRLL is not here: give --frll DIR")]
    receivers = Receivers(frll, model)
    rows = smile_rows(receivers)
    if clips is None:
        return [*rows, missing("what is carried of speech", "the talking heads are not here")]
    return rows + speech_rows(receivers, sorted(clips.glob("*.mpg")))


def smile_rows(receivers: Receivers) -> list[Row]:
    """The smile of each person moves the neutral photograph of the next."""
    people, neutral, smiling = receivers.people, [], []
    for person in console.track(people, "photographs"):
        neutral.append(receivers.face(person, "neutral"))
        smiling.append(receivers.face(person, "smiling"))
    rest, alone = fit_faces(neutral, receivers.model), fit_faces(smiling, receivers.model)
    marks = [torch.stack([one.landmarks for one in faces]) for faces in (neutral, smiling)]
    driver = seen_of(marks[1]) - seen_of(marks[0])
    rows = []
    for how, label in (("first", "FRLL, neutral to smiling"), ("nothing", "FRLL, one smile")):
        shown: list[Tensor] = []
        geometry: list[Tensor] = []
        for index in console.track(range(len(people)), label):
            other = (index + 1) % len(people)
            driving = alone[index].parameters
            if how == "first":
                both = fit_faces(
                    [neutral[index], smiling[index]], receivers.model, same_person=True
                )
                driving = FaceParameters.joined([one.parameters for one in both])
            driving = as_shown(driving, receivers.model, "embedded")
            moved = transfer(rest[other].parameters, driving, receivers.model, how)[-1:]
            found = receivers.moved(neutral[other], rest[other], moved)
            shown.append(seen_of(found) - seen_of(neutral[other].landmarks[None]))
            at_rest, smiled = (
                seen_of(receivers.drawn(rest[other], expression))
                for expression in (rest[other].parameters.expression, moved.expression)
            )
            geometry.append(smiled - at_rest)
        name = f"{receivers.model.name}, {label}"
        rows += _rows(name, driver, torch.cat(shown), how == "first")
        for column, judged in enumerate(JUDGED):
            slope = agreement(driver[:, column], torch.cat(geometry)[:, column])[1]
            rows.append(row(f"{name}: {judged}, slope of the geometry", slope, ""))
    return rows


def speech_rows(receivers: Receivers, clips: list[Path]) -> list[Row]:
    """Each clip moves a neutral photograph."""
    drivers: list[Tensor] = []
    ways: dict[str, list[Tensor]] = {}
    for index, clip in enumerate(console.track(clips, "clips")):
        track = track_face(clip, receivers.detector)
        fitted = fit_track(track, receivers.model)
        face = receivers.face(receivers.people[index], "neutral")
        own = fit_faces([face], receivers.model)[0]
        driving = as_shown(fitted.parameters, receivers.model, "embedded")
        moved = transfer(own.parameters, driving, receivers.model, "rest")
        chosen = _chosen(track)
        rows = moved[chosen]
        for name, marks in (
            (FOUND, receivers.moved(face, own, rows)),
            ("geometry", receivers.drawn(own, rows.expression)),
            ("marks on the photograph", receivers.marked(face, own, rows)),
        ):
            ways.setdefault(name, []).append(_motion(marks))
        drivers.append(_motion(track.landmarks[chosen]))
    label, driver = f"{receivers.model.name}, {len(clips)} speakers", torch.cat(drivers)
    result = _rows(label, driver, torch.cat(ways.pop(FOUND)), True)
    for way, seen in ways.items():
        for column, judged in enumerate(JUDGED):
            correlation, slope = agreement(driver[:, column], torch.cat(seen)[:, column])
            result += [
                row(f"{label}: {judged}, correlation of the {way}", correlation, ""),
                row(f"{label}: {judged}, slope of the {way}", slope, ""),
            ]
    return result


def _motion(landmarks: Tensor) -> Tensor:
    """What is seen of landmarks ``(T, 68, 2)``, without what somebody's own mouth always is."""
    seen = seen_of(landmarks)
    return seen - seen.nanmean(0)


def strength_table(frll: Path, model: MorphableModel) -> dict[float, float]:
    """Root mean square of what the geometry of a smile misses, in distances between the pupils, by
    the strength of its expressions: what ``landmark_calibration.STRENGTH`` was chosen by.

    Dlib's landmarks of both photographs are the truth. People of the split ``test`` are not used.

    Args:
        frll: FRLL with ``landmarks.npz``.
        model: The model.
    """
    kept = people_of(tested=False)
    with np.load(frll / "landmarks.npz") as data:
        chosen = [index for index, name in enumerate(data["ids"].tolist()) if name in kept]
        marks = [
            torch.from_numpy(data[f"dlib68_{kind}"][chosen]).float()
            for kind in ("neutral", "smiling")
        ]
        names = [data["ids"].tolist()[index] for index in chosen]
    truth = (seen_of(marks[1]) - seen_of(marks[0]))[:, :3]
    detector, found = make_detector(), []
    for kind, suffix in (("neutral", "03"), ("smiling", "08")):
        files = [frll / kind / f"{name}_{suffix}.jpg" for name in names]
        located = [locate(file, detector=detector) for file in files]
        found.append([one.parameters for one in fit_faces(located, model)])
    neutral, smiling = (FaceParameters.joined(rows) for rows in found)

    def drawn(expression: Tensor) -> Tensor:
        marks = model.landmarks(model.vertices(neutral.identity, expression))[..., :2]
        return seen_of(marks * marks.new_tensor([1.0, -1.0]))[:, :3]

    start = drawn(neutral.expression)
    return {
        strength: float(
            (drawn((strength * smiling.expression).clamp(*model.expression_range)) - start - truth)
            .square()
            .mean()
            .sqrt()
        )
        for strength in (1.0, 1.1, 1.2, 1.3, 1.35, 1.4, 1.5, 1.6)
    }


def _chosen(track: FaceTrack) -> Tensor:
    return track.seen.nonzero()[::EVERY, 0]


def _rows(label: str, driver: Tensor, shown: Tensor, judged: bool) -> list[Row]:
    found = shown.isfinite().all(1)
    rows = [row(f"{label}: faces found again", 100 * float(found.float().mean()), "%", "== 100")]
    for column, name in enumerate(NAMES):
        correlation, slope = agreement(driver[found, column], shown[found, column])
        bars = (CORRELATION, SLOPE) if judged and name in JUDGED else (None, None)
        rows += [
            row(f"{label}: {name}, correlation", correlation, "", bars[0]),
            row(f"{label}: {name}, slope", slope, "", bars[1]),
        ]
    return rows
