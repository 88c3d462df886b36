"""Coefficients of ARKit in JSON, in the forms in which apps and data sets write them.

There is no standard. What is read: a list of frames, or an object with ``frames``, each frame with
``blendShapes`` (also ``blendShapeWeights``, ``weights``) as a map of names, as a list of ``name``
and ``score`` (MediaPipe), or as numbers in the order of a list of ``names`` beside the frames
(BEAT); or one table of numbers, ``weightMat`` with ``facsNames`` (Audio2Face). The speed is from
``timestamp`` (``time``, ``timecode``) of every frame, or from ``fps``.

Head: ``transform``, 16 numbers, columns first, as ARKit's face anchor; or ``yaw``, ``pitch`` and
``roll``, turns about ARKit's axes y, x and z (the face's left, up, and out of the face), which are
ours; or ``eulerAngles``, x, y and z as SceneKit has them.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.recordings.performance import (
    Array,
    Performance,
    check_count,
    parameters_of,
    times_of_codes,
    times_of_stamps,
)
from facemorph.ops.rotations import rotation_from_euler
from facemorph.storage.files import read_json

SHAPES = ("blendshapes", "blendshapeweights", "blendshapevalues", "weights")
NAMES = ("names", "blendshapenames", "facsnames")
TABLE = "weightmat"
TIMES = ("timestamp", "time", "timecode", "timesec")
SPEEDS = ("fps", "framerate", "framespersecond", "exportfps")
NAME, SCORE = ("name", "categoryname", "displayname"), ("score", "value", "weight")
TRANSFORMS = ("transform", "headtransform", "facetransform", "headmatrix")
ANGLES = (("yaw", "pitch", "roll"), ("headyaw", "headpitch", "headroll"))
EULER = ("eulerangles", "headeulerangles")
NESTED = ("head", "headrotation", "headpose", "rotation", "pose")  # where angles may lie
MOST_NAMES = 1000
TURN = 1.6  # radians: heads turn no farther, so that larger angles are degrees
EXPECTED = (
    'a list "frames", each with "blendShapes": {"jawOpen": 0.2, ...} and "timestamp", or "fps"'
)
HEAD_EXPECTED = "expected are transform (16 numbers), yaw, pitch and roll, or eulerAngles"

logger = logging.getLogger(__name__)
Entries = dict[str, Any]


def is_arkit_json(path: str | Path) -> bool:
    """Whether a JSON file holds frames of coefficients, rather than anything else."""
    try:
        content = read_json(Path(path))
    except (OSError, ValueError):
        return False
    whole, frames = _parts(content)
    if _first(whole, NAMES) is not None and TABLE in whole:
        return True
    return any(_first(_entries(frame), SHAPES) is not None for frame in frames or ())


def read_arkit_json(path: str | Path, model: MorphableModel) -> tuple[FaceParameters, float | None]:
    """A row of parameters for each frame of a recording, and its frames per second.

    Args:
        path: The file.
        model: Of the parameters.

    Raises:
        DataError: It cannot be read, is another file, or has a damaged frame; it is named.
    """
    path = Path(path)
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(
            "this recording cannot be read",
            where=path,
            expected=EXPECTED,
            found=str(error).splitlines()[0][:80],
        ) from error
    whole, frames = _parts(content)
    if frames is None:
        found = f"an object with {', '.join(map(str, whole))[:80]}" if whole else "other values"
        raise DataError(
            "this JSON is no recording of a face", where=path, expected=EXPECTED, found=found
        )
    check_count(path, len(frames))
    entries = [_entries(frame) for frame in frames]
    names, values, seen = _coefficients(path, whole, entries)
    performance = Performance(
        path, names, values, _rotations(path, entries), _times(path, whole, entries), seen
    )
    return parameters_of(performance, model)


def _parts(content: Any) -> tuple[Entries, list[Any] | None]:
    """What stands beside the frames, and the frames; None where there are none."""
    if isinstance(content, list):
        return {}, content
    whole = _entries(content)
    if isinstance(whole.get(TABLE), list):
        return whole, [{SHAPES[0]: row} for row in whole[TABLE]]
    frames = whole.get("frames")
    return whole, frames if isinstance(frames, list) else None


def _entries(value: Any) -> Entries:
    """An object with its keys in lower case and without what separates words; else an empty one."""
    if not isinstance(value, dict):
        return {}
    return {key.lower().replace("_", "").replace(" ", ""): entry for key, entry in value.items()}


def _first(entries: Mapping[str, Any], keys: Sequence[str]) -> Any:
    return next((entries[key] for key in keys if entries.get(key) is not None), None)


def _number(value: Any) -> float:
    """A finite number.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{str(value)[:40]!r} in the place of a number")
    found = float(value) if abs(value) < 1e300 else math.nan
    if not math.isfinite(found):
        raise ValueError("a number beyond all")
    return found


