"""How far generated pictures are from real ones as their parameters leave the mean."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from facemorph import console
from facemorph.apps.generation.evaluation.held_out_faces import Held, held_rows
from facemorph.apps.generation.figures.choices import FigureOptions
from facemorph.apps.generation.figures.figure_faces import placed
from facemorph.apps.generation.generated_faces import LIMIT, FaceGenerator, GeneratedFaces
from facemorph.geometry.models.morphable_model import MorphableModel
from facemorph.geometry.synthetic.random_faces import random_expression
from facemorph.jobs.pages.plots import write_curves
from facemorph.metrics.feature_networks import Pooled, pooled_features
from facemorph.metrics.frechet import feature_distances
from facemorph.storage.files import write_whole

FURTHEST = 1.5  # standard deviations


class Distances(TypedDict):
    """Distances of features to held-out pictures.

    Attributes:
        deviations: In standard deviations.
        frechet: At each deviation.
        kernel: At each deviation.
        floor: Frechet distance of other real people.
        pictures: At each deviation.
    """

    deviations: list[float]
    frechet: list[float]
    kernel: list[float]
    floor: float
    pictures: int


def distances_by_deviation(
    generator: FaceGenerator, folder: Path, options: FigureOptions, features: Pooled
) -> Distances:
    """Distances of generated pictures to a set's held-out people, by the deviation of shape and
    expression.

    Style, skin, pose and light are the same at all deviations: random people in the poses and light
    of the held-out pictures.

    Args:
        generator: The generator.
        folder: The set.
        options: ``count`` pictures at each of ``columns`` deviations from 0 to 1.5.
        features: As of ``evaluate_generator``.

    Raises:
        DataError: The set has too few held-out people.
    """
    data = generator.faces(folder)
    split = "test" if "test" in data.conditioned else "validation"
    held = held_rows(generator, data, split, options.count, options.seed)
    others = held_rows(generator, data, "training", len(held.images), options.seed)
    describe = pooled_features(features)
    real = describe(held.images)
    people, directions = people_and_directions(generator, held, options.seed, options.spread)
    points = max(2, options.columns)
    deviations = torch.linspace(0, FURTHEST, points).tolist()
    found = []
    for deviation in console.track(deviations, "deviations"):
        faces = deviating(generator, people, directions, deviation)
        pictures = torch.stack(list(generator.pictures(faces)))
        found.append(feature_distances(real, describe(pictures), "frechet", "kernel"))
    floor = feature_distances(real, describe(others.images), "frechet", "kernel")
    return {
        "deviations": deviations,
        "frechet": [one["frechet"] for one in found],
        "kernel": [one["kernel"] for one in found],
        "floor": floor["frechet"],
        "pictures": len(people),
    }


def people_and_directions(
    generator: FaceGenerator, held: Held, seed: int, spread: float
) -> tuple[GeneratedFaces, tuple[Tensor, Tensor]]:
    """Random people in held-out poses and light, and where shape ``(N, K)`` and expression
    ``(N, E)`` of each go by one standard deviation.
    """
    draw = torch.Generator().manual_seed(seed)
    codes, albedo, _ = generator.people(len(held.images), draw, spread)
    people = GeneratedFaces(codes, replace(held.parameters, albedo=albedo))
    identity = torch.randn(held.parameters.identity.shape, generator=draw).clamp(-LIMIT, LIMIT)
    expression = torch.stack(
        [
            random_expression(generator.model, np.random.default_rng([seed, number]))
            for number in range(len(people))
        ]
    )
    return people, (identity, expression)


def deviating(
    generator: FaceGenerator,
    people: GeneratedFaces,
    directions: tuple[Tensor, Tensor],
    deviation: float,
) -> GeneratedFaces:
    """People whose shape and expression deviate from the mean face, framed."""
    identity, expression = directions
    parameters = replace(
        people.parameters,
        identity=deviation * identity,
        expression=within(generator.model, deviation * expression),
        joints=torch.zeros_like(people.parameters.joints),
    )
    return placed(generator, replace(people, parameters=parameters))


def within(model: MorphableModel, expression: Tensor) -> Tensor:
    """Expressions no stronger than the model allows."""
    return expression.clamp(*model.expression_range)


def write_distances(distances: Distances, path: Path) -> list[Path]:
    """Write the curve, and its numbers as CSV beside it; the path of the CSV.

    Raises:
        OutputError: They cannot be written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["deviation", "frechet", "kernel"])
    rows = zip(*(distances[name] for name in ("deviations", "frechet", "kernel")), strict=True)
    writer.writerows([f"{value:.6g}" for value in row] for row in rows)
    table = path.with_suffix(".csv")
    write_whole(table, stream.getvalue().encode())
    points = list(zip(distances["deviations"], distances["frechet"], strict=True))
    write_curves(
        {"generated": points},
        path,
        title="Distance to real pictures",
        across="deviation of shape and expression (standard deviations)",
        upward="Frechet distance",
        levels={"other real people": distances["floor"]},
    )
    return [table]
