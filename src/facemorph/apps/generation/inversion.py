"""A photograph explained by a generator: fit, code in closed form, optimised styles."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from facemorph.apps.fitting.face_fitting import fit_faces, refine_faces
from facemorph.apps.fitting.located_face import LocatedFace
from facemorph.apps.generation.choices import Around
from facemorph.apps.generation.face_files import save_people
from facemorph.apps.generation.generated_faces import FaceGenerator, GeneratedFaces
from facemorph.apps.generation.surroundings import Photographs, Surroundings
from facemorph.apps.morphing.morph_pictures import contact_sheet
from facemorph.data.face_set import scaled
from facemorph.faces.alignment import ffhq_crop
from facemorph.faces.files.image_output import save_image
from facemorph.faces.identity import IdentityEmbedding, identity_distance
from facemorph.geometry.models.parameters import FaceParameters
from facemorph.geometry.rendering.parameter_views import camera_of, vertices_of
from facemorph.geometry.rendering.renders import MeshView
from facemorph.geometry.textures.unprojection import spread_mask
from facemorph.jobs.records import Header, header, write_json
from facemorph.ops.frames import Frame

COMPARISON, REPORT = "comparison.png", "report.json"
SIDE = 256  # pixels of the crop that is fitted
CODE_RATE, BETAS = 0.03, (0.9, 0.99)
COLOUR, EDGES, NEAR, NEAR_CODE = 30.0, 15.0, 0.02, 0.002  # weights of the optimisation's terms
AROUND, ON_FACE = 0.2, 0.9  # weight of pixels off the face, and from which they are on it
CELL = 256


@dataclass(frozen=True)
class Inversion:
    """A photograph and what explains it.

    Attributes:
        target: ``(3, S, S)`` the photograph, as the generator frames faces.
        render: ``(3, S, S)`` its render.
        by_code: ``(3, S, S)`` the picture of its code.
        picture: ``(3, S, S)`` after the optimisation.
        faces: Code, what is added to it, and parameters.
        figures: Agreement of the face in dB and distance of descriptors, before and after, of
            pictures that are generated as a whole.
    """

    target: Tensor
    render: Tensor
    by_code: Tensor
    picture: Tensor
    faces: GeneratedFaces
    figures: dict[str, float]


class InversionReport(Header):
    """The content of ``report.json``."""

    figures: dict[str, float]


def invert_faces(
    generator: FaceGenerator,
    faces: Sequence[LocatedFace],
    steps: int,
    refine: bool,
    surroundings: Around,
) -> Inversion:
    """Find code, what is added to it, and parameters of one or more photographs of a person.

    Args:
        generator: The generator.
        faces: The photographs and their landmarks; poses, expression and light are the first's.
        steps: Of the optimisation.
        refine: Find too what is added to what the code becomes.
        surroundings: Whether what is around the face is the first photograph's.

    Raises:
        GeometryError: The landmarks determine no pose, or a face is not in its picture.
    """
    begun, size = time.process_time(), generator.size
    cuts = [ffhq_crop(face.image, face.landmarks, "ibug68", SIDE) for face in faces]
    near = [
        replace(face, image=cut.image, landmarks=cut.points.float())
        for face, cut in zip(faces, cuts, strict=True)
    ]
    fits = refine_faces(near, fit_faces(near, generator.model))
    parameters = scaled(FaceParameters.joined([fit.parameters for fit in fits]), size / SIDE)
    targets = functional.interpolate(
        torch.stack([cut.image for cut in cuts]), (size, size), mode="bilinear", antialias=True
    ).clamp(0, 1)
    conditions = generator.render(parameters)
    weights = torch.cat([face_weight(generator, parameters[row]) for row in range(len(faces))])
    with torch.no_grad():
        codes = generator.small.code_of_several(targets, conditions, parameters.light)
        by_code = generator.small(codes, conditions[:1])
    found = optimised(generator, codes, parameters, targets, weights, steps, refine)
    picture = next(iter(generator.pictures(found)))[None]
    seconds = time.process_time() - begun
    shown = found
    if surroundings == "photograph":
        kept = Photographs.of(targets[:1], picture, weights[:1] > ON_FACE, parameters[0])
        shown = replace(found, surroundings=Surroundings(kept, torch.ones(1, 1)))
    render, target, weight = generator.plain_render(parameters[0]), targets[:1], weights[:1]
    marks = near[0].landmarks * size / SIDE
    figures = {"cpu_seconds": seconds}
    for name, one in (("render", render), ("code", by_code), ("inversion", picture)):
        figures |= {f"{key}_{name}": value for key, value in agreement(one, target, weight, marks)}
    final = next(iter(generator.pictures(shown)))
    return Inversion(target[0], render[0], by_code[0], final, shown, figures)


def face_weight(generator: FaceGenerator, parameters: FaceParameters) -> Tensor:
    """How far pixels count ``(1, 1, S, S)``: 1 on the face's skin, eyes and mouth, little around.

    Args:
        generator: The generator.
        parameters: Of one face.
    """
    model, side = generator.model, generator.size
    view = MeshView.of(
        vertices_of(model, parameters),
        model.topology.faces,
        camera_of(parameters, Frame(side, side)),
        (side, side),
    )
    face = spread_mask(model.topology, "face", "eye_left", "eye_right", "lips", "teeth", rings=2)
    return AROUND + (1 - AROUND) * view.attribute(face[:, None]).clamp(0, 1)


def optimised(
    generator: FaceGenerator,
    codes: Tensor,
    parameters: FaceParameters,
    targets: Tensor,
    weights: Tensor,
    steps: int,
    refine: bool = True,
) -> GeneratedFaces:
    """A person whose pictures come near to photographs; as the first shows them.

    Moved are what is added to what the code becomes (styles of layers, texels), and the code where
    the system says so or nothing is added.

    Args:
        generator: The generator.
        codes: ``(1, C)`` to begin with.
        parameters: Of the N photographs.
        targets: ``(N, 3, S, S)`` the photographs.
        weights: ``(N, 1, S, S)`` how far pixels count.
        steps: Of the optimisation.
        refine: Whether something is added.
    """
    system, conditions = generator.small, generator.render(parameters)
    count, weights = len(targets), weights * system.trust(conditions)
    free = torch.zeros(1, *system.addition_shape()).requires_grad_(refine)
    held = system.held(conditions)
    moved = torch.zeros_like(codes).requires_grad_(system.inverts_codes or not refine)
    optimizer = torch.optim.Adam(
        [
            {"params": [free], "lr": system.addition_rate},
            {"params": [moved], "lr": CODE_RATE},
        ],
        betas=BETAS,
    )
    mass = weights.mean()
    for _ in range(steps):
        added = held(free)
        given = (codes + moved).expand(count, -1), added.expand(count, *added.shape[1:])
        error = (system.with_addition(*given, conditions) - targets) * weights
        across, down = error[..., 1:] - error[..., :-1], error[:, :, 1:] - error[:, :, :-1]
        loss = (
            2 * COLOUR * error.abs().mean() / mass
            + 2 * EDGES * (across.abs().mean() + down.abs().mean()) / mass
            + NEAR * system.addition_cost(added)
            + NEAR_CODE * moved.square().sum()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = held(free.detach()) if refine else None
    return GeneratedFaces(codes + moved.detach(), parameters[0], found)


def agreement(
    picture: Tensor, target: Tensor, weight: Tensor, marks: Tensor
) -> list[tuple[str, float]]:
    """Decibels on the face, and distance of descriptors, by name.

    Args:
        picture: ``(1, 3, S, S)``.
        target: The same.
        weight: ``(1, 1, S, S)``, see `face_weight`.
        marks: ``(68, 2)`` landmarks in pixels.
    """
    face = (weight > ON_FACE).to(target)
    error = ((picture - target).square() * face).sum() / (3 * face.sum()).clamp(min=1)
    both = functional.interpolate(
        torch.cat([picture, target]), (SIDE, SIDE), mode="bicubic", align_corners=False
    ).clamp(0, 1)
    scale = SIDE / target.shape[-1]
    with torch.no_grad():
        described = IdentityEmbedding()(both, (marks * scale)[None].expand(2, -1, -1))
    return [
        ("psnr", float(-10 * error.log10())),
        ("identity", float(identity_distance(described[0], described[1]))),
    ]


def write_inversion(
    generator: FaceGenerator, inversion: Inversion, folder: Path, settings: Mapping[str, object]
) -> InversionReport:
    """Write codes, parameters, the comparison and the report.

    Raises:
        OutputError: They cannot be written.
    """
    save_people(inversion.faces, folder)
    row = [
        ("photograph", inversion.target),
        ("render", inversion.render),
        ("by its code", inversion.by_code),
        ("inversion", inversion.picture),
    ]
    save_image(contact_sheet([row], CELL), folder / COMPARISON, synthetic=True)
    figures = {name: round(value, 4) for name, value in inversion.figures.items()}
    report: InversionReport = {**header(settings), "figures": figures}
    write_json(folder / REPORT, report)
    return report
