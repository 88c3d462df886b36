"""Motion files (BVH) of faces whose joints are called as coefficients.

BVH knows nothing but joints; tools that write a face into it make a joint of each coefficient
(``jawOpen``, ``eyeBlink_L``) and put its value into one of the joint's channels. The head's
rotation is that of the joints ``neck`` and ``head``; how the body turns is left out.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

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
    known_names,
    parameters_of,
)
from facemorph.ops.rotations import rotation_from_vector
from facemorph.storage.files import regular

BEGIN = "HIERARCHY"
FEWEST = 10  # coefficients below which these are the bones of a rig
HEAD = re.compile(r"(neck|head)[_.]?\d*")
STILL = 1e-6  # movement of a channel that carries nothing
MOST_JOINTS = 2000
REMEDY = (
    "Export the coefficients themselves: Live Link Face (.csv), ARKit's in JSON, or joints that "
    "are called jawOpen, eyeBlinkLeft and so on."
)

logger = logging.getLogger(__name__)


@dataclass
class Joint:
    """A joint of a motion file.

    Attributes:
        name: As the file says it.
        above: The joints that carry it, from the root on.
        offset: Its place when nothing moves.
        channels: What moves, such as ``Xrotation``.
        column: Of its first channel, in the table of frames.
    """

    name: str
    above: tuple[Joint, ...] = ()
    offset: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    channels: list[str] = field(default_factory=list)
    column: int = 0


def read_bvh(path: str | Path, model: MorphableModel) -> tuple[FaceParameters, float | None]:
    """A row of parameters for each frame of a motion file, and its frames per second.

    Args:
        path: The file.
        model: Of the parameters.

    Raises:
        DataError: It cannot be read, is damaged, or its joints are no coefficients.
    """
    path = Path(path)
    try:
        lines = regular(path).read_text(encoding="utf-8-sig").splitlines()
        begin = next(n for n, line in enumerate(lines) if line.strip().upper() == "MOTION")
        joints = _joints(" ".join(lines[:begin]).split())
        count, step, first = _heading(lines, begin + 1)
    except (OSError, ValueError, StopIteration) as error:
        raise DataError(
            "this motion file cannot be read",
            where=path,
            expected="HIERARCHY with joints, then MOTION with Frames, Frame Time and a line each",
            found=(str(error) or "no line MOTION").splitlines()[0][:100],
        ) from error
    check_count(path, count)
    units = [joint for joint in joints if known_names([_own(joint)], model) and joint.channels]
    if len(units) < FEWEST:
        raise DataError(
            "the joints of this motion file are bones, not expressions",
            where=path,
            expected=f"at least {FEWEST} joints called as {model.expression_names[0]}",
            found=f"{len(joints)} joints: {', '.join(joint.name for joint in joints[-4:])}",
            remedy=REMEDY,
        )
    head = next((joint for joint in joints if _own(joint).lower() == "head"), None)
    turning = [] if head is None else [one for one in (*head.above, head) if _turns(one)]
    columns = [
        joint.column + place for joint in (*units, *turning) for place in range(len(joint.channels))
    ]
    width = sum(len(joint.channels) for joint in joints)
    table = _table(path, lines, first, count, width, columns)
    values, at = [], 0
    for joint in units:
        values.append(_value(path, joint, table[:, at : at + len(joint.channels)]))
        at += len(joint.channels)
    if head is None:
        logger.warning("%s: there is no joint called head, and so no rotation.", path)
    performance = Performance(
        path,
        [_own(joint) for joint in units],
        np.stack(values, 1),
        _rotation(turning, table[:, at:]) if turning else None,
        np.arange(count) * step,
        np.ones(count, dtype=bool),
    )
    return parameters_of(performance, model)


def _own(joint: Joint) -> str:
    """A joint's name without what tools put before it (``mixamorig:Head``)."""
    return joint.name.rpartition(":")[2]


def _turns(joint: Joint) -> bool:
    return HEAD.fullmatch(_own(joint).lower()) is not None


def _joints(words: list[str]) -> list[Joint]:
    """The joints in the order of their channels.

    Raises:
        ValueError: The hierarchy is damaged.
    """
    found: list[Joint] = []
    inside: list[Joint | None] = []  # None in the end of a limb
    left = iter(words)
    following: Joint | None = None
    for word in left:
        kind = word.upper()
        if kind in ("ROOT", "JOINT"):
            following = Joint(_next(left), tuple(one for one in inside if one is not None))
            found.append(following)
            if len(found) > MOST_JOINTS:
                raise ValueError(f"more than {MOST_JOINTS} joints")
        elif kind == "END":
            _next(left)
            following = None
        elif kind == "{":
            inside.append(following)
        elif kind == "}" and inside:
            inside.pop()
        elif kind in ("OFFSET", "CHANNELS") and inside:
            _read_entry(kind, left, inside[-1])
        elif kind != BEGIN:
            raise ValueError(f"{word[:40]!r} in the hierarchy")
    if inside:
        raise ValueError("a bracket is missing")
    column = 0
    for joint in found:
        joint.column = column
        column += len(joint.channels)
    return found


