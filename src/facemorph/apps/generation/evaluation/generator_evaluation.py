"""The measurements of ``facemorph evaluate-generator``."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure as alike

from facemorph.apps.generation.evaluation.control import control
from facemorph.apps.generation.evaluation.held_out_faces import (
    Held,
    descriptors,
    held_rows,
    landmarks_of,
)
from facemorph.apps.generation.face_files import COLUMNS
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.generation.inversion import agreement, face_weight, optimised
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.engine.conditioned_generator import ConditionedGenerator
from facemorph.engine.portrait_frames import framed
from facemorph.faces.files.image_output import save_image
from facemorph.jobs.records import Header, header, write_json
from facemorph.metrics.feature_networks import Pooled, pooled_features
from facemorph.metrics.frechet import feature_distances
from facemorph.systems.varitex.small.system import SmallVariTex

SHEET, REPORT = "sheet.png", "report.json"
INVERTED, STEPS = 24, 50  # people whose picture is found again, and steps for that
GREY = 0.5


class GeneratorReport(Header):
    """The content of ``report.json``.

    Attributes:
        people: Held-out people.
        pictures: Their pictures.
        figures: By name; None where it cannot be told, as landmarks where no face is found.
    """

    people: int
    pictures: int
    figures: dict[str, float | None]


def evaluate(
    folder: Path,
    output: Path,
    checkpoint: str | Path,
    split: str,
    count: int,
    seed: int,
    features: Pooled,
) -> GeneratorReport:
    """Measure; see ``evaluate_generator``."""
    generator = FaceGenerator.load(checkpoint)
    data = generator.faces(folder)
    held = held_rows(generator, data, split, count, seed)
    others = held_rows(generator, data, "training", len(held.images), seed)
    draw = torch.Generator().manual_seed(seed)
    made, generated = random_pictures(generator, held, draw)
    figures = distances(generator, features, held, others, made, generated)
    if isinstance(generator.system, ConditionedGenerator):
        figures |= reconstruction(generator, held)
        figures |= inversions(generator, held)
    figures |= control(generator, held, generated, made, draw)
    _write_sheet(held, made, generator, output / SHEET)
    settings = {
        "checkpoint": str(checkpoint),
        "set": str(folder),
        "split": split,
        "count": count,
        "seed": seed,
        "features": features,
    }
    report: GeneratorReport = {
        **header(settings),
        "people": len(set(held.person.tolist())),
        "pictures": len(held.images),
        "figures": {
            name: round(value, 4) if math.isfinite(value) else None
            for name, value in figures.items()
        },
    }
    write_json(output / REPORT, report)
    return report


def random_pictures(
    generator: FaceGenerator, held: Held, draw: torch.Generator
) -> tuple[GeneratedFaces, Tensor]:
    """Random people in the poses, expressions and light of held-out pictures."""
    codes, albedo, identity = generator.people(len(held.images), draw)
    parameters = replace(held.parameters, albedo=albedo, identity=identity)
    faces = GeneratedFaces(codes, framed(generator.model, parameters, generator.size))
    return faces, torch.stack(list(generator.pictures(faces)))


# ------------------------------------------------------------
# distances of sets
def distances(
    generator: FaceGenerator,
    features: Pooled,
    held: Held,
    others: Held,
    made: GeneratedFaces,
    generated: Tensor,
) -> dict[str, float]:
    """Distances of features to held-out pictures, over that of other real people.

    The plain render stands before another picture's surroundings, blurred. Of VariTex also with
    codes of the prior that its divergence asks for, in the place of the posteriors' Gaussian.
    """
    describe = pooled_features(features)
    render, mask = generator.renders(held.parameters), held.conditions[:, 6:7]
    blurred = functional.interpolate(
        functional.interpolate(held.images.roll(1, 0), size=(8, 8), mode="area"),
        held.images.shape[-2:],
        mode="bilinear",
        align_corners=False,
    )
    sets = {
        "others": (others.images, others.conditions[:, 6:7]),
        "generated": (generated, mask),
        "render": (render + (1 - mask) * blurred, mask),
    }
    if isinstance(generator.system, SmallVariTex):
        codes = torch.randn(made.codes.shape, generator=torch.Generator().manual_seed(0))
        normal = generator.pictures(replace(made, codes=codes))
        sets["standard_normal"] = torch.stack(list(normal)), mask
    found: dict[str, float] = {}
    for view in ("picture", "head"):

        def seen(pictures: Tensor, masks: Tensor, view: str = view) -> Tensor:
            return pictures if view == "picture" else pictures * masks + GREY * (1 - masks)

        real = describe(seen(held.images, mask))
        values = {
            name: feature_distances(real, describe(seen(*one)), "frechet", "kernel")["frechet"]
            for name, one in sets.items()
        }
        floor = found[f"frechet_{view}_floor"] = values.pop("others")
        for name, value in values.items():
            found[f"frechet_{view}_{name}"] = value / max(floor, 1e-9)
    return found


# ------------------------------------------------------------
# people
def reconstruction(generator: FaceGenerator, held: Held) -> dict[str, float]:
    """Held-out people by the codes of their photographs: agreement of the head, and identity."""
    faces = GeneratedFaces(held.codes, held.parameters)
    made = torch.stack(list(generator.pictures(faces)))
    mask = held.conditions[:, 6:7]

    def decibel(pictures: Tensor) -> float:
        error = ((pictures - held.images).square() * mask).sum((1, 2, 3))
        return float(-10 * (error / (3 * mask.sum((1, 2, 3)))).log10().mean())

    marks = landmarks_of(generator, held.parameters)
    plainly = generator.renders(held.parameters)
    render = plainly + (1 - mask) * held.images
    real, ours, plain = (descriptors(one, marks) for one in (held.images, made, render))
    apart = torch.cdist(real, real)
    different = held.person[:, None] != held.person[None]
    return {
        "psnr_head": decibel(made),
        "ssim_head": float(torch.as_tensor(alike(made * mask, held.images * mask, data_range=1.0))),
        "psnr_head_render": decibel(plainly),
        "identity": float((ours - real).norm(dim=1).mean()),
        "identity_render": float((plain - real).norm(dim=1).mean()),
        "identity_strangers": float(apart[different].mean()),
    }


def inversions(generator: FaceGenerator, held: Held) -> dict[str, float]:
    """Single pictures of held-out people found in the generator, with the fits of the set: means
    of the agreement of the face and of the CPU time.
    """
    rows = list({int(who): row for row, who in enumerate(held.person)}.values())[:INVERTED]
    marks = landmarks_of(generator, held.parameters)
    found: list[dict[str, float]] = []
    for row in rows:
        begun = time.process_time()
        one = slice(row, row + 1)
        image, conditions, parameters = held.images[one], held.conditions[one], held.parameters[row]
        weight = face_weight(generator, parameters)
        with torch.no_grad():
            codes = generator.small.encoder(image, conditions, parameters.light)
        faces = optimised(generator, codes, parameters, image, weight, STEPS)
        picture = next(iter(generator.pictures(faces)))[None]
        seconds = time.process_time() - begun
        figures = {"inversion_seconds": seconds}
        for name, value in agreement(picture, image, weight, marks[row]):
            figures[f"inversion_{name}"] = value
        found.append(figures)
    return {name: sum(one[name] for one in found) / len(found) for name in found[0]}


def _write_sheet(held: Held, made: GeneratedFaces, generator: FaceGenerator, path: Path) -> None:
    """Random faces, below each the render that it was made of. Nobody real is shown."""
    rows: Sequence[int] = range(min(2 * COLUMNS, len(made)))
    few = GeneratedFaces(made.codes[: len(rows)], made.parameters[: len(rows)])
    pictures = list(generator.pictures(few))
    plain = generator.plain_render(few.parameters)
    table = []
    for begin in range(0, len(rows), COLUMNS):
        some = rows[begin : begin + COLUMNS]
        table.append([(f"{row + 1}", pictures[row]) for row in some])
        table.append([("its render", plain[row]) for row in some])
    save_image(contact_sheet(table, 160), path, synthetic=True)
