"""What a recording says, whatever its format: coefficients by name, the head's rotation and the
times of its frames; and the parameters of a model that follow from it.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.rotations import rotation_from_vector, vector_from_rotation

LONGEST = 20_000  # frames
CODE = re.compile(r"(\d+):(\d+):(\d+)[:;](\d+(?:\.\d+)?)")
BASES = (24, 25, 30, 60, 120)  # frames in which a timecode counts a second
SIDE = re.compile(r"(?<=[a-z])[_. ]?([LR])$|[_. ]([lr])$")
UNITS = {"seconds": 1.0, "milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
RATES = (0.5, 1000.0)  # frames per second that somebody may record
WHOLE, PERCENT = 2.0, 100.5  # largest coefficients where 1 or 100 is meant by all of an expression
# Frames that a stamp may be off before frames are made anew at even times: nobody sees that, and
# blinks would be softened.
UNEVEN = 1.0

Array = np.ndarray[Any, Any]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Performance:
    """What a recording says.

    Attributes:
        path: The file.
        names: Of its N coefficients, as they are written there.
        values: ``(T, N)``.
        rotation: ``(T, 3, 3)`` of the head, as ours; None where it is not recorded.
        times: ``(T,)`` seconds.
        seen: Rows with a face; the others are made from their neighbours.
    """

    path: Path
    names: Sequence[str]
    values: Array
    rotation: Tensor | None
    times: Array
    seen: Array


def plain_name(name: str) -> str:
    """A coefficient's name in the one way in which names are compared: ``EyeBlink_L`` and
    ``eyeBlinkLeft`` are the same.
    """
    found = SIDE.search(name)
    if found:
        side = (found[1] or found[2]).lower()
        name = name[: found.start()] + ("left" if side == "l" else "right")
    return re.sub(r"[^a-z0-9]", "", name.rpartition(".")[2].lower())


def known_names(names: Sequence[str], model: MorphableModel) -> dict[int, int]:
    """The model's expression that each of some names means, place by place; others are left out."""
    places = {plain_name(name): place for place, name in enumerate(model.expression_names)}
    return {
        place: places[plain_name(name)]
        for place, name in enumerate(names)
        if plain_name(name) in places
    }


def check_count(path: Path, count: int) -> None:
    """See that a recording has frames, and not too many.

    Raises:
        DataError: It has none, or too many.
    """
    if not 1 <= count <= LONGEST:
        raise DataError(
            "unusable number of frames", where=path, expected=f"1 to {LONGEST}", found=count
        )


def parameters_of(
    performance: Performance, model: MorphableModel
) -> tuple[FaceParameters, float | None]:
    """A row of parameters for each frame at even times, and the frames per second; None of a single
    frame.

    Coefficients are taken by name; those that the model lacks are left out. The person, the place
    and the size of the head are not recorded and stay those of the mean face.

    Args:
        performance: What the recording says.
        model: Of the parameters.

    Raises:
        DataError: The model has none of its coefficients, or they or its times cannot be meant.
    """
    path = performance.path
    known = known_names(performance.names, model)
    if not known:
        raise DataError(
            f"the model {model.name} has none of this recording's expressions",
            where=path,
            expected=", ".join(model.expression_names[:4]) + " and so on",
            found=", ".join(performance.names[:4])[:120] or "no names",
            remedy="Take --model makehuman, gnm or ict for coefficients of ARKit.",
        )
    rate = _rate(path, performance.times)
    values = _shares(path, performance.values[:, list(known)])
    expression = torch.zeros(len(values), model.num_expression)
    expression[:, list(known.values())] = torch.from_numpy(values).float()
    low, high = model.expression_range
    rotation = performance.rotation
    if rotation is None:
        rotation = torch.eye(3).expand(len(values), 3, 3)
    expression, rotation = _evenly(performance, expression.clamp(low, high), rotation)
    return (
        replace(
            FaceParameters.neutral(model, len(expression)),
            expression=expression,
            rotation=vector_from_rotation(rotation),
        ),
        rate,
    )


