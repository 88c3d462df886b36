"""What each row of a teaser shows: one parameter of a face, from one end to the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.generation.figures.figure_faces import with_values
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.heads.rendered_head import set_sliders
from facemorph.engine.conditioned_generator import ConditionedGenerator
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.rendering.lighting import ambient_light, lamp_light, normalize_light
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation

# After the figure on the first page of the paper.
SIGMAS, COMPONENTS, TURN, JAW, SKINS = 3.0, 3, 22.5, 15.0, 2
NAMED = ("mouthSmile", "browInnerUp", "mouthPucker")
LAMP = 70.0  # degrees to either side


@dataclass(frozen=True)
class TeaserRow:
    """One row.

    Attributes:
        name: Before each value.
        low: The least value.
        high: The largest.
        change: The face with a value.
    """

    name: str
    low: float
    high: float
    change: Callable[[float], GeneratedFaces]


def teaser_rows(
    model: MorphableModel, person: GeneratedFaces, skin: tuple[Tensor, Tensor]
) -> list[TeaserRow]:
    """The rows of a person at rest, as far as the model has them.

    Models with named expressions show some of these from 0 to 1, others their first components.

    Args:
        model: The model.
        person: Who is shown.
        skin: Mean and standard deviation ``(A,)`` of people's skin coefficients, as `skin_of` has
            them: the model's own deviations go beyond all people.
    """
    values = person.parameters.tensors()
    rows = [
        _coefficient(person, "identity", f"shape {number + 1}:", number, SIGMAS)
        for number in range(min(COMPONENTS, values["identity"].shape[1]))
    ]
    if model.expression_range == (0.0, 1.0):
        rows += [_slider(person, model, name) for name in NAMED if has_expression(model, name)]
    else:
        end = min(SIGMAS, model.expression_range[1])
        rows += [
            _coefficient(person, "expression", f"expression {number + 1}:", number, end)
            for number in range(min(COMPONENTS, values["expression"].shape[1]))
        ]
    rows.append(TeaserRow("yaw", -TURN, TURN, lambda angle: turned(person, angle)))
    if "jaw" in model.joint_names:

        def with_jaw(angle: float) -> GeneratedFaces:
            opened = {"jaw": (0.0, angle, 0.0)}
            parameters = set_sliders(person.parameters, model, {}, {}, opened)
            return replace(person, parameters=parameters)

        rows.append(TeaserRow("jaw", 0.0, JAW, with_jaw))
    elif has_expression(model, "jawOpen"):
        rows.append(_slider(person, model, "jawOpen"))
    means, deviations = (part.tolist() for part in skin)
    for number in range(min(SKINS, len(means))):
        name, place, unit = f"skin {number + 1}:", means[number], deviations[number]
        rows.append(_coefficient(person, "albedo", name, number, SIGMAS, place, unit))
    rows.append(
        TeaserRow("lamp", -LAMP, LAMP, lambda angle: with_values(person, light=lamp_at(angle)))
    )
    return rows


def skin_of(generator: FaceGenerator) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(A,)`` of the skin coefficients of a generator's people."""
    if not isinstance(generator.system, ConditionedGenerator):
        return torch.zeros(generator.num_skin), torch.ones(generator.num_skin)
    people = generator.system.people
    skin = slice(int(people.sizes[0]), int(people.sizes[:2].sum()))
    return people.mean[skin], people.factor[skin].square().sum(1).sqrt()


def _coefficient(
    person: GeneratedFaces,
    group: str,
    name: str,
    number: int,
    end: float,
    middle: float = 0.0,
    unit: float = 1.0,
) -> TeaserRow:
    def change(value: float) -> GeneratedFaces:
        values = person.parameters.tensors()[group].clone()
        values[:, number] = middle + unit * value
        return with_values(person, **{group: values})

    return TeaserRow(name, -end, end, change)


def _slider(person: GeneratedFaces, model: MorphableModel, name: str) -> TeaserRow:
    def change(value: float) -> GeneratedFaces:
        parameters = set_sliders(person.parameters, model, {name: value}, {}, {})
        return replace(person, parameters=parameters)

    return TeaserRow(name, 0.0, 1.0, change)


def turned(person: GeneratedFaces, yaw: float) -> GeneratedFaces:
    """A person turned to the right of the picture by an angle in degrees."""
    angle = torch.tensor([math.radians(yaw)])
    turn = rotation_from_euler(angle, torch.zeros(1), torch.zeros(1))
    return with_values(person, rotation=vector_from_rotation(turn))


def has_expression(model: MorphableModel, name: str) -> bool:
    """Whether a model has an expression, of the whole face or of its sides."""
    return any(one in model.expression_names for one in (name, f"{name}Left", f"{name}Right"))


def lamp_at(degrees: float) -> Tensor:
    """Light ``(1, 9, 3)`` of a lamp to the side by an angle; above 0 it stands on the right of the
    picture.
    """
    angle = math.radians(degrees)
    direction = torch.tensor([math.sin(angle), 0.3, math.cos(angle)])
    direction = functional.normalize(direction, dim=0)
    lamp = lamp_light(direction[None, None], torch.full((1, 1, 3), 0.8))
    return normalize_light(lamp + ambient_light(0.35), torch.tensor([0.9]))
