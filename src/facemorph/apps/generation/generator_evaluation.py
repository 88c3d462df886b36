"""The measurements of ``facemorph evaluate-generator``."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure as alike

from facemorph.apps.generation.face_files import COLUMNS
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.generation.inversion import agreement, face_weight, optimised
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.data.condition_set import ConditionedFaces
from facemorph.engine.conditioned_generator import ConditionedGenerator
from facemorph.engine.portrait_frames import framed
from facemorph.errors import DataError
from facemorph.faces.detection import EmbeddedDetector
from facemorph.faces.files.image_output import save_image
from facemorph.faces.identity import IdentityEmbedding
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.lighting import random_light
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.jobs.records import Header, header, write_json
from facemorph.metrics.feature_networks import Pooled, pooled_features
from facemorph.metrics.frechet import feature_distances
from facemorph.metrics.generator_control import light_response, separation
from facemorph.ops.frames import Frame
from facemorph.ops.rotations import rotation_from_euler, vector_from_rotation

SHEET, REPORT = "sheet.png", "report.json"
LEAST = 20  # held-out pictures
DETECTED = 100  # pictures whose landmarks are found again
PEOPLE = 60  # random people whose identity is compared over poses
INVERTED, STEPS = 24, 50  # people whose picture is found again, and steps for that
TURN = 20.0  # degrees to either side, of these
SIDE = 256  # side at which faces are described
GREY = 0.5
BLOCK = 32


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


@dataclass(frozen=True)
class Held:
    """Pictures with their parameters and codes.

    Attributes:
        images: ``(N, 3, S, S)``.
        conditions: ``(N, 9, S, S)``.
        parameters: Of the N pictures.
        codes: ``(N, C)``, as the system tells them of held-out people.
        person: ``(N,)``.
    """

    images: Tensor
    conditions: Tensor
    parameters: FaceParameters
    codes: Tensor
    person: Tensor


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


def held_rows(
    generator: FaceGenerator, data: ConditionedFaces, split: str, count: int, seed: int
) -> Held:
    """At most ``count`` pictures of a split.

    Raises:
        DataError: It has too few.
    """
    part = data.conditioned.get(split)
    if part is None or len(part) < LEAST:
        raise DataError(
            "too few held-out pictures for a distance",
            where=f"{data.folder}, split {split}",
            expected=f"{LEAST} or more",
            found=0 if part is None else len(part),
            remedy="Choose the other --split, or prepare the set with a larger --validation.",
        )
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(seed))[:count]
    faces = [part[int(row)] for row in order]
    rows = torch.stack([face["index"] for face in faces])
    person = torch.stack([face["person"] for face in faces])
    codes = torch.zeros(len(faces), 0)
    if isinstance(generator.system, ConditionedGenerator):
        codes = generator.system.held_out_codes(data, split, order)
    return Held(
        torch.stack([face["image"] for face in faces]),
        torch.stack([face["conditions"] for face in faces]),
        data.parameters[rows],
        codes,
        person,
    )


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

    The plain render stands before another picture's surroundings, blurred.
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
    found: dict[str, float] = {}
    for view in ("picture", "head"):

        def seen(pictures: Tensor, masks: Tensor, view: str = view) -> Tensor:
            return pictures if view == "picture" else pictures * masks + GREY * (1 - masks)

        real = describe(seen(held.images, mask))
        values = {
            name: feature_distances(real, describe(seen(*one)), "frechet", "kernel")["frechet"]
            for name, one in sets.items()
        }
        found[f"frechet_{view}_floor"] = values["others"]
        for name in ("generated", "render"):
            found[f"frechet_{view}_{name}"] = values[name] / max(values["others"], 1e-9)
    return found


# ------------------------------------------------------------
# people
@torch.no_grad()
def descriptors(pictures: Tensor, landmarks: Tensor) -> Tensor:
    """Descriptors ``(N, 128)`` of pictures with landmarks ``(N, 68, 2)``."""
    embed, scale = IdentityEmbedding(), SIDE / pictures.shape[-1]
    return torch.cat(
        [
            embed(_enlarged(some), marks * scale)
            for some, marks in zip(pictures.split(BLOCK), landmarks.split(BLOCK), strict=True)
        ]
    )


def _enlarged(pictures: Tensor) -> Tensor:
    return functional.interpolate(
        pictures, (SIDE, SIDE), mode="bicubic", align_corners=False
    ).clamp(0, 1)


def landmarks_of(generator: FaceGenerator, parameters: FaceParameters) -> Tensor:
    """Landmarks ``(N, 68, 2)`` in pixels of the pictures."""
    frame = Frame(generator.size, generator.size)
    points = generator.model.landmarks(vertices_of(generator.model, parameters))
    return camera_of(parameters, frame).project(points).pixels


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


# ------------------------------------------------------------
# control
def control(
    generator: FaceGenerator,
    held: Held,
    generated: Tensor,
    made: GeneratedFaces,
    draw: torch.Generator,
) -> dict[str, float]:
    """Landmarks, identity over pose and style, and light."""
    detector = EmbeddedDetector(tile=False)
    real_error, real_found = _landmark_error(
        detector, held.images, landmarks_of(generator, held.parameters)
    )
    error, found = _landmark_error(detector, generated, landmarks_of(generator, made.parameters))
    count = min(PEOPLE, len(made))
    people = GeneratedFaces(made.codes[:count], made.parameters[:count])
    turned = [_turned(generator, people, angle) for angle in (-TURN, TURN)]
    sides = [
        descriptors(
            torch.stack(list(generator.pictures(one))), landmarks_of(generator, one.parameters)
        )
        for one in turned
    ]
    between = torch.cdist(sides[0], sides[1])
    other_style = GeneratedFaces(people.codes.roll(1, 0), people.parameters)
    marks = landmarks_of(generator, people.parameters)
    first = descriptors(generated[:count], marks)
    second = descriptors(torch.stack(list(generator.pictures(other_style))), marks)
    correlation, slope = _light(generator, people, generated[:count], draw)
    return {
        "landmark_error_real": real_error,
        "landmark_error": error,
        "landmarks_found_real": real_found,
        "landmarks_found": found,
        "identity_over_pose": separation(
            between.diagonal(), between[~torch.eye(count, dtype=torch.bool)]
        ),
        "style_moves_identity": float((first - second).norm(dim=1).mean()),
        "light_correlation": correlation,
        "light_slope": slope,
    }


def _landmark_error(
    detector: EmbeddedDetector, pictures: Tensor, landmarks: Tensor
) -> tuple[float, float]:
    """Median error of found landmarks in percent of the distance between the pupils, and the share
    of faces that are found.
    """
    scale, errors = SIDE / pictures.shape[-1], []
    shown = _enlarged(pictures[:DETECTED])
    for picture, expected in zip(shown, landmarks * scale, strict=False):
        faces = detector(picture)
        if faces:
            pupils = (expected[36:42].mean(0) - expected[42:48].mean(0)).norm()
            missed = (faces[0].points - expected).norm(dim=-1).mean()
            errors.append(float(100 * missed / pupils))
    median = sorted(errors)[len(errors) // 2] if errors else math.nan
    return median, len(errors) / len(shown)


def _turned(generator: FaceGenerator, faces: GeneratedFaces, yaw: float) -> GeneratedFaces:
    turn = rotation_from_euler(torch.tensor([math.radians(yaw)]), torch.zeros(1), torch.zeros(1))
    vector = vector_from_rotation(turn).expand(len(faces), -1).clone()
    parameters = replace(faces.parameters, rotation=vector)
    return replace(faces, parameters=framed(generator.model, parameters, generator.size))


def _light(
    generator: FaceGenerator, faces: GeneratedFaces, before: Tensor, draw: torch.Generator
) -> tuple[float, float]:
    """Correlation and slope of the answer to other light, on the skin of faces."""
    new = random_light(len(faces), draw)
    other = replace(faces, parameters=replace(faces.parameters, light=new))
    after = torch.stack(list(generator.pictures(other)))
    conditions = generator.render(faces.parameters)
    dark, bright = (
        generator.render.light(conditions, light) for light in (faces.parameters.light, new)
    )
    return light_response(before, after, dark, bright, _skin(generator, faces))


def _skin(generator: FaceGenerator, faces: GeneratedFaces) -> Tensor:
    """Pixels of the face's skin ``(N, 1, S, S)``, hair and outline left out."""
    landmarks = landmarks_of(generator, faces.parameters)
    side = generator.size
    place = torch.arange(side) + 0.5
    low, high = landmarks.amin(1), landmarks.amax(1)
    across = (place[None] > low[:, :1]) & (place[None] < high[:, :1])
    down = (place[None] > low[:, 1:]) & (place[None] < high[:, 1:])
    mask = generator.render(faces.parameters)[:, 6:7]
    inside = functional.max_pool2d(1 - mask, 5, 1, 2) < 0.01
    return inside & (across[:, None, None, :] & down[:, None, :, None])


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
