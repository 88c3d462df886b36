"""Recordings of the app Live Link Face: ARKit's 52 coefficients and the head's angles, a row for
each frame.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import replace
from pathlib import Path

import torch

from facemorph.errors import DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation

TIME, ANGLES = "Timecode", ("HeadYaw", "HeadPitch", "HeadRoll")
# Signs of these, radians, as ours: the app's are positive to the person's right, down, and to the
# right shoulder (those of its eyes, which agree with its own coefficients of eyes that look away).
SIGNS = (-1.0, 1.0, 1.0)
CODE = re.compile(r"(\d+):(\d+):(\d+):(\d+(?:\.\d+)?)")
BASES = (24, 25, 30, 60, 120)  # frames in which the timecode counts a second
LONGEST = 20_000  # frames
FEWEST = 10  # coefficients below which this is another table


def read_live_link(path: str | Path, model: MorphableModel) -> tuple[FaceParameters, float]:
    """A row of parameters for each frame of a recording, and its frames per second.

    Coefficients are taken by name; those that the model lacks are left out. The person, the place
    and the size of the head are not recorded and stay those of the mean face.

    Args:
        path: The ``.csv`` file.
        model: Of the parameters.

    Raises:
        DataError: It cannot be read, is another table, or has a damaged row; the line is named.
    """
    path = Path(path)
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            "this recording cannot be read", where=path, found=type(error).__name__
        ) from error
    header = lines[0] if lines else []
    columns = {name[:1].lower() + name[1:]: place for place, name in enumerate(header)}
    known = [name for name in model.expression_names if name in columns]
    if header[:1] != [TIME] or len(known) < FEWEST:
        raise DataError(
            "this is no recording of Live Link Face, or the model has none of its expressions",
            where=path,
            expected=f"columns {TIME}, JawOpen, MouthSmileLeft and so on",
            found=", ".join(header[:4]) or "nothing",
        )
    rows = [(number, row) for number, row in enumerate(lines[1:], 2) if row]
    if not 1 <= len(rows) <= LONGEST:
        raise DataError(
            "unusable number of frames",
            where=path,
            expected=f"1 to {LONGEST}",
            found=len(rows),
        )
    values = torch.tensor([_numbers(path, number, row, len(header)) for number, row in rows])
    parameters = FaceParameters.neutral(model, len(rows))
    expression = parameters.expression.clone()
    for name in known:
        expression[:, model.expression_names.index(name)] = values[:, columns[name] - 1]
    low, high = model.expression_range
    angles = [
        sign * values[:, header.index(name) - 1] if name in header else torch.zeros(len(rows))
        for sign, name in zip(SIGNS, ANGLES, strict=True)
    ]
    parameters = replace(
        parameters,
        expression=expression.clamp(low, high),
        rotation=vector_from_rotation(rotation_from_euler(*angles)),
    )
    return parameters, _rate(path, [row[0] for _, row in rows])


def _numbers(path: Path, line: int, row: list[str], count: int) -> list[float]:
    """The numbers of a row, without its timecode, which comes first."""
    try:
        if len(row) != count:
            raise ValueError(f"{len(row)} columns")
        found = [float(value) for value in row[1:]]
        if not all(map(math.isfinite, found)):
            raise ValueError("a value that is no number")
    except ValueError as error:
        raise DataError(
            "a row of this recording is damaged",
            where=f"{path}, line {line}",
            expected=f"{count} columns, numbers after the first",
            found=str(error),
        ) from error
    return found


def _rate(path: Path, codes: list[str]) -> float:
    """Frames per second that timecodes tell: hours, minutes, seconds, frames."""
    found = [CODE.fullmatch(code) for code in codes]
    if None in found:
        raise DataError(
            "a timecode of this recording is damaged",
            where=path,
            expected="hours:minutes:seconds:frames",
            found=codes[found.index(None)],
        )
    parts = [[float(value) for value in one.groups()] for one in found if one is not None]
    most = max(part[3] for part in parts)
    base = next((one for one in BASES if most < one), BASES[-1])
    times = [3600 * h + 60 * m + s + frames / base for h, m, s, frames in parts]
    if len(times) < 2 or times[-1] <= times[0]:
        return float(base)
    return (len(times) - 1) / (times[-1] - times[0])