def _each(path: Path, entries: Sequence[Entries], read: Callable[[Entries], Any]) -> list[Any]:
    """What is read of each frame.

    Raises:
        DataError: One cannot be read; its number is said.
    """
    found = []
    for number, frame in enumerate(entries, 1):
        try:
            found.append(read(frame))
        except ValueError as error:
            raise DataError(
                "a frame of this recording is damaged",
                where=f"{path}, frame {number}",
                expected=EXPECTED,
                found=str(error)[:160],
            ) from error
    return found


# ------------------------------------------------------------
# coefficients
def _coefficients(
    path: Path, whole: Entries, entries: Sequence[Entries]
) -> tuple[list[str], Array, Array]:
    """Names, values ``(T, N)``, and which frames have any."""
    given = _first(whole, NAMES)
    order = [str(name) for name in given] if isinstance(given, list) else []

    def read(frame: Entries) -> dict[str, float]:
        if not any(key in frame for key in SHAPES):
            raise ValueError(f"no blendShapes, but {', '.join(frame)[:80] or 'nothing'}")
        return _named(_first(frame, SHAPES), order)

    rows = _each(path, entries, read)
    names = list(dict.fromkeys(name for row in rows for name in row))
    places = {name: place for place, name in enumerate(names)}
    if not names:
        raise DataError("no frame of this recording shows a face", where=path, expected=EXPECTED)
    if len(names) > MOST_NAMES:
        raise DataError(
            "too many names of coefficients",
            where=path,
            expected=f"at most {MOST_NAMES}",
            found=len(names),
        )
    values = np.zeros((len(rows), len(names)))
    for target, row in zip(values, rows, strict=True):
        target[[places[name] for name in row]] = list(row.values())
    return names, values, np.array([bool(row) for row in rows])


def _named(value: Any, order: Sequence[str]) -> dict[str, float]:
    """The coefficients of a frame by name; none where no face was seen."""
    if value is None or value == []:
        return {}
    if isinstance(value, dict):
        return {name: _number(entry) for name, entry in value.items()}
    if not isinstance(value, list):
        raise ValueError(f"blendShapes are {type(value).__name__}")
    if isinstance(value[0], dict):
        pairs = [(_first(one, NAME), _first(one, SCORE)) for one in map(_entries, value)]
        if not all(isinstance(name, str) for name, _ in pairs):
            raise ValueError("blendShapes without names")
        return {str(name): _number(score) for name, score in pairs}
    if len(value) != len(order):
        raise ValueError(f"{len(value)} numbers for {len(order)} names beside the frames")
    return {name: _number(entry) for name, entry in zip(order, value, strict=True)}


# ------------------------------------------------------------
# times
def _times(path: Path, whole: Entries, entries: Sequence[Entries]) -> Array:
    stamps = [_first(frame, TIMES) for frame in entries]
    speed = _first(whole, SPEEDS)
    if all(isinstance(stamp, str) and ":" in stamp for stamp in stamps):
        return times_of_codes(path, stamps)[0]
    if all(stamp is not None for stamp in stamps):
        return times_of_stamps(path, _each(path, entries, lambda one: _number(_first(one, TIMES))))
    if any(stamp is not None for stamp in stamps):
        number = stamps.index(None) + 1
        raise DataError(
            "a frame of this recording has no time, and others have",
            where=f"{path}, frame {number}",
            expected=EXPECTED,
        )
    try:
        rate = _number(speed)
        if rate <= 0:
            raise ValueError(f"{rate:g} frames per second")
    except ValueError as error:
        raise DataError(
            "nothing says how fast this recording is",
            where=path,
            expected='"timestamp" in each frame, or "fps" beside "frames"',
            found="neither" if speed is None else str(error),
            remedy='Write {"fps": 30, "frames": [...]} around the frames.',
        ) from error
    return np.arange(len(entries)) / rate


