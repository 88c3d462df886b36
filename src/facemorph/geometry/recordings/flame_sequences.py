"""Sequences of FLAME's parameters, as NumPy's arrays: a ``.npz``, or a folder of ``.npy``.

Trackers of FLAME and data sets beside VOCA write them under several names. Read are the expression
``(T, E)``; the jaw ``(T, 3)``, or ``pose`` of 6 (head and jaw, as DECA) or 15 numbers (head, neck,
jaw and both eyes); neck, eyes and the head's rotation by themselves; the shape, of one person or of
each frame; and the frames per second. Rotations are axes times radians.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.errors import DataError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.recordings.performance import RATES, Array, check_count
from facemorph.storage.array_files import read_npy, read_npz

EXPRESSION = ("expression", "expressions", "expression_params", "exp", "expr")
SHAPE = ("shape", "shape_params", "betas")
POSE = ("pose", "poses", "pose_params")
HEAD = ("global_orient", "global_pose", "rotation")
JOINTS = {  # place among ours, and the names
    "neck_pose": 0,
    "jaw_pose": 1,
    "jaw": 1,
    "leye_pose": 2,
    "reye_pose": 3,
}
EYES = ("eyes_pose", "eye_pose")
SPEED = ("fps", "framerate", "frame_rate", "mocap_framerate")
TAKEN = (*EXPRESSION, *SHAPE, *POSE, *HEAD, *JOINTS, *EYES, *SPEED)
LARGEST = 10.0  # radians, beyond which no rotation is meant


def holds_flame(names: Iterable[str]) -> bool:
    """Whether arrays of these names are a sequence of FLAME."""
    return any(name in EXPRESSION for name in names)


def is_flame_folder(path: Path) -> bool:
    """Whether a folder holds the arrays of a sequence."""
    return path.is_dir() and holds_flame(file.stem for file in path.glob("*.npy"))


def read_flame_sequence(
    path: str | Path, model: MorphableModel
) -> tuple[FaceParameters, float | None]:
    """A row of parameters for each frame of a sequence, and its frames per second; None where the
    file does not say.

    Args:
        path: The ``.npz`` file, or the folder.
        model: A FLAME.

    Raises:
        DataError: The model is no FLAME, or the arrays are not those of a sequence.
    """
    path = Path(path)
    if not model.name.startswith("flame"):
        raise DataError(
            "this is a recording of FLAME's parameters, which mean nothing to another head",
            where=path,
            expected="the model flame",
            found=f"the model {model.name}",
            remedy="Give FLAME with --model FILE (animate), or `facemorph import flame` it first.",
        )
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.npy")) if file.stem in TAKEN}
        arrays = {name: read_npy(file) for name, file in files.items()}
    else:
        arrays = {name: array for name, array in read_npz(path).items() if name in TAKEN}
    expression = _found(path, arrays, EXPRESSION)
    if expression is None or expression.ndim != 2:
        raise DataError(
            "this is no sequence of FLAME's parameters",
            where=path,
            expected=f"an array {EXPRESSION[0]} (frames, numbers)",
            found="none" if expression is None else str(expression.shape)[:60],
        )
    count = len(expression)
    check_count(path, count)
    neutral = FaceParameters.neutral(model, count)
    joints, head = _pose(path, arrays, count)
    shape = _found(path, arrays, SHAPE)
    identity = neutral.identity
    if shape is not None:
        rows = np.broadcast_to(shape, (count, shape.shape[-1])) if _fits(shape, count) else shape
        identity = _padded(path, "shape", rows, (count, identity.shape[1]))
    return (
        replace(
            neutral,
            expression=_padded(path, "expression", expression, (count, model.num_expression)),
            identity=identity,
            joints=joints,
            rotation=head,
        ),
        _speed(path, arrays),
    )


def _fits(shape: Array, count: int) -> bool:
    """Whether a shape is that of one person, or of each frame."""
    return (shape.ndim == 1 and shape.size > 0) or (shape.ndim == 2 and len(shape) in (1, count))


def _found(path: Path, arrays: Mapping[str, Array], names: Iterable[str]) -> Array | None:
    """The array of one of some names, of numbers.

    Raises:
        DataError: It holds anything else.
    """
    name = next((name for name in names if name in arrays), None)
    if name is None:
        return None
    array = arrays[name]
    if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        raise DataError("an array holds no finite numbers", where=f"{path}, {name}")
    return array


def _padded(path: Path, name: str, values: Array, shape: tuple[int, int]) -> Tensor:
    """Numbers with zeros for those that the file leaves out."""
    count, most = shape
    if values.ndim != 2 or len(values) != count or values.shape[1] > most:
        raise DataError(
            f"the {name} is not that of this FLAME",
            where=path,
            expected=f"{count} rows of at most {most} numbers",
            found=str(values.shape)[:60],
        )
    found = torch.zeros(count, most)
    found[:, : values.shape[1]] = _single(path, name, values)
    return found


def _single(path: Path, name: str, values: Array) -> Tensor:
    found = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64)).float()
    if not bool(torch.isfinite(found).all()):
        raise DataError("an array holds no finite numbers", where=f"{path}, {name}")
    return found


def _pose(path: Path, arrays: Mapping[str, Array], count: int) -> tuple[Tensor, Tensor]:
    """Joints ``(T, 4, 3)`` and the head's rotation ``(T, 3)``."""
    joints, head = torch.zeros(count, 4, 3), torch.zeros(count, 3)
    whole = _turns(path, "pose", _found(path, arrays, POSE), count, (6, 15))
    if whole is not None:
        head = whole[:, :3]
        parts = whole[:, 3:].reshape(count, -1, 3)
        joints[:, 1 if parts.shape[1] == 1 else slice(None)] = (
            parts[:, 0] if parts.shape[1] == 1 else parts
        )
    for name, place in JOINTS.items():
        turn = _turns(path, name, _found(path, arrays, (name,)), count, (3,))
        if turn is not None:
            joints[:, place] = turn
    eyes = _turns(path, EYES[0], _found(path, arrays, EYES), count, (6,))
    if eyes is not None:
        joints[:, 2:] = eyes.reshape(count, 2, 3)
    own = _turns(path, HEAD[0], _found(path, arrays, HEAD), count, (3,))
    return joints, head if own is None else own


def _turns(
    path: Path, name: str, values: Array | None, count: int, widths: tuple[int, ...]
) -> Tensor | None:
    """Rotations ``(T, N)``, of one of some numbers N."""
    if values is None:
        return None
    if values.ndim < 2 or len(values) != count or math.prod(values.shape[1:]) not in widths:
        raise DataError(
            f"{name} is not that of this sequence",
            where=path,
            expected=f"{count} rows of {' or '.join(map(str, widths))} numbers (axis times angle)",
            found=str(values.shape)[:60],
        )
    if np.abs(values).max(initial=0.0) > LARGEST:
        raise DataError(
            f"{name} holds no angles in radians",
            where=path,
            expected=f"at most {LARGEST:g}",
            found=f"{np.abs(values).max():.4g}",
        )
    return _single(path, name, values.reshape(count, -1))


def _speed(path: Path, arrays: Mapping[str, Array]) -> float | None:
    given = _found(path, arrays, SPEED)
    if given is None:
        return None
    speed = float(given.reshape(-1)[0]) if given.size == 1 else math.nan
    if not RATES[0] <= speed <= RATES[1]:
        raise DataError(
            "the speed of this sequence cannot be",
            where=path,
            expected=f"{RATES[0]:g} to {RATES[1]:g} frames per second",
            found=str(given)[:40],
        )
    return speed
