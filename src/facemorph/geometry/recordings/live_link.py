"""Recordings of the app Live Link Face: ARKit's 52 coefficients and the head's angles, a row for
each frame.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import torch

from facemorph.errors import DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.recordings.performance import (
    Performance,
    check_count,
    known_names,
    parameters_of,
    times_of_codes,
)
from facemorph.ops.rotations import rotation_from_euler

TIME, ANGLES = "Timecode", ("HeadYaw", "HeadPitch", "HeadRoll")
# Signs of these, radians, as ours: the app's are positive to the person's right, down, and to the
# right shoulder (those of its eyes, which agree with its own coefficients of eyes that look away).
SIGNS = (-1.0, 1.0, 1.0)
FEWEST = 10  # coefficients below which this is another table


def read_live_link(path: str | Path, model: MorphableModel) -> tuple[FaceParameters, float]:
    """A row of parameters for each frame of a recording, and its frames per second.

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
    known = known_names(header, model)
    if header[:1] != [TIME] or len(known) < FEWEST:
        raise DataError(
            "this is no recording of Live Link Face, or the model has none of its expressions",
            where=path,
            expected=f"columns {TIME}, JawOpen, MouthSmileLeft and so on",
            found=", ".join(header[:4]) or "nothing",
        )
    rows = [(number, row) for number, row in enumerate(lines[1:], 2) if row]
    check_count(path, len(rows))
    values = torch.tensor([_numbers(path, number, row, len(header)) for number, row in rows])
    angles = [
        sign * values[:, header.index(name) - 1] if name in header else torch.zeros(len(rows))
        for sign, name in zip(SIGNS, ANGLES, strict=True)
    ]
    times, base = times_of_codes(path, [row[0] for _, row in rows])
    if times[-1] <= times[0] or (np.diff(times) < 0).any():  # over midnight
        times = np.arange(len(rows)) / base
    chosen = [place for place in known if place]
    performance = Performance(
        path,
        [header[place] for place in chosen],
        values[:, [place - 1 for place in chosen]].double().numpy(),
        rotation_from_euler(*angles),
        times,
        np.ones(len(rows), dtype=bool),
    )
    parameters, rate = parameters_of(performance, model)
    return parameters, base if rate is None else rate


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
