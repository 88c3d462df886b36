"""A driving performance, what it does to somebody else's face, and pictures of that."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.fitting.choices import Smoothing
from facemorph.apps.fitting.face_fitting import FittedFaces, fit_track
from facemorph.apps.fitting.face_texture import texture_of
from facemorph.apps.fitting.face_tracking import read_pictures, track_face
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.faces.files.image_io import load_image, resize_image
from facemorph.faces.types import LandmarkDetector
from facemorph.geometry.fitting.landmark_calibration import full_strength
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.portraits.portrait_motion import HeadView
from facemorph.geometry.portraits.portrait_warp import PortraitWarp
from facemorph.geometry.recordings.recordings import read_recording
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_vector, vector_from_rotation
from facemorph.ops.seeds import evenly
from facemorph.storage.suffixes import PICTURES, VIDEOS

SHOWN = 6  # frames on the sheet
# Expression up to which a fitted face counts as at rest: it is its own look, and stays when a
# driver's expression is put in the place of its own.
CALM = 0.15
REST = 0.1  # of the frames, whose mean is the driving face at rest
# side of the cut square in units of the face, and the share of it above its middle
PORTRAIT, ABOVE = 3.0, 0.52

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Driver:
    """A driving performance.

    Attributes:
        parameters: A row for each frame.
        numbers: Of the frames in the video; None for parameters from a file.
        frames_per_second: Its speed; None where the file does not say.
        path: Where it is from.
    """

    parameters: FaceParameters
    numbers: Tensor | None
    frames_per_second: float | None
    path: Path


def portrait_of(face: LocatedFace) -> LocatedFace:
    """The square part of a photograph with head and shoulders, as far as the photograph goes."""
    low, high = face.landmarks.amin(0), face.landmarks.amax(0)
    height, width = face.image.shape[1:]
    side = int(min(PORTRAIT * float((high - low).amax()), height, width))
    middle = (low + high) / 2
    left = round(min(max(float(middle[0]) - side / 2, 0), width - side))
    top = round(min(max(float(middle[1]) - side * ABOVE, 0), height - side))
    return replace(
        face,
        image=face.image[:, top : top + side, left : left + side],
        landmarks=face.landmarks - face.landmarks.new_tensor([left, top]),
    )


def resized(face: LocatedFace, size: int) -> LocatedFace:
    """The photograph with ``size`` pixels along its longer side; both sides even, for videos."""
    height, width = face.image.shape[1:]
    scale = size / max(height, width)
    new = [max(2, round(side * scale / 2) * 2) for side in (height, width)]
    factor = face.landmarks.new_tensor([new[1] / width, new[0] / height])
    return replace(
        face,
        image=resize_image(face.image, (new[0], new[1])).clamp(0, 1),
        landmarks=face.landmarks * factor,
    )


def read_driver(
    path: Path,
    model: MorphableModel,
    detector: LandmarkDetector,
    name: str,
    smoothing: Smoothing,
    first_segment: bool,
) -> Driver:
    """The parameters of a driving video, folder, recording or file.

    Raises:
        DataError: It cannot be read, or belongs to another model.
    """
    recording = read_recording(path, model)
    if recording is not None:
        parameters, speed = recording
        vertices_of(model, parameters[0])  # the model's, or an error
        return Driver(parameters, None, speed, path)
    track = track_face(path, detector, source=name, first_segment=first_segment)
    fitted = fit_track(track, model, smoothing=smoothing)
    shown = as_shown(fitted.parameters, model, name)
    return Driver(shown, track.numbers, track.frames_per_second, path)


def as_shown(seen: FaceParameters, model: MorphableModel, detector: str) -> FaceParameters:
    """A driver's fit with its expressions as strong as they are, not as the detector sees them."""
    stronger = full_strength(seen.expression, detector, model.expression_range)
    return replace(seen, expression=stronger)


def sound_of(driver: Driver, speed: float) -> Path | None:
    """The file whose sound goes along: the driving video's, unless its speed is changed."""
    if driver.path.suffix.lower() not in VIDEOS or driver.frames_per_second is None:
        return None
    if abs(speed - driver.frames_per_second) > 1e-3 * speed:
        logger.warning(
            "%s: the sound is left out, as it lasts as long as %g frames per second, not %g.",
            driver.path,
            driver.frames_per_second,
            speed,
        )
        return None
    return driver.path


def held_rows(driver: Driver) -> Tensor:
    """The row of each frame of the driving video: where the face was not found, the last one, so
    that the result is as long as the video and its sound fits.
    """
    if driver.numbers is None:
        return torch.arange(len(driver.parameters))
    missing = int(driver.numbers[-1]) + 1 - len(driver.numbers)
    if missing:
        logger.warning(
            "%s: %d frames show no face; the frame before is held there, or the first one.",
            driver.path,
            missing,
        )
    every = torch.arange(int(driver.numbers[-1]) + 1)
    return (torch.searchsorted(driver.numbers, every, right=True) - 1).clamp(min=0)