def _read_entry(kind: str, words: Iterator[str], joint: Joint | None) -> None:
    """What stands behind OFFSET or CHANNELS; the end of a limb has an offset that moves nothing."""
    if kind == "OFFSET":
        offset = [_number(_next(words)) for _ in range(3)]
        if joint is not None:
            joint.offset = offset
    elif joint is None or joint.channels:
        raise ValueError("channels of no joint")
    else:
        joint.channels = [_channel(_next(words)) for _ in range(int(_next(words)))]


def _next(words: Iterator[str]) -> str:
    word = next(words, None)
    if word is None:
        raise ValueError("the hierarchy ends early")
    return word


def _channel(word: str) -> str:
    if not re.fullmatch(r"[XYZ](rotation|position|scale)", word, re.IGNORECASE):
        raise ValueError(f"{word[:40]!r} in the place of a channel")
    return word.lower()


def _number(word: str) -> float:
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(f"{word[:40]!r} in the place of a number")
    return value


def _heading(lines: list[str], at: int) -> tuple[int, float, int]:
    """Number of frames, seconds of each, and where the first one is.

    Raises:
        ValueError: One of them is not there.
    """
    found: dict[str, str] = {}
    while at < len(lines) and len(found) < 2:
        name, colon, value = lines[at].partition(":")
        if not colon and lines[at].strip():
            raise ValueError(f"{lines[at][:40]!r} after MOTION")
        if colon:
            found[" ".join(name.lower().split())] = value
        at += 1
    if found.keys() != {"frames", "frame time"}:
        raise ValueError(f"{', '.join(found)[:80] or 'nothing'} after MOTION")
    step = _number(found["frame time"])
    if step <= 0:
        raise ValueError(f"a frame of {step:g} s")
    return int(found["frames"]), step, at


def _table(
    path: Path, lines: list[str], first: int, count: int, width: int, columns: list[int]
) -> Array:
    """Some columns of the frames."""
    rows = [(n, line.split()) for n, line in enumerate(lines[first:], first + 1) if line.strip()]
    if len(rows) != count:
        raise DataError(
            "this motion file has another number of frames than it says",
            where=path,
            expected=count,
            found=len(rows),
        )
    table = np.empty((count, len(columns)))
    for target, (number, words) in zip(table, rows, strict=True):
        try:
            if len(words) != width:
                raise ValueError(f"{len(words)} numbers")
            target[:] = [_number(words[column]) for column in columns]
        except ValueError as error:
            raise DataError(
                "a frame of this motion file is damaged",
                where=f"{path}, line {number}",
                expected=f"{width} numbers",
                found=str(error)[:80],
            ) from error
    return table


def _value(path: Path, joint: Joint, values: Array) -> Array:
    """The channel that carries a coefficient: the only one that is not at rest."""
    rest = [
        joint.offset["xyz".index(name[0])] if name.endswith("position") else 0.0
        for name in joint.channels
    ]
    moved = values - np.array(rest)
    busy = np.flatnonzero(np.abs(moved).max(0) > STILL)
    if len(busy) > 1:
        raise DataError(
            "this joint is called as an expression and moves as a bone",
            where=f"{path}, {joint.name}",
            expected="one channel that carries the value, the others at rest",
            found=" and ".join(joint.channels[place] for place in busy),
            remedy=REMEDY,
        )
    return np.asarray(moved[:, busy[0]] if len(busy) else np.zeros(len(values)))


def _rotation(joints: list[Joint], values: Array) -> Tensor:
    """How far neck and head together are turned ``(T, 3, 3)``; each joint's channels are degrees,
    applied from the last to the first.
    """
    total = torch.eye(3, dtype=torch.float64).expand(len(values), 3, 3)
    names = [name for joint in joints for name in joint.channels]
    for name, degrees in zip(names, values.T, strict=True):
        if name.endswith("rotation"):
            turn = torch.zeros(len(values), 3, dtype=torch.float64)
            turn[:, "xyz".index(name[0])] = torch.from_numpy(np.deg2rad(degrees % 360))
            total = total @ rotation_from_vector(turn)
    return total.float()
