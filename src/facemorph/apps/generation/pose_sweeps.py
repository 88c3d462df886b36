"""People shown in several poses and expressions each, as VariTex's inference does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from facemorph.apps.generation.choices import Pose
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.heads.rendered_head import set_sliders
from facemorph.engine.portrait_frames import framed
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation


class Sweep(NamedTuple):
    """People in several ways each.

    Attributes:
        faces: N times W faces, the ways of the first person first.
        labels: Of the W ways, for file names and captions; none where people stay as they are.
    """

    faces: GeneratedFaces
    labels: list[str]


def swept(
    generator: FaceGenerator,
    faces: GeneratedFaces,
    poses: Sequence[Pose],
    expressions: Sequence[tuple[str, Mapping[str, float]]],
) -> Sweep:
    """Every person in every pose with every expression, framed.

    Args:
        generator: The generator.
        faces: The people.
        poses: Poses; without any, people stay as they are turned.
        expressions: Label and sliders of each; without any, people keep theirs.

    Raises:
        ConfigError: There is no such expression, or its value is out of range.
    """
    if not poses and not expressions:
        return Sweep(faces, [])
    unturned: list[Pose | None] = [None]
    unmoved: list[tuple[str, Mapping[str, float] | None]] = [("", None)]
    ways = [
        (pose, shown) for shown in ([*expressions] or unmoved) for pose in ([*poses] or unturned)
    ]
    rows = torch.arange(len(faces)).repeat_interleave(len(ways))
    people = faces[rows]
    parameters = people.parameters
    rotation, expression = parameters.rotation.clone(), parameters.expression.clone()
    for way, (pose, (_, sliders)) in enumerate(ways):
        place = slice(way, None, len(ways))
        if pose is not None:
            angles = [torch.tensor(math.radians(one)) for one in (pose.yaw, pose.pitch)]
            turn = rotation_from_euler(angles[0], angles[1], torch.zeros(()))
            rotation[place] = vector_from_rotation(turn[None])
        if sliders is not None:
            calm = replace(
                faces.parameters, expression=torch.zeros_like(faces.parameters.expression)
            )
            shown = set_sliders(calm, generator.model, sliders, {}, {})
            expression[place] = shown.expression
    parameters = replace(parameters, rotation=rotation, expression=expression)
    parameters = framed(generator.model, parameters, generator.size)
    labels = [
        " ".join(part for part in (name, "" if pose is None else pose.label) if part)
        for pose, (name, _) in ways
    ]
    return Sweep(replace(people, parameters=parameters), labels)