def driving_pictures(driver: Driver | None) -> Iterator[Tensor] | None:
    """The pictures of a driving video or photograph, the last one again and again; None for
    parameters.
    """
    if driver is None:
        return None
    if driver.path.suffix.lower() in PICTURES:
        return _held_pictures(iter([(0, load_image(driver.path))]))
    if driver.numbers is None:
        return None
    return _held_pictures(read_pictures(driver.path))


def _held_pictures(pictures: Iterator[tuple[int, Tensor]]) -> Iterator[Tensor]:
    """Pictures by number: one that is missing is the one before, and so is what comes after."""
    expected, last = 0, None
    for number, picture in pictures:
        while last is not None and expected < number:
            yield last
            expected += 1
        last, expected = picture, number + 1
        yield picture
    while last is not None:
        yield last


def at_rest(parameters: FaceParameters) -> FaceParameters:
    """The driving face at rest, as one face: its least expression, and its middle pose."""
    count = max(1, round(REST * len(parameters)))
    calm = parameters.expression.square().sum(1).argsort()[:count]
    pose = torch.cat([parameters.rotation, parameters.log_size[:, None]], 1)
    middle = (pose - pose.median(0).values).square().sum(1).argsort()[:count]
    mean: dict[str, Any] = {
        name: value[calm if name in ("expression", "joints") else middle].mean(0, keepdim=True)
        for name, value in parameters.tensors().items()
    }
    return replace(parameters, **mean)


def transfer(
    source: FaceParameters, driving: FaceParameters, model: MorphableModel, relative_to: str
) -> FaceParameters:
    """The source's face moved as the driving one: a row for each of its frames.

    The identity stays the source's. Shifts and sizes are always relative: in units of the heads'
    sizes.

    Args:
        source: One face.
        driving: T faces of the same model.
        model: The model.
        relative_to: ``rest``, ``first`` or ``nothing``, as in ``animate``.
    """
    count = len(driving)
    reference = driving[0] if relative_to == "first" else at_rest(driving)
    rotation, own = rotation_from_vector(driving.rotation), rotation_from_vector(source.rotation)
    joints = driving.joints
    expression = driving.expression + source.expression.clamp(-CALM, CALM)
    if relative_to != "nothing":
        rotation = rotation @ rotation_from_vector(reference.rotation).transpose(1, 2) @ own
        expression = source.expression + driving.expression - reference.expression
        joints = source.joints + driving.joints - reference.joints
    growth = driving.log_size - reference.log_size
    shift = (driving.origin - reference.origin) * (source.log_size - reference.log_size).exp()[
        :, None
    ]
    repeated = source[torch.zeros(count, dtype=torch.long)]
    return replace(
        repeated,
        expression=expression.clamp(*model.expression_range),
        joints=joints,
        rotation=vector_from_rotation(rotation),
        origin=source.origin + shift,
        log_size=source.log_size + growth,
    )


def portrait_warp(fitted: FittedFaces, image: Tensor, texels: int) -> PortraitWarp:
    """What moves a photograph ``(3, H, W)`` of one fitted face, by a texture of ``texels`` pixels
    along a side.
    """
    head = HeadView(fitted.vertices(), fitted.camera())
    return PortraitWarp(fitted.model, image, head, texture_of([fitted], [image], texels))


def frames_of(
    warp: PortraitWarp,
    model: MorphableModel,
    moved: FaceParameters,
    frame: Frame,
    shown: list[tuple[int, Tensor]],
) -> Iterator[Tensor]:
    """The frames; some of them are kept in ``shown``."""
    keep = set(evenly(len(moved), SHOWN))
    for row in console.track(range(len(moved)), "frames"):
        one = moved[row]
        picture = warp(HeadView(vertices_of(model, one), camera_of(one, frame)))
        if row in keep:
            shown.append((row, picture))
        yield picture


def sheet_of(source: Tensor, shown: list[tuple[int, Tensor]], driver: Driver) -> Tensor:
    """The driving frames above, the results below."""
    below = [
        ("source", squared(source)),
        *((f"frame {row}", squared(picture)) for row, picture in shown),
    ]
    above = driving_row(driver, [row for row, _ in shown])
    return contact_sheet([*above, below])


def driving_row(driver: Driver | None, rows: Sequence[int]) -> list[list[tuple[str, Tensor]]]:
    """Captioned pictures of the driver at some frames of the result, as a row of a sheet; nothing
    for parameters.
    """
    pictures = driving_pictures(driver)
    if pictures is None:
        return []
    found = []
    for row, picture in enumerate(pictures):
        if row in rows:
            found.append((f"frame {row}", squared(picture)))
        if row >= max(rows):
            break
    return [[("driving", torch.ones_like(found[0][1])), *found]]


def squared(image: Tensor) -> Tensor:
    """A picture made square with white, so that pictures of two shapes stand in columns."""
    height, width = image.shape[1:]
    across, down = (max(height, width) - width) // 2, (max(height, width) - height) // 2
    return torch.nn.functional.pad(image, (across, across, down, down), value=1.0)
