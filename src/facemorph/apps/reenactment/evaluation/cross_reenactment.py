"""Held-out people moved as nobody has photographed them: as another one, turned, with an open
mouth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TypedDict

import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.heads.driven_portrait import transfer
from facemorph.apps.reenactment.evaluation.held_out_pairs import HeldOutPair, HeldOutPairs
from facemorph.apps.reenactment.evaluation.moved_source import MovedSource
from facemorph.apps.reenactment.evaluation.reenactment_measures import Figures, ReenactmentMeasures
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.ops.rotations import (
    rotation_from_euler,
    rotation_from_vector,
    vector_from_rotation,
)
from facemorph.systems.gdpw.small_system import SmallGDPW

DRIVEN = "driven"
TURN = 20.0  # degrees to either side
JAW, OPENED = "jawOpen", 0.4


class CrossRow(TypedDict):
    """One person moved in one way.

    Attributes:
        kind: ``driven`` by another person, ``yaw_+20``, ``yaw_-20`` or ``jaw_open``.
        source: Name of the photograph.
        person: Who is shown.
        driver: Name of the other person's picture, or empty.
        file: The pictures side by side.
        figures: For each method what ``ReenactmentMeasures.against_source`` says.
    """

    kind: str
    source: str
    person: str
    driver: str
    file: str
    figures: dict[str, Figures]


def cross_rows(
    system: SmallGDPW, held: HeldOutPairs, measures: ReenactmentMeasures
) -> Iterator[tuple[CrossRow, dict[str, Tensor]]]:
    """Each held-out person moved in each way: the row, without its file, and the pictures.

    Args:
        system: The trained reenactment.
        held: The people.
        measures: What measures.
    """
    people = held.people()
    for number, pair in enumerate(console.track(people, "people")):
        image, parameters = held.picture(pair.source), held.parameters[pair.source]
        moved = MovedSource(system, measures.model, image, parameters)
        own = measures.find(image)
        other = people[(number + 1) % len(people)]
        for kind, asked in _ways(held, pair, other, measures.model).items():
            made = {"animate": moved.animate(asked), "reenact": moved.reenact(asked)}
            figures = {
                name: measures.against_source(picture, own, asked) for name, picture in made.items()
            }
            row: CrossRow = {
                "kind": kind,
                "source": held.names[pair.source],
                "person": pair.person,
                "driver": held.names[other.target] if kind == DRIVEN else "",
                "file": "",
                "figures": figures,
            }
            shown = {"source": image}
            if kind == DRIVEN:
                shown["driver"] = held.picture(other.target)
            yield row, {**shown, **made}


def _ways(
    held: HeldOutPairs, pair: HeldOutPair, other: HeldOutPair, model: MorphableModel
) -> dict[str, FaceParameters]:
    """What is asked of a person, by its kind. A person alone is driven by nobody."""
    own = held.parameters[pair.source]
    ways: dict[str, FaceParameters] = {}
    if other is not pair:
        rows = torch.tensor([other.source, other.target])
        ways[DRIVEN] = transfer(own, held.parameters[rows], model, "first")[1]
    for degrees in (TURN, -TURN):
        ways[f"yaw_{degrees:+.0f}"] = turned(own, degrees)
    if JAW in own.expression_names:
        ways["jaw_open"] = own.with_expression(**{JAW: OPENED})
    return ways


def turned(parameters: FaceParameters, degrees: float) -> FaceParameters:
    """Heads turned to the side, about the upright axis of the picture.

    Args:
        parameters: B heads.
        degrees: Positive to the right of the picture.
    """
    yaw = torch.tensor([math.radians(degrees)])
    turn = rotation_from_euler(yaw, torch.zeros(1), torch.zeros(1))
    rotation = vector_from_rotation(turn @ rotation_from_vector(parameters.rotation))
    return replace(parameters, rotation=rotation)
