"""Principal components of the distribution of people that a generator draws from."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facemorph.apps.generation.figures.figure_faces import at_rest
from facemorph.apps.generation.figures.figure_sheets import drawn_table
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.engine.people import PeopleModel
from facemorph.errors import CheckpointError
from facemorph.faces.files.image_output import save_image
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.jobs.records import Header, header, write_json
from facemorph.storage.files import write_whole

REPORT, COMPONENTS = "report.json", "components.npz"


@dataclass(frozen=True)
class Components:
    """Principal components of a Gaussian.

    Attributes:
        mean: ``(C,)``.
        directions: ``(K, C)`` of length 1, each with its largest number above 0.
        deviations: ``(K,)`` standard deviations along them.
        explained: ``(K,)`` shares of the whole variance.
    """

    mean: Tensor
    directions: Tensor
    deviations: Tensor
    explained: Tensor


class PeopleReport(Header):
    """The content of ``report.json``.

    Attributes:
        explained: Share of the variance of each component, by the name of its sheet.
        files: Names in the folder.
    """

    explained: dict[str, list[float]]
    files: list[str]


def principal_components(people: PeopleModel, part: slice, count: int) -> Components:
    """The first principal components of a part of the people's numbers.

    Args:
        people: The distribution.
        part: Which of its numbers.
        count: How many, at most.

    Raises:
        CheckpointError: The distribution has not been fitted.
    """
    if not people.known:
        raise CheckpointError("this model knows no people", where="people")
    factor = people.factor[part].double()
    values, vectors = torch.linalg.eigh(factor @ factor.T)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1).T
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    directions = vectors * largest.sign()
    kept = slice(min(count, len(values)))
    return Components(
        people.mean[part],
        directions[kept].float(),
        values[kept].sqrt().float(),
        (values / values.sum())[kept].float(),
    )


def write_components(
    checkpoint: str, folder: Path, count: int, columns: int, sigmas: float
) -> PeopleReport:
    """Write sheets, numbers and the report; see ``pca``."""
    generator = FaceGenerator.load(checkpoint)
    people = generator.small.people
    code, skin, shape = people.sizes.tolist()
    parts = {
        "people": slice(0, code + skin + shape),
        "style": slice(0, code),
        "shape": slice(code + skin, code + skin + shape),
    }
    found = {name: principal_components(people, part, count) for name, part in parts.items()}
    arrays: dict[str, np.ndarray] = {}
    for name, one in found.items():
        table = []
        for number in range(len(one.directions)):
            row = []
            for value in torch.linspace(-sigmas, sigmas, columns, dtype=torch.float64).tolist():
                values = people.mean.clone()
                values[parts[name]] += value * one.deviations[number] * one.directions[number]
                caption = f"component {number + 1}: {round(value, 2):g}"
                row.append((caption, person_of(generator, values)))
            table.append(row)
        save_image(drawn_table(generator, table, None), folder / f"{name}.png", synthetic=True)
        arrays |= {f"{name}_{key}": value.numpy() for key, value in vars(one).items()}
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    write_whole(folder / COMPONENTS, stream.getvalue())
    settings = {"checkpoint": checkpoint, "components": count, "columns": columns, "sigmas": sigmas}
    report: PeopleReport = {
        **header(settings),
        "explained": {
            name: [round(value, 4) for value in one.explained.tolist()]
            for name, one in found.items()
        },
        "files": [*(f"{name}.png" for name in found), COMPONENTS],
    }
    write_json(folder / REPORT, report)
    return report


def person_of(generator: FaceGenerator, values: Tensor) -> GeneratedFaces:
    """A person of the distribution's numbers ``(C,)``, at rest."""
    codes, albedo, identity = values[None].split(generator.small.people.sizes.tolist(), 1)
    neutral = FaceParameters.neutral(generator.model, 1, albedo.shape[1])
    return at_rest(GeneratedFaces(codes, replace(neutral, albedo=albedo, identity=identity)))
