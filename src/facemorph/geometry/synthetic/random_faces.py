"""Random faces that could be photographs of people: identities, paired expressions, poses and
cameras.

Expressions are drawn as whole ones (a smile, surprise, a vowel ...), both sides together and a
little apart, since independent random units give grimaces and one-eyed winks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.camera import Camera
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler

Array = np.ndarray[Any, Any]
LIMIT = 2.5  # standard deviations of an identity
# Whole expressions: ARKit units without side and how strong each is when the expression is at its
# strongest.
EXPRESSIONS: dict[str, dict[str, float]] = {
    "neutral": {},
    "smile": {"mouthSmile": 0.75, "cheekSquint": 0.5, "mouthDimple": 0.2, "eyeSquint": 0.25},
    "grin": {
        "mouthSmile": 0.85,
        "cheekSquint": 0.6,
        "mouthUpperUp": 0.45,
        "mouthLowerDown": 0.25,
        "eyeSquint": 0.35,
        "jawOpen": 0.08,
    },
    "laugh": {
        "mouthSmile": 0.8,
        "cheekSquint": 0.7,
        "mouthUpperUp": 0.4,
        "jawOpen": 0.35,
        "eyeSquint": 0.5,
    },
    "surprise": {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.7, "jawOpen": 0.45},
    "anger": {
        "browDown": 0.8,
        "eyeSquint": 0.3,
        "mouthPress": 0.5,
        "noseSneer": 0.3,
        "mouthFrown": 0.25,
    },
    "sadness": {"browInnerUp": 0.75, "mouthFrown": 0.65, "mouthShrugLower": 0.35, "eyeSquint": 0.2},
    "disgust": {
        "noseSneer": 0.8,
        "mouthUpperUp": 0.5,
        "browDown": 0.45,
        "cheekSquint": 0.35,
        "mouthFrown": 0.25,
    },
    "fear": {
        "browInnerUp": 0.7,
        "browOuterUp": 0.35,
        "eyeWide": 0.7,
        "mouthStretch": 0.5,
        "jawOpen": 0.15,
    },
    "vowel_a": {"jawOpen": 0.45, "mouthLowerDown": 0.15},
    "vowel_e": {"jawOpen": 0.18, "mouthStretch": 0.35, "mouthSmile": 0.2, "mouthLowerDown": 0.2},
    "vowel_o": {"jawOpen": 0.35, "mouthFunnel": 0.6},
    "vowel_u": {"mouthPucker": 0.75, "jawOpen": 0.08},
    "lips_pressed": {"mouthPress": 0.6, "mouthRollLower": 0.35, "mouthRollUpper": 0.35},
    "lips_forward": {"mouthFunnel": 0.7, "mouthPucker": 0.3, "jawOpen": 0.1},
    "lip_bite": {"mouthRollLower": 0.6, "mouthUpperUp": 0.25},
    "chin_raised": {"mouthShrugLower": 0.7, "mouthShrugUpper": 0.35},
    "brows_raised": {"browInnerUp": 0.7, "browOuterUp": 0.8},
    "brows_lowered": {"browDown": 0.9, "eyeSquint": 0.35},
    "eyes_closed": {"eyeBlink": 0.95},
    "mouth_left": {"mouthLeft": 0.7, "jawLeft": 0.25},
    "mouth_right": {"mouthRight": 0.7, "jawRight": 0.25},
    "jaw_forward": {"jawForward": 0.7, "mouthShrugLower": 0.2},
    "cheeks_blown": {"cheekPuff": 0.7, "mouthPress": 0.3},
}
COMMON = (
    "neutral",
    "smile",
    "grin",
    "laugh",
    "surprise",
    "anger",
    "sadness",
    "disgust",
    "fear",
    "vowel_a",
    "vowel_e",
    "vowel_o",
    "vowel_u",
    "lips_pressed",
    "lip_bite",
    "chin_raised",
    "brows_raised",
    "brows_lowered",
)
SHARES = (4, 4, 2, 1.5, 1, 1, 1, 0.5, 0.5, 1.5, 1.5, 1, 1, 1, 0.4, 0.5, 1, 0.7)
SIDES = (("Left", "Right"), ("_L", "_R"))
ASYMMETRY = 0.08  # standard deviation of the difference of both sides, as a share
ZOOM, HEM = 1.15, 1.04  # at most so much nearer, to have the hem so far below the picture
BLINKS = 0.06  # share of pictures with the lids on their way
EXCLUDED = (
    ("jawOpen", "mouthClose"),
    ("eyeBlink", "eyeWide"),
    ("browDown", "browOuterUp"),
    ("mouthSmile", "mouthFrown"),
)


def indices_of(model: MorphableModel, unit: str) -> list[int]:
    """Expressions of a unit: itself, or its left and right one; none where the model has no such
    unit.
    """
    names = model.expression_names
    if unit in names:
        return [names.index(unit)]
    for left, right in SIDES:
        if unit + left in names and unit + right in names:
            return [names.index(unit + left), names.index(unit + right)]
    return []


def named_expression(model: MorphableModel, name: str, strength: float = 1.0) -> Tensor:
    """A whole expression of ``EXPRESSIONS``, ``(E,)``, the same on both sides."""
    values = torch.zeros(model.num_expression)
    for unit, value in EXPRESSIONS[name].items():
        values[indices_of(model, unit)] = value * strength
    return values


def random_identity(model: MorphableModel, random: np.random.Generator) -> Tensor:
    """Identity ``(K,)``: standard normal, drawn again beyond ``LIMIT``."""
    values = random.standard_normal(model.num_identity)
    while (beyond := np.abs(values) > LIMIT).any():
        values[beyond] = random.standard_normal(int(beyond.sum()))
    return torch.from_numpy(values.astype(np.float32))


def random_expression(model: MorphableModel, random: np.random.Generator) -> Tensor:
    """Expression ``(E,)``: one whole expression of random strength, little of a second, lids and
    gaze.

    Models without named units (FLAME, BFM) get standard normal coefficients, halved and cut off at
    2.
    """
    if model.expression_range != (0.0, 1.0):
        return torch.from_numpy(
            np.clip(random.standard_normal(model.num_expression), -2, 2).astype(np.float32) / 2
        )
    chances = np.array(SHARES) / sum(SHARES)
    first, second = random.choice(len(COMMON), 2, replace=False, p=chances)
    strength = random.uniform(0.3, 1.0), random.uniform(0, 0.4) * (random.random() < 0.5)
    units: dict[str, float] = {}
    for name, amount in zip((COMMON[first], COMMON[second]), strength, strict=True):
        for unit, value in EXPRESSIONS[name].items():
            units[unit] = units.get(unit, 0.0) + value * amount
    if random.random() < BLINKS:
        units["eyeBlink"] = random.uniform(0.4, 1.0)
    else:
        units["eyeBlink"] = units.get("eyeBlink", 0.0) + abs(random.normal(0, 0.06))
    for one, other in EXCLUDED:  # the weaker of two that exclude each other goes
        if units.get(one, 0) and units.get(other, 0):
            units[min(one, other, key=lambda name: units[name])] = 0.0
    values = np.zeros(model.num_expression, np.float32)
    for unit, value in units.items():
        chosen = indices_of(model, unit)
        if unit == "eyeBlink":
            values[chosen] = value  # both eyes blink together
            continue
        tilt = np.clip(random.normal(0, ASYMMETRY), -0.2, 0.2)
        values[chosen] = (
            np.array([1 + tilt, 1 - tilt])[: len(chosen)] * value if len(chosen) == 2 else value
        )
    _look(model, values, random)
    return torch.from_numpy(np.clip(values, 0, 1))


def _look(model: MorphableModel, values: Array, random: np.random.Generator) -> None:
    """Turn both eyes together: left in one is out, right in the other."""
    sideways, upwards = np.clip(random.normal(0, (0.22, 0.15)), -0.6, 0.45)
    left, right = (("In", "Out"), ("Out", "In"))[int(sideways > 0)]
    for eye, way in (("Left", left), ("Right", right)):
        for name in (f"eyeLook{way}{eye}", f"eyeLook{way}_{eye[0]}"):
            if name in model.expression_names:
                values[model.expression_names.index(name)] = abs(sideways)
    values[indices_of(model, "eyeLookUp" if upwards > 0 else "eyeLookDown")] = abs(upwards)


def random_joints(model: MorphableModel, random: np.random.Generator) -> Tensor:
    """Small turns ``(J, 3)`` of neck and head against the shoulders, radians; other joints stay."""
    turns = np.zeros((len(model.joint_names), 3), np.float32)
    for index, name in enumerate(model.joint_names):
        if name in ("neck", "head"):
            turns[index] = np.clip(random.normal(0, (0.06, 0.09, 0.05)), -0.2, 0.2)
    return torch.from_numpy(turns)


@dataclass(frozen=True)
class ViewOptions:
    """How heads are seen.

    Attributes:
        yaw: Standard deviation of the turn to the side, degrees; at most ``max_yaw``.
        pitch: Of the nod, at most three times that.
        roll: Of the tilt, at most three times that.
        max_yaw: Degrees.
        pinhole: Share of pictures of a pinhole of 12 to 35 degrees; the others are weak
            perspective.
    """

    yaw: float = 18.0
    pitch: float = 7.0
    roll: float = 5.0
    max_yaw: float = 60.0
    pinhole: float = 0.5


def random_camera(
    model: MorphableModel, size: int, random: np.random.Generator, options: ViewOptions
) -> Camera:
    """One camera for a square picture: head turned, and a crop about the face that is a
    little off.
    """
    scale, middle, hem = _face_middle(model)
    yaw = np.clip(random.normal(0, options.yaw), -options.max_yaw, options.max_yaw)
    pitch = np.clip(random.normal(0, options.pitch), -3 * options.pitch, 3 * options.pitch)
    roll = np.clip(random.normal(0, options.roll), -3 * options.roll, 3 * options.roll)
    rotation = rotation_from_euler(
        *torch.tensor(np.radians([[yaw], [pitch], [roll]]), dtype=torch.float32)
    )
    span = random.uniform(232, 290) * scale  # millimetres that the picture shows
    turned = rotation[0] @ middle
    offset = np.clip(random.normal(0, 0.025, 2), -0.06, 0.06) * size
    size_mm = size / span
    # the hem of the mesh should not be seen
    below = float((turned - hem @ rotation[0].T)[:, 1].min())
    size_mm = min(max(size_mm, (size / 2 - offset[1]) * HEM / max(below, 1.0)), ZOOM * size_mm)
    origin = torch.tensor(
        [
            [
                size / 2 + offset[0] - float(turned[0]) * size_mm,
                size / 2 + offset[1] + float(turned[1]) * size_mm,
            ]
        ],
        dtype=torch.float32,
    )
    camera = Camera(rotation, origin, torch.tensor([math.log(size_mm)], dtype=torch.float32))
    wide = random.random() < options.pinhole
    field_of_view = float(random.uniform(12, 35))
    return camera.as_pinhole(Frame(size, size), field_of_view) if wide else camera


@lru_cache(maxsize=4)
def _face_middle(model: MorphableModel) -> tuple[float, Tensor, Tensor]:
    """Size of the mean face against one of 82 mm between outer eye corners, a point behind its
    nose, and its hem.
    """
    landmarks = model.topology.landmarks.of(model.mean)
    scale = float((landmarks[45] - landmarks[36]).norm()) / 82
    eyes = landmarks[36:48].mean(0)
    hem = model.mean[model.mean[:, 1] < model.mean[:, 1].min() + 8 * scale]
    return scale, eyes + torch.tensor([0.0, -14.0, -39.0]) * scale, hem


def procedural_background(size: int, random: np.random.Generator) -> Array:
    """A background ``(size, size, 3)`` in [0, 1]: a gradient, blurred shapes or lights out of
    focus.
    """
    import cv2

    side, kind = 48, random.integers(3)
    base = random.uniform(0.12, 0.85) + random.normal(0, 0.04, 3)
    low = np.clip(
        base + random.normal(0, 0.12, (2, 2, 1)) + random.normal(0, 0.02, (2, 2, 3)), 0.03, 1
    )
    picture: Array = cv2.resize(
        low.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR
    )
    if kind == 1:
        cells = int(random.integers(4, 12))
        shapes = random.normal(0, 0.13, (cells, cells, 1)) + random.normal(
            0, 0.035, (cells, cells, 3)
        )
        picture += cv2.resize(
            shapes.clip(-0.4, 0.4).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
        )
    elif kind == 2:
        for _ in range(int(random.integers(8, 26))):
            colour = np.clip(random.uniform(0.05, 0.35) * (1 + random.normal(0, 0.25, 3)), 0, 0.5)
            disc = np.zeros((side, side), np.float32)
            cv2.circle(
                disc,
                random.integers(0, side, 2).tolist(),
                int(random.integers(2, 7)),
                1.0,
                -1,
                cv2.LINE_8,
            )
            picture += disc[..., None] * colour.astype(np.float32)
        picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
    result: Array = cv2.resize(
        np.clip(picture, 0.02, 1), (size, size), interpolation=cv2.INTER_LINEAR
    )
    return result
