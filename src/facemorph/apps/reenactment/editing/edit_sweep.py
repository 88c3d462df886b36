"""A tour of what edits can do to a head: one thing after the other, to both sides and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from facemorph.apps.heads.rendered_head import LARGEST_IDENTITY
from facemorph.apps.reenactment.editing.edit_targets import JOINTS, carrier_of, expression_limits
from facemorph.apps.reenactment.editing.edit_words import AXES, Axis
from facemorph.apps.reenactment.editing.edits import Edits
from facemorph.errors import ConfigError
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.synthetic.random_faces import indices_of
from facemorph.ops.rotations import euler_from_rotation, rotation_from_vector

COEFFICIENTS = 4  # the first ones, of identity, and of expressions without names
NAMED = ("jawOpen", "mouthSmile", "mouthPucker", "browInnerUp", "eyeBlink")
DEVIATIONS = 2.0  # to either side, of a coefficient
JAW, HEAD = 8.0, 15.0  # degrees to either side
MOST_FRAMES = 10_000


@dataclass(frozen=True)
class SweepAxis:
    """One thing that is changed.

    Attributes:
        words: As an edit begins: ``exp jawOpen``.
        low: Value at one end.
        high: Value at the other.
    """

    words: str
    low: float
    high: float


@dataclass(frozen=True)
class Sweep:
    """The tour.

    Attributes:
        parameters: A row for each frame.
        captions: What changes in each: ``exp jawOpen``.
    """

    parameters: FaceParameters
    captions: tuple[str, ...]


def sweep(
    model: MorphableModel, source: FaceParameters, longer_side: int, frames_per_axis: int = 40
) -> Sweep:
    """Change one thing of a head after the other: up, back, down and back.

    Each way takes half of an axis' frames, and one that leads nowhere, as from closed lips to lips
    more closed, takes none. The first frame of each axis, and the last of all, is the head itself.

    Args:
        model: The model.
        source: One head.
        longer_side: Pixels along the longer side of its photograph.
        frames_per_axis: A multiple of 4, so that a frame shows each end.

    Raises:
        ConfigError: The number of frames is no such one.
        DataError: The source is not one head of this model.
    """
    if not 4 <= frames_per_axis <= MOST_FRAMES or frames_per_axis % 4:
        raise ConfigError(
            "unusable number of frames",
            where="frames_per_axis",
            expected=f"a multiple of 4, up to {MOST_FRAMES}",
            found=frames_per_axis,
        )
    edits, half = Edits(model, source, longer_side), frames_per_axis // 2
    start = source.vector()
    # slow at both ends: 0 at the head itself, 1 at the end
    shares = [(1 - math.cos(2 * math.pi * step / half)) / 2 for step in range(half)]
    weights = start.new_tensor(shares)[:, None]
    rows: list[Tensor] = []
    captions: list[str] = []
    for axis in sweep_axes(model, source):
        for value in (axis.high, axis.low):
            end = edits.apply(f"reset {axis.words} {value!r}").vector()
            if not torch.equal(end, start):
                rows.append(torch.lerp(start, end, weights))
                captions += [axis.words] * half
    rows.append(start)
    captions.append(captions[-1])
    return Sweep(source.from_vector(torch.cat(rows)), tuple(captions))


def sweep_axes(model: MorphableModel, source: FaceParameters) -> list[SweepAxis]:
    """What a model's tour shows.

    Identity coefficients, named expressions over their whole range (or coefficients of those that
    have no names), the jaw, and the head.

    Args:
        model: The model.
        source: One head; coefficients and jaw go to both sides of where they are in it.
    """
    axes = [
        _around(
            f"shape {number}",
            float(source.identity[0, number]),
            DEVIATIONS,
            (-LARGEST_IDENTITY, LARGEST_IDENTITY),
        )
        for number in range(min(COEFFICIENTS, model.num_identity))
    ]
    low, high = expression_limits(model)
    named = [name for name in NAMED if indices_of(model, name)]
    axes += [SweepAxis(f"exp {name}", low, high) for name in named]
    if not named:
        axes += [
            _around(f"exp {number}", float(source.expression[0, number]), DEVIATIONS, (low, high))
            for number in range(min(COEFFICIENTS, model.num_expression))
        ]
    axes += [found for axis in AXES if (found := _jaw(axis, model, source)) is not None]
    return [*axes, *(SweepAxis(f"global_pose {axis}", -HEAD, HEAD) for axis in AXES)]


def _around(words: str, own: float, reach: float, limits: tuple[float, float]) -> SweepAxis:
    """From below to above where a head is, as far as edits go."""
    low, high = (min(max(own + side, limits[0]), limits[1]) for side in (-reach, reach))
    return SweepAxis(words, low, high)


def _jaw(axis: Axis, model: MorphableModel, source: FaceParameters) -> SweepAxis | None:
    """The jaw turned about an axis; None where the model cannot."""
    words, joint = f"jaw_pose {axis}", JOINTS["jaw_pose"]
    if joint in model.joint_names:
        turn = rotation_from_vector(source.joints[0, model.joint_names.index(joint)])
        own = math.degrees(float(euler_from_rotation(turn)[AXES.index(axis)]))
        return SweepAxis(words, own - JAW, own + JAW)
    carrier = carrier_of("jaw_pose", axis, model)
    if carrier is None:
        return None
    value = dict(zip(model.expression_names, source.expression[0].tolist(), strict=True))
    share = value[carrier.positive] - (value[carrier.negative] if carrier.negative else 0.0)
    return _around(words, share * carrier.degrees, JAW, carrier.limits(model))