# ------------------------------------------------------------
# the head
def _rotations(path: Path, entries: Sequence[Entries]) -> Tensor | None:
    """The head's rotations ``(T, 3, 3)``; None where no frame has any, held where one has none."""
    read = _each(path, entries, _head)
    kinds = {kind for kind, _ in filter(None, read)}
    if not kinds:
        unread = next((key for frame in entries for key in NESTED if frame.get(key)), None)
        if unread is not None:
            logger.warning(
                "%s: the head's rotation in %s is not read; %s.", path, unread, HEAD_EXPECTED
            )
        return None
    if len(kinds) > 1:
        raise DataError(
            "frames of this recording have the head's rotation in different forms",
            where=path,
            found=" and ".join(sorted(kinds)),
        )
    first = next(one for one in read if one is not None)
    rows, last = [], first[1]
    for one in read:
        last = last if one is None else one[1]
        rows.append(last)
    values = torch.tensor(rows, dtype=torch.float64)
    if "transform" in kinds:
        return _turned(path, values)
    return _of_angles(path, values, "euler" in kinds)


def _head(frame: Entries) -> tuple[str, list[float]] | None:
    """Form and numbers of a frame's rotation."""
    for place in (frame, *(_entries(frame.get(key)) for key in NESTED)):
        matrix = _first(place, TRANSFORMS)
        if matrix:
            flat = _flat(matrix, 16)
            return "transform", flat
        for keys in ANGLES:
            if all(key in place for key in keys):
                return "angles", [_number(place[key]) for key in keys]
        angles = _first(place, EULER)
        if angles:
            if isinstance(angles, dict):
                angles = [angles.get(axis) for axis in "xyz"]
            return "euler", _flat(angles, 3)
    return None


def _flat(values: Any, count: int) -> list[float]:
    rows = values if isinstance(values, list) else []
    flat = [one for row in rows for one in (row if isinstance(row, list) else [row])]
    if len(flat) != count:
        raise ValueError(f"{len(flat)} numbers of a rotation, expected {count}")
    return [_number(one) for one in flat]


def _turned(path: Path, values: Tensor) -> Tensor:
    """Rotations of matrices ``(T, 16)``, columns first."""
    matrices = values.view(-1, 4, 4).transpose(1, 2)
    rotation = matrices[:, :3, :3]
    error = (rotation @ rotation.transpose(1, 2) - torch.eye(3)).abs().amax((1, 2))
    last = (matrices[:, 3] - torch.tensor([0.0, 0, 0, 1])).abs().amax(1)
    wrong = ((error > 0.01) | (torch.det(rotation) < 0) | (last > 1e-3)).nonzero()
    if len(wrong):
        raise DataError(
            "a transform of this recording is no rotation with a place",
            where=f"{path}, frame {int(wrong[0]) + 1}",
            expected="16 numbers, columns first, the place in the last four, as ARKit has them",
        )
    return rotation.float()


def _of_angles(path: Path, values: Tensor, scene_kit: bool) -> Tensor:
    """Rotations of angles ``(T, 3)``, in radians or degrees."""
    most = float(values.abs().max())
    if most > 360:
        raise DataError(
            "an angle of this recording cannot be",
            where=path,
            expected="radians or degrees",
            found=most,
        )
    if most > TURN:
        logger.warning("%s: angles go up to %.3g and are taken as degrees.", path, most)
    radians = (values.deg2rad() if most > TURN else values).float()
    if not scene_kit:
        return rotation_from_euler(*radians.unbind(1))
    x, y, z = radians.unbind(1)
    none = torch.zeros_like(x)
    about_x, about_y, about_z = (
        rotation_from_euler(*turn) for turn in ((none, x, none), (y, none, none), (none, none, z))
    )
    return about_x @ about_y @ about_z