def _shares(path: Path, values: Array) -> Array:
    """Coefficients of which 1 is all of an expression, also where 100 was meant by it."""
    most = float(np.abs(values).max(initial=0.0))
    if most <= WHOLE:
        return values
    if most > PERCENT:
        raise DataError(
            "the coefficients of this recording are of no known unit",
            where=path,
            expected="0 to 1, or percent",
            found=f"up to {most:.4g}",
        )
    logger.warning("%s: its coefficients go up to %.3g and are taken as percent.", path, most)
    return values / 100


def _rate(path: Path, times: Array) -> float | None:
    """Frames per second, on the whole."""
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        raise DataError(
            "the times of this recording go backwards", where=f"{path}, frame {back[0] + 2}"
        )
    if len(times) < 2:
        return None
    rate = (len(times) - 1) / max(float(times[-1] - times[0]), 1e-12)
    if not RATES[0] <= rate <= RATES[1]:
        raise DataError(
            "the times of this recording cannot be",
            where=path,
            expected=f"{RATES[0]:g} to {RATES[1]:g} frames per second",
            found=f"{rate:.4g}",
        )
    return rate


def _evenly(
    performance: Performance, expression: Tensor, rotation: Tensor
) -> tuple[Tensor, Tensor]:
    """Frames at even times, between those that were recorded, where these are not."""
    seen = np.flatnonzero(performance.seen)
    times, count = performance.times, len(performance.times)
    even = np.linspace(times[0], times[-1], count)
    step = max(float(times[-1] - times[0]), 1e-12) / max(count - 1, 1)
    if len(seen) < count:
        logger.warning(
            "%s: %d frames show no face and are made from those beside them.",
            performance.path,
            count - len(seen),
        )
    elif np.abs(times - even).max() <= UNEVEN * step:
        return expression, rotation
    else:
        logger.warning("%s: frames at uneven times are made even.", performance.path)
    own = times[seen]
    after = np.searchsorted(own, even).clip(1, max(len(seen) - 1, 1))
    before, after = after - 1, np.minimum(after, len(seen) - 1)
    gap = np.maximum(own[after] - own[before], 1e-12)
    share = torch.from_numpy(((even - own[before]) / gap).clip(0, 1)).float()[:, None]
    first, last = torch.from_numpy(seen[before]), torch.from_numpy(seen[after])
    turned = vector_from_rotation(rotation[first].transpose(1, 2) @ rotation[last])
    return (
        torch.lerp(expression[first], expression[last], share),
        rotation[first] @ rotation_from_vector(turned * share),
    )


# ------------------------------------------------------------
# times
def times_of_codes(path: Path, codes: Sequence[str]) -> tuple[Array, float]:
    """Seconds that timecodes tell (hours, minutes, seconds, frames), and the frames in which they
    count a second.

    Raises:
        DataError: One of them is damaged.
    """
    found = [CODE.fullmatch(code) for code in codes]
    if None in found:
        raise DataError(
            "a timecode of this recording is damaged",
            where=path,
            expected="hours:minutes:seconds:frames",
            found=codes[found.index(None)][:40],
        )
    parts = [[float(value) for value in one.groups()] for one in found if one is not None]
    most = max(part[3] for part in parts)
    base = next((one for one in BASES if most < one), BASES[-1])
    seconds = np.array([3600 * h + 60 * m + s + frames / base for h, m, s, frames in parts])
    return seconds, float(base)


def times_of_stamps(path: Path, stamps: Sequence[float]) -> Array:
    """Seconds that numbers tell, whose unit follows from their steps.

    Raises:
        DataError: No unit makes a speed of them that somebody may record.
    """
    times = np.array(stamps, dtype=float)
    times -= times[0]
    if len(times) < 2:
        return times
    step = float(times[-1]) / (len(times) - 1)
    for name, unit in UNITS.items():
        if step > 0 and math.isfinite(step) and 1 <= unit / step <= RATES[1]:
            if unit != 1:
                logger.info("%s: its times are taken as %s.", path, name)
            return times / unit
    raise DataError(
        "the times of this recording cannot be",
        where=path,
        expected="rising numbers of seconds, or of milliseconds",
        found=f"steps of {step:.4g}",
    )
